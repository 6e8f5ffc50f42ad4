//! Writes items to payment.incoming in Kafka, as fast as the broker takes them. Only I/O, and blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kpay_kafka::KafkaError;
use kpay_kafka::config::Connection;
use kpay_kafka::partition::partition_of;
use rdkafka::error::KafkaError as Refused;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use super::drive::Open;
use super::settings::Plan;
use super::stats::{Sent, Stats};
use super::workload::Item;

const PAUSE: Duration = Duration::from_millis(1);
const END_TIMEOUT: Duration = Duration::from_secs(30);
/// A stop is looked for between so many records.
const STRIDE: u64 = 1_024;

/// Counts what the broker refuses or does not confirm; with `delivery.report.only.error` it hears of nothing else.
struct Failures(Arc<Stats>);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.add(Sent::Failed, 1);
        }
    }
}

/// A producer for one topic.
pub struct Topic {
    producer: BaseProducer<Failures>,
    name: String,
    partitions: i32,
    stats: Arc<Stats>,
    buffer: Vec<u8>,
    written: u64,
}

impl Topic {
    /// Opens a producer that batches for `linger_ms`.
    pub fn open(
        connection: &Connection,
        name: String,
        partitions: i32,
        linger_ms: u32,
        stats: Arc<Stats>,
    ) -> Result<Self, KafkaError> {
        let mut config: ClientConfig = connection.producer();
        config
            .set("linger.ms", linger_ms.to_string())
            .set("queue.buffering.max.messages", "500000")
            .set("batch.num.messages", "20000")
            .set("delivery.report.only.error", "true");
        let producer = config
            .create_with_context(Failures(Arc::clone(&stats)))
            .map_err(KafkaError::call("create producer"))?;
        Ok(Self { producer, name, partitions, stats, buffer: Vec::new(), written: 0 })
    }

    /// Hands an item to the producer; waits while its queue is full. False when it was told to stop meanwhile.
    pub fn write(&mut self, item: &Item, stop: &AtomicBool) -> Result<bool, KafkaError> {
        self.buffer.clear();
        item.encode(&mut self.buffer);
        let key = item.id().as_str();
        let partition = partition_of(key.as_bytes(), self.partitions);
        let mut record = BaseRecord::to(&self.name).partition(partition).key(key).payload(&self.buffer);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((Refused::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(PAUSE);
                    record = back;
                    if stop.load(Ordering::Relaxed) {
                        return Ok(false);
                    }
                }
                Err((error, _)) => return Err(KafkaError::call("produce")(error)),
            }
        }
        self.written += 1;
        Ok(true)
    }

    /// Serves the producer, and counts what the broker has confirmed by now.
    fn serve(&self, wait: Duration) {
        self.producer.poll(wait);
        let waiting = u64::try_from(self.producer.in_flight_count()).unwrap_or(0);
        let counts = self.stats.counts();
        let confirmed = self.written.saturating_sub(waiting).saturating_sub(counts.failed);
        self.stats.add(Sent::Taken, confirmed.saturating_sub(counts.taken));
    }

    /// Opens the accounts if the plan says so, then writes payments until the plan or `stop` ends it.
    pub fn run(&mut self, plan: &Plan, open: &Open, stop: &AtomicBool) -> Result<(), KafkaError> {
        if let Some(funding) = plan.funding_minor {
            for number in 0..plan.workload.accounts() {
                let Ok(opening) = plan.workload.opening(number, funding) else { break };
                if !self.write(&Item::Intake(opening), stop)? {
                    break;
                }
            }
            self.flush();
        }
        self.pay(plan, open, stop)?;
        self.flush();
        Ok(())
    }

    fn pay(&mut self, plan: &Plan, open: &Open, stop: &AtomicBool) -> Result<(), KafkaError> {
        let end = plan.duration.unwrap_or(Duration::MAX);
        let (mut number, mut active, mut last) = (0, Duration::ZERO, Instant::now());
        while number < plan.count && active < end && !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            if open() {
                active = (active + (now - last)).min(end);
            }
            last = now;
            // In strides, so that a stop and the end are seen while it is behind.
            let due = plan.shape.due_by(active).min(plan.count).min(number.saturating_add(STRIDE));
            let idle = if number < due { Duration::ZERO } else { PAUSE };
            while number < due {
                let Ok(item) = plan.workload.item(number) else { return Ok(()) };
                if !self.write(&item, stop)? {
                    return Ok(());
                }
                number += 1;
            }
            self.serve(idle);
        }
        Ok(())
    }

    fn flush(&self) {
        // An error is the time-out: what is left is not confirmed and counted as failed below.
        let _ = self.producer.flush(END_TIMEOUT);
        self.serve(Duration::ZERO);
        let counts = self.stats.counts();
        let unknown = self.written.saturating_sub(counts.taken).saturating_sub(counts.failed);
        self.stats.add(Sent::Failed, unknown);
    }
}
