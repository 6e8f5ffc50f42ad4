//! Reads stretches of a topic by their offsets. Only I/O; blocks, so an async caller wraps it in `spawn_blocking`.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use kpay_kafka::admin::watermarks;
use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::quiet::Quiet;
use kpay_streams::kafka::show;
use kpay_streams::record::Record;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

/// A topic that is asked for stretches of a partition. Only what is committed is seen.
pub trait Scan: Send + Sync {
    /// The first offset that is still there, and the one after the last.
    fn ends(&self, partition: i32, timeout: Duration) -> anyhow::Result<(i64, i64)>;

    /// Shows the records of a range of offsets in order; its end is not shown. An error after `timeout`.
    fn range(
        &self,
        partition: i32,
        range: (i64, i64),
        timeout: Duration,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()>;
}

/// A consumer for stretches. Queries take turns.
pub struct KafkaScan {
    consumer: Mutex<BaseConsumer<Quiet>>,
    topic: String,
}

impl KafkaScan {
    /// Reads from `topic`.
    pub fn open(connection: &Connection, topic: String) -> anyhow::Result<Self> {
        let config = connection.reader(Isolation::Committed);
        let consumer = config.create_with_context(Quiet).context("create scan consumer")?;
        Ok(Self { consumer: Mutex::new(consumer), topic })
    }
}

impl Scan for KafkaScan {
    fn ends(&self, partition: i32, timeout: Duration) -> anyhow::Result<(i64, i64)> {
        Ok(watermarks(&self.consumer.lock(), &self.topic, partition, timeout)?)
    }

    fn range(
        &self,
        partition: i32,
        (from, until): (i64, i64),
        timeout: Duration,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> anyhow::Result<()> {
        let consumer = self.consumer.lock();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(from)).context("assign")?;
        consumer.assign(&list).context("assign")?;
        let deadline = Instant::now() + timeout;
        let result = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.poll(left) {
                // Of an earlier stretch.
                Some(Ok(message)) if message.offset() < from || message.partition() != partition => {}
                Some(Ok(message)) if message.offset() < until => show(&message, each),
                Some(Ok(_) | Err(rdkafka::error::KafkaError::PartitionEOF(_))) => break Ok(()),
                Some(Err(error)) => tracing::debug!(%error, "scan"),
                None => {}
            }
            if Instant::now() >= deadline {
                break Err(());
            }
        };
        consumer.unassign().context("unassign")?;
        if result.is_err() {
            bail!("{}/{partition}@{from}..{until} did not come within {timeout:?}", self.topic);
        }
        Ok(())
    }
}
