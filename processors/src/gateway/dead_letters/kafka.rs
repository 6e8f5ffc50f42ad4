//! ops.dlq in Kafka. Only I/O; every call blocks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use kpay_kafka::KafkaError;
use kpay_kafka::admin::watermarks;
use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::quiet::Quiet;
use kpay_kafka::transaction::{TransactionErrorKind, TransactionalProducer};
use kpay_streams::clock::now_ms;
use kpay_streams::kafka::show;
use kpay_streams::record::Record;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tracing::warn;

use super::log::{Addressed, LetterLog, LettersError, Part, Replayer};
use crate::gateway::owners::Directory;
use crate::names::{Names, StageName, TopicName};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the open transactions of the stages may hold a replay up.
const STABLE_TIMEOUT: Duration = Duration::from_secs(15);
const STABLE_POLL: Duration = Duration::from_millis(20);
/// Between two looks at how many partitions ops.dlq has: it may get more.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// A replayer's topics: a place in here is what its producer knows a topic by.
const TOPICS: [TopicName; 4] =
    [TopicName::Incoming, TopicName::Inflight, TopicName::Complete, TopicName::Dlq];

/// Two consumers that join no group: one sees what is committed, one the true end.
struct Clients {
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer<Quiet>,
    partitions: i32,
    /// When they were counted.
    counted: Instant,
}

/// Kafka. The clients are made when they are needed first.
pub(in crate::gateway) struct KafkaLetters {
    connection: Connection,
    names: Names,
    directory: Directory,
    clients: Mutex<Option<Clients>>,
}

impl KafkaLetters {
    pub(in crate::gateway) fn new(connection: Connection, names: Names, directory: Directory) -> Self {
        Self { connection, names, directory, clients: Mutex::default() }
    }

    fn topic(&self) -> String {
        self.names.topic(TopicName::Dlq)
    }

    fn open(&self) -> Result<Clients, LettersError> {
        let create = |isolation| {
            let mut config = self.connection.reader(isolation);
            config.set("queued.max.messages.kbytes", "4096");
            config.create_with_context(Quiet).map_err(KafkaError::call("create reader"))
        };
        let (committed, uncommitted) = (create(Isolation::Committed)?, create(Isolation::Uncommitted)?);
        let mut clients = Clients { committed, uncommitted, partitions: 0, counted: Instant::now() };
        self.count(&mut clients)?;
        Ok(clients)
    }

    /// Looks how many partitions there are. Not every broker knows of new ones at the same time: what was counted stays.
    fn count(&self, clients: &mut Clients) -> Result<(), LettersError> {
        let topic = self.topic();
        let metadata = clients
            .committed
            .fetch_metadata(Some(&topic), CALL_TIMEOUT)
            .map_err(KafkaError::call("fetch metadata"))?;
        let found = metadata.topics().iter().find(|t| t.name() == topic && t.error().is_none());
        let partitions = i32::try_from(found.map_or(0, |t| t.partitions().len())).unwrap_or(0);
        if partitions == 0 {
            return Err(LettersError::TopicUnknown(TopicName::Dlq));
        }
        clients.partitions = clients.partitions.max(partitions);
        clients.counted = Instant::now();
        Ok(())
    }

    /// Clients that failed are made anew by the next call.
    fn with<T>(&self, call: impl FnOnce(&mut Clients) -> Result<T, LettersError>) -> Result<T, LettersError> {
        let mut held = self.clients.lock();
        let mut clients = match held.take() {
            Some(clients) => clients,
            None => self.open()?,
        };
        let result = call(&mut clients)?;
        *held = Some(clients);
        Ok(result)
    }

    fn ends_of(&self, clients: &Clients, stable: bool) -> Result<Vec<Range<i64>>, LettersError> {
        let client = if stable { &clients.committed } else { &clients.uncommitted };
        let of = |partition| {
            let (first, end) = watermarks(client, &self.topic(), partition, CALL_TIMEOUT)?;
            Ok(first..end)
        };
        (0..clients.partitions).map(of).collect()
    }

    /// Waits until everything that is in ops.dlq now is decided.
    fn wait_until_stable(&self, clients: &Clients) -> Result<(), LettersError> {
        let ends = self.ends_of(clients, false)?;
        let deadline = Instant::now() + STABLE_TIMEOUT;
        loop {
            let stable = self.ends_of(clients, true)?;
            if stable.iter().zip(&ends).all(|(stable, end)| stable.end >= end.end) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LettersError::TimedOut);
            }
            std::thread::sleep(STABLE_POLL);
        }
    }

    fn drain(
        clients: &Clients,
        mut pending: BTreeMap<i32, i64>,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LettersError> {
        let deadline = Instant::now() + READ_TIMEOUT;
        while !pending.is_empty() {
            match clients.committed.poll(deadline.saturating_duration_since(Instant::now())) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition(), message.offset());
                    let Some(until) = pending.get(&partition).copied() else { continue };
                    if offset < until {
                        show(&message, each);
                    }
                    if offset.saturating_add(1) >= until {
                        pending.remove(&partition);
                    }
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    pending.remove(&partition);
                }
                Some(Err(error)) => tracing::debug!(%error, "dead letters"),
                None => return Err(LettersError::TimedOut),
            }
        }
        Ok(())
    }
}

impl LetterLog for KafkaLetters {
    fn partitions(&self, topic: TopicName) -> Result<i32, LettersError> {
        let stage = StageName::ALL.into_iter().find(|stage| stage.input() == topic);
        let partitions = stage.and_then(|stage| self.directory.owners().partitions(stage));
        partitions.ok_or(LettersError::TopicUnknown(topic))
    }

    fn ends(&self) -> Result<Vec<Range<i64>>, LettersError> {
        self.with(|clients| {
            if clients.counted.elapsed() >= COUNT_EVERY {
                self.count(clients)?;
            }
            self.ends_of(clients, true)
        })
    }

    fn read(&self, parts: &[Part], each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LettersError> {
        let topic = self.topic();
        let mut list = TopicPartitionList::with_capacity(parts.len());
        let mut pending = BTreeMap::new();
        for Part { partition, offsets } in parts.iter().filter(|part| !part.offsets.is_empty()) {
            let from = Offset::Offset(offsets.start);
            list.add_partition_offset(&topic, *partition, from).map_err(KafkaError::call("assign"))?;
            pending.insert(*partition, offsets.end);
        }
        self.with(|clients| {
            clients.committed.assign(&list).map_err(KafkaError::call("assign"))?;
            Self::drain(clients, pending, each)?;
            Ok(clients.committed.unassign().map_err(KafkaError::call("unassign"))?)
        })
    }

    fn replayer(&self) -> Result<Box<dyn Replayer>, LettersError> {
        let topics = TOPICS.map(|topic| self.names.topic(topic));
        let id = format!("{}dead-letters", self.names.prefix);
        // One id for all gateways: it fences the others, and ends what they have begun.
        let producer = TransactionalProducer::open(self.connection.clone(), &id, &topics)?;
        self.with(|clients| {
            self.count(clients)?;
            self.wait_until_stable(clients)?;
            // The ends that are looked at next are those of the partitions that were waited for.
            clients.counted = Instant::now();
            Ok(())
        })?;
        Ok(Box::new(KafkaReplayer(producer)))
    }
}

struct KafkaReplayer(TransactionalProducer);

impl KafkaReplayer {
    fn write(&mut self, records: Vec<Addressed>) -> Result<(), LettersError> {
        for Addressed { topic, partition, key, value, headers } in records {
            let place = TOPICS.iter().position(|known| *known == topic);
            let place = place.ok_or(LettersError::TopicUnknown(topic))?;
            self.0.append(place, partition, now_ms(), &key, Some(&value), &headers)?;
        }
        // Nothing is read in a group.
        Ok(self.0.commit(|| None, "", &[])?)
    }
}

impl Replayer for KafkaReplayer {
    fn append(&mut self, records: Vec<Addressed>) -> Result<(), LettersError> {
        self.write(records).inspect_err(|error| {
            // Whatever stays open is ended by the next replayer, or by the broker after ten seconds.
            if matches!(error, LettersError::Transaction(e) if e.kind == TransactionErrorKind::Abort)
                && let Err(error) = self.0.abort()
            {
                warn!(%error, "a replay was not undone yet");
            }
        })
    }
}
