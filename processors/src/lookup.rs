//! Reads one record of a topic by its place. Only I/O; blocks, so an async caller wraps it in `spawn_blocking`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::quiet::Quiet;
use kpay_streams::kafka::show;
use kpay_streams::record::Record;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

/// The log that a stage reads, asked for single records.
pub trait Lookup: Send + Sync {
    /// Shows the record at `offset` to `read`; false when the log no longer has it. Gives up after `timeout`.
    fn get(
        &self,
        partition: i32,
        offset: i64,
        timeout: Duration,
        read: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<bool>;
}

/// A consumer for single records. Queries take turns.
pub struct KafkaLookup {
    consumer: Mutex<BaseConsumer<Quiet>>,
    topic: String,
}

impl KafkaLookup {
    /// Reads from `topic`.
    pub fn open(connection: &Connection, topic: String) -> anyhow::Result<Self> {
        let mut config = connection.reader(Isolation::Committed);
        config.set("queued.min.messages", "1").set("fetch.message.max.bytes", "4096");
        let consumer = config.create_with_context(Quiet).context("create lookup consumer")?;
        Ok(Self { consumer: Mutex::new(consumer), topic })
    }
}

impl Lookup for KafkaLookup {
    fn get(
        &self,
        partition: i32,
        offset: i64,
        timeout: Duration,
        read: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<bool> {
        let consumer = self.consumer.lock();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset)).context("assign")?;
        consumer.assign(&list).context("assign")?;
        let deadline = Instant::now() + timeout;
        let found = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.poll(left) {
                Some(Ok(message)) if message.offset() == offset && message.partition() == partition => {
                    show(&message, &mut |record| read(record));
                    break true;
                }
                Some(Ok(message)) if message.offset() <= offset => {}
                Some(Ok(_) | Err(rdkafka::error::KafkaError::PartitionEOF(_))) => break false,
                Some(Err(error)) => tracing::debug!(%error, "lookup"),
                None if left.is_zero() => {
                    consumer.unassign().context("unassign")?;
                    bail!("{}/{partition}@{offset} did not come within {timeout:?}", self.topic);
                }
                None => {}
            }
        };
        consumer.unassign().context("unassign")?;
        Ok(found)
    }
}
