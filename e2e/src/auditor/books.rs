//! Reads the topics from the beginning to the end. Only I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kpay::names::{Names, TopicName};
use kpay_kafka::config::{Connection, Isolation};
use kpay_streams::embedded::Store;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::record::{Entry, Outcome, intake_id};

const READ_TIMEOUT: Duration = Duration::from_mins(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Where.
    pub partition: i32,
    /// Where.
    pub offset: i64,
    /// When: by the producer's clock, or the broker's where the topic says `LogAppendTime`.
    pub timestamp_ms: i64,
    /// `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// The bytes.
    pub value: Vec<u8>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Raw {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            let each = headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec()));
            each.collect::<Vec<_>>()
        });
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers.unwrap_or_default(),
        }
    }

    /// The last header of a name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// The last header of a name, as text.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// A record of payment.incoming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it lies.
    pub at: (i32, i64),
    /// `None` when the auditor cannot tell.
    pub id: Option<String>,
}

/// A record of ops.dlq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Why.
    pub code: String,
    /// The topic that it came from.
    pub topic: String,
    /// Where it lay there.
    pub at: (i32, i64),
}

/// All that the topics of a pipeline say.
#[derive(Debug, Clone, Default)]
pub struct Books {
    /// payment.incoming.
    pub incoming: Vec<Received>,
    /// account.ledger, each partition in order.
    pub ledger: Vec<Entry>,
    /// payment.complete.
    pub complete: Vec<Outcome>,
    /// payment.confirmed.
    pub confirmed: Vec<Outcome>,
    /// ops.dlq.
    pub letters: Vec<Letter>,
    /// Records of the topics inside that the auditor cannot read: topic, partition, offset.
    pub unreadable: Vec<(String, i32, i64)>,
    /// The name of payment.incoming.
    pub incoming_topic: String,
}

/// Reads every topic that the auditor needs.
pub fn read(connection: &Connection, names: &Names) -> anyhow::Result<Books> {
    collect(names, &|name, each| topic(connection, name, each))
}

/// As [`read`], of the embedded log of a process that has ended.
pub fn read_store(store: &Store, names: &Names) -> anyhow::Result<Books> {
    collect(names, &|name, each| stored(store, name, each))
}

/// Shows every record of a topic.
type Source<'a> = &'a dyn Fn(&str, &mut dyn FnMut(Raw)) -> anyhow::Result<()>;

fn collect(names: &Names, topic: Source<'_>) -> anyhow::Result<Books> {
    let mut books = Books { incoming_topic: names.topic(TopicName::Incoming), ..Books::default() };
    topic(&names.topic(TopicName::Incoming), &mut |raw| {
        let id = intake_id(&raw.value, raw.header("content-type"));
        books.incoming.push(Received { at: (raw.partition, raw.offset), id });
    })?;
    let mut unreadable = Vec::new();
    let ledger = names.topic(TopicName::Ledger);
    topic(&ledger, &mut |raw| match Entry::decode(raw.partition, &raw.value) {
        Ok(entry) => books.ledger.push(entry),
        Err(_) => unreadable.push((ledger.clone(), raw.partition, raw.offset)),
    })?;
    let complete = names.topic(TopicName::Complete);
    topic(&complete, &mut |raw| match Outcome::decode(&raw.value) {
        Ok(outcome) => books.complete.push(outcome),
        Err(_) => unreadable.push((complete.clone(), raw.partition, raw.offset)),
    })?;
    let confirmed = names.topic(TopicName::Confirmed);
    topic(&confirmed, &mut |raw| match Outcome::from_json(&raw.value) {
        Some(outcome) => books.confirmed.push(outcome),
        None => unreadable.push((confirmed.clone(), raw.partition, raw.offset)),
    })?;
    let dlq = names.topic(TopicName::Dlq);
    topic(&dlq, &mut |raw| match letter(&raw) {
        Some(letter) => books.letters.push(letter),
        // Says that a letter was replayed.
        None if raw.header("kpay-dlq-replayed").is_some() => {}
        None => unreadable.push((dlq.clone(), raw.partition, raw.offset)),
    })?;
    books.unreadable = unreadable;
    Ok(books)
}

fn letter(raw: &Raw) -> Option<Letter> {
    let partition = raw.header_text("kpay-dlq-partition")?.parse().ok()?;
    let offset = raw.header_text("kpay-dlq-offset")?.parse().ok()?;
    Some(Letter {
        code: raw.header_text("kpay-dlq-code")?.to_owned(),
        topic: raw.header_text("kpay-dlq-topic")?.to_owned(),
        at: (partition, offset),
    })
}

/// All records of a topic that are committed by now.
pub fn records(connection: &Connection, name: &str) -> anyhow::Result<Vec<Raw>> {
    let mut found = Vec::new();
    topic(connection, name, &mut |raw| found.push(raw))?;
    Ok(found)
}

fn open(connection: &Connection, name: &str) -> anyhow::Result<(BaseConsumer, i32)> {
    let consumer: BaseConsumer = connection.reader(Isolation::Committed).create()?;
    let metadata = consumer.fetch_metadata(Some(name), CALL_TIMEOUT)?;
    let found = metadata.topics().iter().find(|t| t.name() == name && t.error().is_none());
    let partitions = i32::try_from(found.map_or(0, |t| t.partitions().len()))?;
    ensure!(partitions > 0, "there is no topic {name}");
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(name, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    Ok((consumer, partitions))
}

fn stored(store: &Store, name: &str, each: &mut dyn FnMut(Raw)) -> anyhow::Result<()> {
    let topic = store.topic(name)?;
    for partition in 0..topic.partitions {
        let (first, end) = store.ends(topic, partition)?;
        for offset in first..end {
            let found = store.get(topic, partition, offset, &mut |record| {
                let mut headers = Vec::new();
                record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
                let key = Some(record.key.to_vec());
                let timestamp_ms = record.timestamp_ms;
                each(Raw { partition, offset, timestamp_ms, key, value: record.value.to_vec(), headers });
            })?;
            ensure!(found, "{name}/{partition} has no record {offset}");
        }
    }
    Ok(())
}

fn topic(connection: &Connection, name: &str, each: &mut dyn FnMut(Raw)) -> anyhow::Result<()> {
    let (consumer, partitions) = open(connection, name)?;
    let mut at_end = BTreeSet::new();
    let deadline = Instant::now() + READ_TIMEOUT;
    while at_end.len() < usize::try_from(partitions)? {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "{name} could not be read to its end");
        match consumer.poll(left) {
            Some(Ok(message)) => each(Raw::of(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                at_end.insert(partition);
            }
            Some(Err(error)) => return Err(error).with_context(|| name.to_owned()),
            None => {}
        }
    }
    Ok(())
}

/// Follows payment.confirmed and remembers which ids have an outcome.
pub struct Tail {
    consumer: BaseConsumer,
    /// How often each id was seen.
    pub seen: BTreeMap<String, u32>,
}

impl Tail {
    /// From the beginning.
    pub fn open(connection: &Connection, names: &Names) -> anyhow::Result<Self> {
        let (consumer, _) = open(connection, &names.topic(TopicName::Confirmed))?;
        Ok(Self { consumer, seen: BTreeMap::new() })
    }

    /// Reads on until `done` says so of the ids seen so far; fails after `within`. A broker that is away is waited for.
    pub fn follow(
        &mut self,
        within: Duration,
        mut done: impl FnMut(&BTreeMap<String, u32>) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while !done(&self.seen) {
            if Instant::now() > deadline {
                bail!("{} ids have an outcome after {within:?}", self.seen.len());
            }
            // One answer for many records: asking after each would be quadratic.
            for _ in 0..500 {
                match self.consumer.poll(Duration::from_millis(20)) {
                    Some(Ok(message)) => {
                        if let Some(id) = message.key().and_then(|key| std::str::from_utf8(key).ok()) {
                            *self.seen.entry(id.to_owned()).or_default() += 1;
                        }
                    }
                    Some(Err(_)) => {}
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Until each of `ids` has an outcome; the error names some that have none.
    pub fn wait_for(&mut self, ids: &BTreeSet<String>, within: Duration) -> anyhow::Result<()> {
        let result =
            self.follow(within, |seen| seen.len() >= ids.len() && ids.iter().all(|id| seen.contains_key(id)));
        result.with_context(|| {
            let missing: Vec<&String> = ids.iter().filter(|id| !self.seen.contains_key(*id)).collect();
            format!(
                "{} of {} ids have no outcome, such as {:?}",
                missing.len(),
                ids.len(),
                missing.iter().take(5).collect::<Vec<_>>()
            )
        })
    }
}
