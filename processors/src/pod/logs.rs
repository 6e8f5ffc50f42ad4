//! Where the workers of a stage get their logs from: here Kafka. Only I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use kpay_kafka::KafkaError;
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;
use kpay_kafka::group;
use kpay_streams::kafka::{Identity, KafkaLog};
use kpay_streams::log::{Log, LogError};
use kpay_streams::out::Topic;
use tracing::info;

use crate::args::RunArgs;
use crate::lookup::{KafkaLookup, Lookup};
use crate::names::{StageName, TopicName};
use crate::scan::{KafkaScan, Scan};

const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a pod waits for its topics before it leaves, and is started again.
const TOPIC_WAIT: Duration = Duration::from_mins(1);
const TOPIC_POLL: Duration = Duration::from_millis(500);
/// Fetched ahead by a worker, in KiB: some ten thousand records, and a bound for the memory.
const FETCH_AHEAD_KIB: u32 = 4_096;

/// The logs of one stage: one for each worker.
pub trait Logs: Send + Sync {
    /// A worker's log.
    type Log: Log;

    /// The topics of the stage, in the order of [`StageName::topics`].
    fn topics(&self) -> &[Topic];

    /// Opens the log of a worker, in its thread.
    fn open(&self, worker: usize) -> Result<Self::Log, LogError>;

    /// The stage's workers in this process have stopped: what they had goes to the others, if there are any.
    fn leave(&self, _workers: usize) -> Result<(), KafkaError> {
        Ok(())
    }

    /// Single records of the stage's input.
    fn lookup(&self) -> anyhow::Result<Arc<dyn Lookup>>;

    /// Stretches of account.ledger, where the stage has it.
    fn ledger(&self) -> anyhow::Result<Arc<dyn Scan>>;
}

/// Kafka, as one pod knows it.
pub struct KafkaLogs {
    connection: Connection,
    topics: Vec<Topic>,
    group: String,
    prefix: String,
    pod: String,
}

impl KafkaLogs {
    /// Looks the topics of a stage up and waits a while for those that are not there yet. Blocks.
    pub fn find(args: &RunArgs, stage: StageName) -> anyhow::Result<Self> {
        let names = args.pod.names();
        let connection = Connection {
            bootstrap_servers: args.pod.bootstrap_servers.clone(),
            client_id: args.pod.advertised_address.clone(),
        };
        let admin = Admin::new(connection.clone(), ADMIN_TIMEOUT)?;
        let mut topics = Vec::new();
        for topic in stage.topics() {
            let name = names.topic(*topic);
            let partitions = partitions_of(&admin, &name).with_context(|| {
                format!("topic {name} at KPAY_BOOTSTRAP_SERVERS {}", args.pod.bootstrap_servers)
            })?;
            topics.push(Topic { name, partitions });
        }
        let (group, prefix, pod) = (names.group(stage), names.prefix, args.pod.pod_name.clone());
        Ok(Self { connection, topics, group, prefix, pod })
    }

    /// The stable name of a worker.
    fn slot(&self, worker: usize) -> String {
        format!("{}-{worker}", self.pod)
    }
}

/// The partition count of a topic that may be in the making. Blocks.
pub(crate) fn partitions_of(admin: &Admin, topic: &str) -> Result<i32, KafkaError> {
    let deadline = Instant::now() + TOPIC_WAIT;
    loop {
        match admin.partition_count(topic) {
            Err(error) if Instant::now() < deadline => {
                info!(topic, %error, "waiting for the topic");
                std::thread::sleep(TOPIC_POLL);
            }
            result => return result,
        }
    }
}

impl Logs for KafkaLogs {
    type Log = KafkaLog;

    fn topics(&self) -> &[Topic] {
        &self.topics
    }

    fn open(&self, worker: usize) -> Result<KafkaLog, LogError> {
        let slot = self.slot(worker);
        let identity = Identity {
            group: self.group.clone(),
            transactional_id: format!("{}{slot}", self.prefix),
            instance: slot,
            fetch_ahead_kib: FETCH_AHEAD_KIB,
        };
        KafkaLog::open(&self.connection, &identity, self.topics.clone())
    }

    /// A static member keeps its partitions while it is away, which is as long as a pod takes to start. Where it is alone
    /// that is as well: nobody else could take them, and a group without members starts with a delay.
    fn leave(&self, workers: usize) -> Result<(), KafkaError> {
        let instances: Vec<String> = (0..workers).map(|worker| self.slot(worker)).collect();
        group::leave(&self.connection, &self.group, &instances, LEAVE_TIMEOUT)
    }

    fn lookup(&self) -> anyhow::Result<Arc<dyn Lookup>> {
        let input = self.topics.first().map(|topic| topic.name.clone()).unwrap_or_default();
        Ok(Arc::new(KafkaLookup::open(&self.connection, input)?))
    }

    fn ledger(&self) -> anyhow::Result<Arc<dyn Scan>> {
        let index = StageName::Account.index(TopicName::Ledger).0;
        let ledger = self.topics.get(index).context("the stage has no ledger")?;
        Ok(Arc::new(KafkaScan::open(&self.connection, ledger.name.clone())?))
    }
}
