//! Who owns which key, kept fresh by a thread of its own. Only I/O.
//!
//! The group descriptions of Kafka give the owners. During a rebalance a description holds no assignment; the owner of
//! before is kept then, since a pod that is asked wrongly says so (421).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::partition::partition_of;
use kpay_kafka::{KafkaError, group};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::watch;
use tracing::{info, warn};

use super::GatewayStatus;
use crate::names::{Names, StageName};

const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Between two refreshes, however many ask for one.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// Partition counts change only by a wipe.
const COUNTS_INTERVAL: Duration = Duration::from_secs(30);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question waits for an early refresh.
const EARLY_REFRESH_MAX: Duration = Duration::from_secs(1);

/// The input topic of one stage.
#[derive(Debug, Clone, Default)]
struct Input {
    partitions: Option<i32>,
    owners: BTreeMap<i32, String>,
}

/// Owners and partition counts at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Owners {
    inflight: Input,
    account: Input,
    confirmed: Input,
}

impl Owners {
    fn input(&self, stage: StageName) -> &Input {
        match stage {
            StageName::Inflight => &self.inflight,
            StageName::Account => &self.account,
            StageName::Confirmed => &self.confirmed,
        }
    }

    fn input_mut(&mut self, stage: StageName) -> &mut Input {
        match stage {
            StageName::Inflight => &mut self.inflight,
            StageName::Account => &mut self.account,
            StageName::Confirmed => &mut self.confirmed,
        }
    }

    /// The partitions of the stage's input, once known.
    pub(super) fn partitions(&self, stage: StageName) -> Option<i32> {
        self.input(stage).partitions
    }

    /// Where the owner of a key answers.
    pub(super) fn owner(&self, stage: StageName, key: &str) -> Option<&str> {
        let partition = partition_of(key.as_bytes(), self.partitions(stage)?);
        self.owner_of(stage, partition)
    }

    /// Where the owner of a partition answers.
    pub(super) fn owner_of(&self, stage: StageName, partition: i32) -> Option<&str> {
        self.input(stage).owners.get(&partition).map(String::as_str)
    }

    /// Where every owner of the stage answers.
    pub(super) fn pods(&self, stage: StageName) -> BTreeSet<&str> {
        self.input(stage).owners.values().map(String::as_str).collect()
    }

    fn complete(&self) -> bool {
        StageName::ALL.iter().all(|stage| self.partitions(*stage).is_some())
    }
}

/// The owners as last read.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    table: watch::Receiver<Arc<Owners>>,
    wake: SyncSender<()>,
}

impl Directory {
    /// Starts the thread; it ends with the last clone of the directory.
    pub(super) fn start(
        connection: &Connection,
        names: Names,
        status: Arc<GatewayStatus>,
    ) -> Result<Self, KafkaError> {
        let config = connection.reader(Isolation::Committed);
        let client: BaseConsumer = config.create().map_err(KafkaError::call("create metadata client"))?;
        let (sender, table) = watch::channel(Arc::default());
        let (wake, woken) = sync_channel(1);
        let reader = Reader { client, names, status, counts_read: None };
        let spawned =
            std::thread::Builder::new().name("owners".to_owned()).spawn(move || reader.run(&woken, &sender));
        if let Err(error) = spawned {
            // Nothing is known then, ever: not ready, and every question is answered with 503.
            warn!(%error, "no thread for the owners");
        }
        Ok(Self { table, wake })
    }

    /// As last read.
    pub(super) fn owners(&self) -> Arc<Owners> {
        Arc::clone(&self.table.borrow())
    }

    /// Reads anew, and waits for it.
    pub(super) async fn refresh(&self) {
        let mut table = self.table.clone();
        table.mark_unchanged();
        // A full channel is a refresh that was asked for already.
        let _asked_already = self.wake.try_send(());
        drop(tokio::time::timeout(EARLY_REFRESH_MAX, table.changed()).await);
    }
}

struct Reader {
    client: BaseConsumer,
    names: Names,
    status: Arc<GatewayStatus>,
    counts_read: Option<Instant>,
}

impl Reader {
    fn run(mut self, woken: &Receiver<()>, sender: &watch::Sender<Arc<Owners>>) {
        let mut owners = Owners::default();
        loop {
            let connected = self.read(&mut owners);
            if self.status.kafka_connected.swap(connected, Ordering::AcqRel) != connected {
                info!(connected, "Kafka");
            }
            self.status.topics_known.store(owners.complete(), Ordering::Release);
            sender.send_replace(Arc::new(owners.clone()));
            std::thread::sleep(REFRESH_PAUSE);
            match woken.recv_timeout(REFRESH_INTERVAL) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Whether the broker answered everything.
    fn read(&mut self, owners: &mut Owners) -> bool {
        let mut answered = true;
        let counts_due = self.counts_read.is_none_or(|at| at.elapsed() >= COUNTS_INTERVAL);
        for stage in StageName::ALL {
            let input = owners.input_mut(stage);
            let topic = self.names.topic(stage.input());
            if counts_due || input.partitions.is_none() {
                match self.partitions(&topic) {
                    Ok(Some(partitions)) => input.partitions = Some(partitions),
                    Ok(None) => {}
                    Err(error) => {
                        warn!(%error, topic, "partitions");
                        answered = false;
                        continue;
                    }
                }
            }
            match group::owners(&self.client, &self.names.group(stage), &topic, CALL_TIMEOUT) {
                Ok(read) => input.owners.extend(read),
                Err(error) => {
                    warn!(%error, group = self.names.group(stage), "owners");
                    answered = false;
                }
            }
        }
        if answered && counts_due {
            self.counts_read = Some(Instant::now());
        }
        answered
    }

    /// `None` while the topic does not exist.
    fn partitions(&self, topic: &str) -> Result<Option<i32>, KafkaError> {
        let metadata = self
            .client
            .fetch_metadata(Some(topic), CALL_TIMEOUT)
            .map_err(KafkaError::call("fetch metadata"))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
        let partitions = found.map_or(0, |t| t.partitions().len());
        Ok(i32::try_from(partitions).ok().filter(|partitions| *partitions > 0))
    }
}

#[cfg(test)]
impl Directory {
    /// A directory that each refresh turns into the next of `tables`: (stage, partition 0's owner).
    pub(super) fn scripted(tables: Vec<(StageName, String)>) -> Self {
        let mut tables = tables.into_iter().map(|(stage, pod)| {
            let mut owners = Owners::default();
            *owners.input_mut(stage) = Input { partitions: Some(1), owners: BTreeMap::from([(0, pod)]) };
            Arc::new(owners)
        });
        let (sender, table) = watch::channel(tables.next().unwrap_or_default());
        let (wake, woken) = sync_channel(1);
        std::thread::spawn(move || {
            while woken.recv() == Ok(()) {
                let next = tables.next().unwrap_or_else(|| Arc::clone(&sender.borrow()));
                sender.send_replace(next);
            }
        });
        Self { table, wake }
    }

    /// A directory in which each of these owns one partition of the accounts.
    pub(super) fn of_accounts(pods: Vec<String>) -> Self {
        let owners: BTreeMap<i32, String> = (0..).zip(pods).collect();
        let account = Input { partitions: i32::try_from(owners.len()).ok(), owners };
        let (_, table) = watch::channel(Arc::new(Owners { account, ..Owners::default() }));
        Self { table, wake: sync_channel(1).0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_asked_of_the_pod_that_owns_its_partition() {
        let mut owners = Owners::default();
        assert_eq!(owners.owner(StageName::Account, "alice"), None, "no partition count is known");
        let partition = partition_of(b"alice", 4);
        owners.account.partitions = Some(4);
        assert_eq!(owners.owner(StageName::Account, "alice"), None, "nobody owns it");
        owners.account.owners.insert(partition, "a-0:9090".to_owned());
        owners.account.owners.insert((partition + 1) % 4, "a-1:9090".to_owned());
        assert_eq!(owners.owner(StageName::Account, "alice"), Some("a-0:9090"));
        assert_eq!(owners.owner(StageName::Inflight, "alice"), None);
        assert_eq!(owners.pods(StageName::Account).len(), 2);
    }
}
