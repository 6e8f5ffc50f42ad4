//! Writes records to their partitions, and knows whether all of them were kept. Only I/O, and blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use kpay_kafka::config::Connection;
use rdkafka::ClientContext;
use rdkafka::error::KafkaError as Refused;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

const PAUSE: Duration = Duration::from_millis(10);
const CLOSE_TIMEOUT: Duration = Duration::from_mins(1);

/// Notes that a record was not kept.
struct Lost(Arc<AtomicBool>);

impl ClientContext for Lost {}

impl ProducerContext for Lost {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A producer for one topic.
pub(super) struct Writer {
    producer: BaseProducer<Lost>,
    topic: String,
    partitions: i32,
    lost: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn open(connection: &Connection, topic: &str, partitions: i32) -> anyhow::Result<Self> {
        let lost = Arc::<AtomicBool>::default();
        let producer: BaseProducer<Lost> = connection
            .producer()
            .set("linger.ms", "20")
            // One transaction, and one writer at a time: an earlier Job that is still alive writes nothing any more.
            .set("transactional.id", format!("{topic}-rebuild"))
            .set("transaction.timeout.ms", "900000") // what a broker allows at most
            .create_with_context(Lost(Arc::clone(&lost)))
            .context("create producer")?;
        producer.init_transactions(CLOSE_TIMEOUT).context("fence earlier writers")?;
        producer.begin_transaction().context("begin")?;
        Ok(Self { producer, topic: topic.to_owned(), partitions, lost })
    }

    /// Hands a record to the producer; waits while its queue is full.
    pub(super) fn write(&mut self, partition: i32, key: &[u8], value: &[u8]) -> anyhow::Result<()> {
        ensure!(partition < self.partitions, "{} has no partition {partition}", self.topic);
        let mut record = BaseRecord::to(&self.topic).partition(partition).key(key).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((Refused::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(PAUSE);
                    record = back;
                }
                Err((error, _)) => return Err(error).context("produce"),
            }
        }
    }

    /// Waits until the broker has all of them.
    pub(super) fn close(self) -> anyhow::Result<()> {
        self.producer.flush(CLOSE_TIMEOUT).with_context(|| format!("write {}", self.topic))?;
        ensure!(!self.lost.load(Ordering::Relaxed), "{} did not take every record", self.topic);
        self.producer.commit_transaction(CLOSE_TIMEOUT).with_context(|| format!("commit {}", self.topic))
    }
}
