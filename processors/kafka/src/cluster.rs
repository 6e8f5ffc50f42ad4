//! The brokers of a cluster: who leads what, who coordinates whom, and a connection to each. Only I/O.

use std::collections::HashMap;
use std::sync::Once;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest, MetadataResponse, TopicName,
    metadata_request::MetadataRequestTopic,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tracing::warn;

use crate::config::Connection;
use crate::transaction::attempt::{Trouble, again};
use crate::wire::Wire;

/// How long a broker may take to be reached, or to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
const API_VERSIONS: i16 = 3;
const METADATA: i16 = 12;
const FIND_COORDINATOR: i16 = 4;
/// The cluster-wide feature that a transaction's epoch hangs on (KIP-890).
const TRANSACTION_VERSION: &str = "transaction.version";
const TRANSACTION_VERSION_MIN: i16 = 2;
/// Tells releases apart: from this level on a broker is 4.3 or newer, and has KAFKA-20734 unless it says otherwise.
const METADATA_VERSION: &str = "metadata.version";
const METADATA_VERSION_4_3: i16 = 30;

/// What a coordinator is looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinates {
    Group,
    Transaction,
}

/// The number of a broker.
pub(crate) type Node = i32;

/// A cluster as one worker sees it.
pub(crate) struct Cluster {
    connection: Connection,
    topics: Vec<StrBytes>,
    brokers: HashMap<Node, String>,
    wires: HashMap<Node, Wire>,
    /// Leaders by topic and partition; empty until they were looked up.
    leaders: Vec<Vec<Node>>,
}

impl Cluster {
    /// Nothing is asked before the first call.
    pub(crate) fn new(connection: Connection, topics: &[String]) -> Self {
        Self {
            connection,
            topics: topics.iter().map(|topic| StrBytes::from_string(topic.clone())).collect(),
            brokers: HashMap::new(),
            wires: HashMap::new(),
            leaders: Vec::new(),
        }
    }

    /// The name of a topic by its place.
    pub(crate) fn topic(&self, topic: usize) -> TopicName {
        TopicName(self.topics.get(topic).cloned().unwrap_or_default())
    }

    /// Asks one broker, over the connection that is there or a new one.
    pub(crate) fn call<R: Request>(
        &mut self,
        node: Node,
        call: &'static str,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Trouble> {
        // A connection that failed is not kept: what comes on it could be the answer to something else.
        let kept = self.wires.remove(&node).filter(|wire| !wire.is_stale());
        let mut wire = kept.map_or_else(|| self.open(node), Ok)?;
        let answer = wire.call(call, version, request)?;
        self.wires.insert(node, wire);
        Ok(answer)
    }

    fn open(&self, node: Node) -> Result<Wire, Trouble> {
        let address = self.brokers.get(&node);
        let address = address.ok_or_else(|| Trouble::Again(format!("broker {node} is unknown")))?;
        Ok(Wire::open(address, &self.connection.client_id, ANSWER_TIMEOUT)?)
    }

    /// The broker that leads a partition.
    pub(crate) fn leader(&mut self, topic: usize, partition: usize) -> Result<Node, Trouble> {
        if self.leaders.is_empty() {
            self.look_up_leaders()?;
        }
        let found = self.leaders.get(topic).and_then(|leaders| leaders.get(partition)).copied();
        found.filter(|node| *node >= 0).ok_or_else(|| {
            self.leaders.clear();
            let name = self.topics.get(topic).map(StrBytes::as_str).unwrap_or_default();
            Trouble::Again(format!("{name}/{partition} has no leader"))
        })
    }

    /// Leaders are looked up again before the next use.
    pub(crate) fn forget_leaders(&mut self) {
        self.leaders.clear();
    }

    /// The broker that coordinates a group or a transactional id.
    pub(crate) fn coordinator(&mut self, of: Coordinates, key: &StrBytes) -> Result<Node, Trouble> {
        let key_type = match of {
            Coordinates::Group => 0,
            Coordinates::Transaction => 1,
        };
        let request = FindCoordinatorRequest::default()
            .with_key_type(key_type)
            .with_coordinator_keys(vec![key.clone()]);
        let answer = self.ask_any("find coordinator", FIND_COORDINATOR, &request)?;
        let found = answer.coordinators.into_iter().next();
        let found = found.ok_or_else(|| Trouble::Again("no coordinator was named".into()))?;
        match ResponseError::try_from_code(found.error_code) {
            None => {
                self.brokers.insert(found.node_id.0, format!("{}:{}", found.host.as_str(), found.port));
                Ok(found.node_id.0)
            }
            Some(error) if again(error) => Err(Trouble::Again(format!("find coordinator: {error:?}"))),
            Some(error) => Err(Trouble::refused("find coordinator", error)),
        }
    }

    fn look_up_leaders(&mut self) -> Result<(), Trouble> {
        let topic =
            |name: &StrBytes| MetadataRequestTopic::default().with_name(Some(TopicName(name.clone())));
        let request = MetadataRequest::default()
            .with_topics(Some(self.topics.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.ask_any("fetch metadata", METADATA, &request)?;
        self.leaders = self.topics.iter().map(|name| leaders_of(name, &answer)).collect();
        let address = |host: &StrBytes, port| format!("{}:{port}", host.as_str());
        let now: HashMap<Node, String> =
            answer.brokers.iter().map(|b| (b.node_id.0, address(&b.host, b.port))).collect();
        // A broker that has gone or moved is asked no more.
        self.wires.retain(|node, _| now.get(node) == self.brokers.get(node));
        self.brokers = now;
        Ok(())
    }

    /// Asks whichever broker answers. Rare, so over a connection of its own.
    fn ask_any<R: Request>(
        &self,
        call: &'static str,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Trouble> {
        let bootstrap = self.connection.bootstrap_servers.split(',').map(str::trim);
        let mut last = Trouble::Again("bootstrapServers names no broker".into());
        for address in self.brokers.values().map(String::as_str).chain(bootstrap) {
            match self.ask_at(address, call, version, request) {
                Ok(answer) => return Ok(answer),
                Err(error @ Trouble::Failed(_)) => return Err(error),
                Err(again) => last = again,
            }
        }
        Err(last)
    }

    fn ask_at<R: Request>(
        &self,
        address: &str,
        call: &'static str,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Trouble> {
        let mut wire = Wire::open(address, &self.connection.client_id, ANSWER_TIMEOUT)?;
        check_version(&mut wire)?;
        Ok(wire.call(call, version, request)?)
    }
}

/// Leaders of a topic by partition; −1 for a partition that has none.
fn leaders_of(name: &StrBytes, metadata: &MetadataResponse) -> Vec<Node> {
    let topic = metadata.topics.iter().find(|topic| topic.name.as_ref().is_some_and(|n| n.0 == *name));
    let mut leaders = Vec::new();
    for partition in topic.iter().flat_map(|topic| &topic.partitions) {
        let Ok(index) = usize::try_from(partition.partition_index) else { continue };
        if leaders.len() <= index {
            leaders.resize(index + 1, -1);
        }
        if let Some(leader) = leaders.get_mut(index) {
            *leader = partition.leader_id.0;
        }
    }
    leaders
}

/// Only a cluster that raises the epoch with each transaction keeps a late request out of the next one.
fn check_version(wire: &mut Wire) -> Result<(), Trouble> {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("kpay"))
        .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
    let answer = wire.call("ask for versions", API_VERSIONS, &request)?;
    let newest = answer.supported_features.iter().find(|feature| feature.name.as_str() == METADATA_VERSION);
    if newest.is_some_and(|feature| feature.max_version >= METADATA_VERSION_4_3) {
        warn_of_lost_markers();
    }
    let level = answer
        .finalized_features
        .iter()
        .find(|feature| feature.name.as_str() == TRANSACTION_VERSION)
        .map_or(0, |feature| feature.max_version_level);
    if level >= TRANSACTION_VERSION_MIN {
        return Ok(());
    }
    Err(Trouble::unsupported(format!(
        "the cluster's {TRANSACTION_VERSION} is {level}, kpay needs {TRANSACTION_VERSION_MIN}: Kafka 4.0 or newer, and \
         kafka-features.sh upgrade --feature {TRANSACTION_VERSION}={TRANSACTION_VERSION_MIN}"
    )))
}

/// Once a process: what its operator should know, and no reason to stop.
fn warn_of_lost_markers() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        warn!(
            "the brokers are Kafka 4.3 or newer: without the fix of KAFKA-20734 a transaction that is committed while one \
             of its partitions has no leader stays open for ever; use 4.0 to 4.2, or a release with the fix"
        );
    });
}
