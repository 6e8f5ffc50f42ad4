//! Writes items to payment.incoming in Kafka, as fast as the broker takes them. Only I/O, and blocks.

use std::sync::Arc;
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
/// Between two looks while the intake is closed.
const CLOSED_PAUSE: Duration = Duration::from_millis(20);
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

/// Whether to leave off, asked now and then.
pub type Leave<'a> = &'a dyn Fn() -> bool;

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

    /// Hands an item to the producer; waits while its queue is full. False when it was told to leave off meanwhile.
    fn write(&mut self, item: &Item, leave: Leave<'_>) -> Result<bool, KafkaError> {
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
                    if leave() {
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
    pub fn serve(&self, wait: Duration) {
        self.producer.poll(wait);
        let waiting = u64::try_from(self.producer.in_flight_count()).unwrap_or(0);
        let counts = self.stats.counts();
        let confirmed = self.written.saturating_sub(waiting).saturating_sub(counts.failed);
        self.stats.add(Sent::Taken, confirmed.saturating_sub(counts.taken));
    }

    /// Opens the accounts if the plan says so, then writes payments until the plan ends or `leave` says so.
    pub fn run(&mut self, plan: &Plan, open: &Open, leave: Leave<'_>) -> Result<(), KafkaError> {
        if self.open_accounts(plan, open, leave)? {
            self.pay(plan, open, leave)?;
        }
        self.flush();
        Ok(())
    }

    /// Opens the accounts if the plan says so, while the intake is open. True when the broker has all of them; false when
    /// it was told to leave off, or the broker did not confirm one.
    pub fn open_accounts(&mut self, plan: &Plan, open: &Open, leave: Leave<'_>) -> Result<bool, KafkaError> {
        let Some(funding) = plan.funding_minor else { return Ok(true) };
        let failed = self.stats.counts().failed;
        for number in 0..plan.workload.accounts() {
            while number % STRIDE == 0 && !open() && !leave() {
                self.serve(CLOSED_PAUSE);
            }
            if number % STRIDE == 0 && leave() {
                return Ok(false);
            }
            let Ok(opening) = plan.workload.opening(number, funding) else { break };
            if !self.write(&Item::Intake(opening), leave)? {
                return Ok(false);
            }
        }
        self.flush();
        Ok(self.stats.counts().failed == failed)
    }

    /// Writes payments while the intake is open, until the plan ends or `leave` says so.
    pub fn pay(&mut self, plan: &Plan, open: &Open, leave: Leave<'_>) -> Result<(), KafkaError> {
        let end = plan.duration.unwrap_or(Duration::MAX);
        let (mut number, mut active, mut last) = (0, Duration::ZERO, Instant::now());
        while number < plan.count && active < end && !leave() {
            let (now, before) = (Instant::now(), last);
            last = now;
            if !open() {
                self.serve(CLOSED_PAUSE);
                continue;
            }
            active = (active + (now - before)).min(end);
            // In strides, so that a stop, the end and a closed intake are seen while it is behind.
            let due = plan.due_by(active).min(number.saturating_add(STRIDE));
            let idle = if number < due { Duration::ZERO } else { PAUSE };
            while number < due {
                let Ok(item) = plan.workload.item(number) else { return Ok(()) };
                if !self.write(&item, leave)? {
                    return Ok(());
                }
                number += 1;
            }
            self.serve(idle);
        }
        Ok(())
    }

    /// Waits until the broker has what was written.
    pub fn flush(&self) {
        // An error is the time-out: what is left is not confirmed and counted as failed below.
        let _ = self.producer.flush(END_TIMEOUT);
        self.serve(Duration::ZERO);
        let counts = self.stats.counts();
        let unknown = self.written.saturating_sub(counts.taken).saturating_sub(counts.failed);
        self.stats.add(Sent::Failed, unknown);
    }
}
