//! The administrator's side of Kafka, behind a trait so that a reconcile can be tested without a broker. Only
//! I/O; every call blocks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kpay_control::autoscale::Offsets;
use kpay_control::drain::Progress;
use kpay_control::start::Ends;
use kpay_control::topics::TopicState;
use kpay_control::validate::DesiredTopic;
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;
use kpay_kafka::error::KafkaError;

const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the broker did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Kafka's own answer.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The task that waited for the answer ended.
    #[error("the call was stopped")]
    Stopped(#[from] tokio::task::JoinError),
    /// The answer of a twin in a test.
    #[error("{0}")]
    Planted(&'static str),
}

impl BrokerError {
    /// The topic, where it is the broker's answer about one: to ask again is of no use before something is changed.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::Kafka(KafkaError::Topic { topic, .. }) => Some(topic),
            _ => None,
        }
    }
}

/// One Kafka cluster, as an administrator sees it.
pub trait Broker: Send + Sync {
    /// Those of these topics that there are.
    fn topics(&self, names: &[String]) -> Result<BTreeMap<String, TopicState>, BrokerError>;
    /// Makes topics; one that exists is no error.
    fn create_topics(&self, topics: &[(String, DesiredTopic)]) -> Result<(), BrokerError>;
    /// Gives a topic more partitions, so that it has so many.
    fn create_partitions(&self, topic: &str, partitions: i32) -> Result<(), BrokerError>;
    /// Sets some settings and leaves the others.
    fn alter_config(&self, topic: &str, set: &BTreeMap<String, String>) -> Result<(), BrokerError>;
    /// Deletes a topic; one that does not exist is no error.
    fn delete_topic(&self, topic: &str) -> Result<(), BrokerError>;
    /// How far a group is on a topic.
    fn group_progress(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, Progress>, BrokerError>;
    /// How much a group has left on a topic.
    fn group_offsets(&self, group: &str, topic: &str) -> Result<Offsets, BrokerError>;
    /// Takes members that do not come back out of a group.
    fn remove_members(&self, group: &str, instances: &[String]) -> Result<(), BrokerError>;
    /// The ends of each partition, and where the records of a time begin, if one is given.
    fn ends(&self, topic: &str, at_ms: Option<i64>) -> Result<BTreeMap<i32, Ends>, BrokerError>;
    /// What a group has committed; nothing of partitions where it never did.
    fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError>;
    /// Commits offsets with their metadata for a group that has no members.
    fn commit(
        &self,
        group: &str,
        topic: &str,
        offsets: &BTreeMap<i32, (i64, String)>,
    ) -> Result<(), BrokerError>;
}

/// Opens clusters by their bootstrap servers.
pub trait Brokers: Send + Sync {
    /// A client; it connects on the first call and closes when dropped.
    fn open(&self, bootstrap_servers: &str) -> Result<Arc<dyn Broker>, BrokerError>;
}

/// Apache Kafka. A client lives for one pass, so that an operator at rest holds no connections or threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kafka;

impl Brokers for Kafka {
    fn open(&self, bootstrap_servers: &str) -> Result<Arc<dyn Broker>, BrokerError> {
        let connection = Connection {
            bootstrap_servers: bootstrap_servers.to_owned(),
            client_id: "kpay-operator".to_owned(),
        };
        Ok(Arc::new(Admin::new(connection, CALL_TIMEOUT)?))
    }
}

impl Broker for Admin {
    fn topics(&self, names: &[String]) -> Result<BTreeMap<String, TopicState>, BrokerError> {
        let state = |s: kpay_kafka::admin::TopicState| TopicState {
            partitions: s.partitions,
            replication: s.replication,
            config: s.config,
            inherited: s.inherited,
        };
        Ok(self.describe(names)?.into_iter().map(|(name, found)| (name, state(found))).collect())
    }

    fn create_topics(&self, topics: &[(String, DesiredTopic)]) -> Result<(), BrokerError> {
        let state = |desired: &DesiredTopic| kpay_kafka::admin::TopicState {
            partitions: desired.partitions,
            replication: desired.replication,
            config: desired.config.clone(),
            ..kpay_kafka::admin::TopicState::default()
        };
        let topics = topics.iter().map(|(name, desired)| (name.clone(), state(desired))).collect();
        Ok(Admin::create_topics(self, &topics)?)
    }

    fn create_partitions(&self, topic: &str, partitions: i32) -> Result<(), BrokerError> {
        Ok(Admin::create_partitions(self, topic, partitions)?)
    }

    fn alter_config(&self, topic: &str, set: &BTreeMap<String, String>) -> Result<(), BrokerError> {
        Ok(Admin::alter_config(self, topic, set)?)
    }

    fn delete_topic(&self, topic: &str) -> Result<(), BrokerError> {
        Ok(Admin::delete_topic(self, topic)?)
    }

    fn group_progress(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, Progress>, BrokerError> {
        let progress = |p: kpay_kafka::admin::PartitionProgress| Progress {
            last_stable: p.last_stable,
            high_watermark: p.high_watermark,
            data_records_between: p.data_records_between,
        };
        let found = Admin::group_progress(self, group, topic)?;
        Ok(found.into_iter().map(|(partition, found)| (partition, progress(found))).collect())
    }

    fn group_offsets(&self, group: &str, topic: &str) -> Result<Offsets, BrokerError> {
        let found = Admin::group_offsets(self, group, topic)?;
        Ok(Offsets { committed: found.committed, end: found.end })
    }

    fn remove_members(&self, group: &str, instances: &[String]) -> Result<(), BrokerError> {
        Ok(Admin::remove_members(self, group, instances)?)
    }

    fn ends(&self, topic: &str, at_ms: Option<i64>) -> Result<BTreeMap<i32, Ends>, BrokerError> {
        let ends = |e: kpay_kafka::admin::PartitionEnds| Ends { low: e.low, high: e.high, at: e.at };
        let found = Admin::ends(self, topic, at_ms)?;
        Ok(found.into_iter().map(|(partition, found)| (partition, ends(found))).collect())
    }

    fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, BrokerError> {
        Ok(Admin::committed(self, group, topic)?)
    }

    fn commit(
        &self,
        group: &str,
        topic: &str,
        offsets: &BTreeMap<i32, (i64, String)>,
    ) -> Result<(), BrokerError> {
        Ok(Admin::commit(self, group, topic, offsets)?)
    }
}
