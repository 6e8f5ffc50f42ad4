//! The log that is Kafka: one group member and one transactional producer a worker. Only I/O.

mod held;
mod message;
mod reader;
mod rebalance;

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kpay_kafka::config::Connection;
use kpay_kafka::ffi;
use kpay_kafka::group::close;
use kpay_kafka::transaction::{InputOffset, TransactionError, TransactionErrorKind, TransactionalProducer};
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as Rd;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as At, TopicPartitionList};
use tracing::{debug, warn};

use crate::clock::now_ms;
use crate::log::{Assigned, Log, LogError, Offset, Polled, Reader, Start, Until};
use crate::out::{Outgoing, Topic, TopicIndex};
use crate::record::Record;
use held::Held;
pub use message::show;
use reader::RangeReader;
use rebalance::{Rebalance, Rebalances, partitions_of};

/// How long one call of the consumer may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long an answer that only saves time may take.
const HINT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the committed offsets may take: a transaction that holds some has to end before.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two times that librdkafka is woken: half of a heartbeat's interval.
const WAKE_INTERVAL: Duration = Duration::from_millis(50);

/// Names under which one worker is known to the broker. All stay the same over restarts.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Consumer group of the stage.
    pub group: String,
    /// `group.instance.id`: a quick restart triggers no rebalance.
    pub instance: String,
    /// `transactional.id`, before `-a` and `-b`: a restart ends the transaction that was left open.
    pub transactional_id: String,
    /// Bound of what is fetched ahead, in KiB.
    pub fetch_ahead_kib: u32,
}

/// A worker's connection to Kafka.
pub struct KafkaLog {
    topics: Vec<Topic>,
    consumer: BaseConsumer<Rebalances>,
    producer: TransactionalProducer,
    reader: RangeReader,
    pending: Arc<Mutex<VecDeque<Rebalance>>>,
    closing: Arc<AtomicBool>,
    woken: Instant,
    held: Held,
}

impl KafkaLog {
    /// Joins the group of the stage as reader of the first of `topics`. Ends what a predecessor left open, which
    /// may take as long as the transaction time-out.
    pub fn open(connection: &Connection, identity: &Identity, topics: Vec<Topic>) -> Result<Self, LogError> {
        let pending = Arc::new(Mutex::new(VecDeque::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let producer = TransactionalProducer::open(connection.clone(), &identity.transactional_id, &names)?;
        let context = Rebalances { pending: Arc::clone(&pending), closing: Arc::clone(&closing) };
        let consumer: BaseConsumer<Rebalances> = connection
            .group_member(&identity.group, &identity.instance, identity.fetch_ahead_kib)
            .create_with_context(context)
            .map_err(unavailable("create consumer"))?;
        let input = topics.first().map(|t| t.name.as_str()).unwrap_or_default();
        consumer.subscribe(&[input]).map_err(unavailable("subscribe"))?;
        // It connects while the group decides, and stays: who takes a partition over keeps its payments waiting.
        let reader = RangeReader::open(connection)?;
        Ok(Self {
            topics,
            consumer,
            producer,
            reader,
            pending,
            closing,
            woken: Instant::now(),
            held: Held::default(),
        })
    }

    fn input(&self) -> &str {
        self.topics.first().map(|t| t.name.as_str()).unwrap_or_default()
    }

    fn list(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(self.input(), *partition);
        }
        list
    }

    fn committed(&self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError> {
        // One member more than there are partitions has none, and there is nothing to ask.
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let committed = self
            .consumer
            .committed_offsets(self.list(partitions), OFFSETS_TIMEOUT)
            .map_err(unavailable("fetch committed offsets"))?;
        let mut found = Vec::with_capacity(partitions.len());
        for element in committed.elements() {
            element.error().map_err(unavailable("fetch committed offset"))?;
            let offset = if let At::Offset(offset) = element.offset() {
                offset
            } else {
                self.consumer
                    .fetch_watermarks(self.input(), element.partition(), CALL_TIMEOUT)
                    .map_err(unavailable("fetch the beginning"))?
                    .0
            };
            let metadata = element.metadata().to_owned();
            found.push(Assigned { partition: element.partition(), offset, metadata });
        }
        Ok(found)
    }

    /// librdkafka looks after its group twice a second, whatever the interval of its heartbeats, unless it is asked for
    /// something: others would wait as long for this member to hear that partitions are to move.
    fn wake(&mut self) {
        if self.woken.elapsed() >= WAKE_INTERVAL {
            self.woken = Instant::now();
            drop(self.consumer.subscription()); // the answer is known
        }
    }

    /// librdkafka joins a group once a second at most, unless it has learned of topics in between. A partition that moves from
    /// one member to another takes two rounds of joining, and its records would wait for the second of them.
    fn may_join_again(&self) {
        if let Err(error) = self.consumer.fetch_metadata(Some(self.input()), HINT_TIMEOUT) {
            debug!(%error, "the next rebalance may take a second longer");
        }
    }

    /// Answers the oldest rebalance that the callback noted.
    fn next_rebalance(&mut self) -> Result<Option<Polled>, LogError> {
        let Some(rebalance) = self.pending.lock().pop_front() else { return Ok(None) };
        match rebalance {
            Rebalance::Assign(list) => {
                let assigned = self.committed(&partitions_of(&list))?;
                let mut from = TopicPartitionList::with_capacity(assigned.len());
                for a in &assigned {
                    from.add_partition_offset(self.input(), a.partition, At::Offset(a.offset))
                        .map_err(unavailable("assign"))?;
                }
                let member = ffi::group_member(self.consumer.client()).unwrap_or_default().member;
                self.held.give(assigned.iter().map(|a| a.partition), member);
                self.consumer.incremental_assign(&from).map_err(unavailable("assign"))?;
                self.consumer.pause(&from).map_err(unavailable("pause"))?;
                self.may_join_again();
                Ok(Some(Polled::Assigned(assigned)))
            }
            Rebalance::Revoke { list, lost } => {
                Ok(Some(Polled::Revoked { partitions: partitions_of(&list), lost }))
            }
        }
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        self.pending.lock().drain(..).for_each(|rebalance| rebalance.answer(&self.consumer));
        close(&self.consumer);
    }
}

impl From<TransactionError> for LogError {
    fn from(error: TransactionError) -> Self {
        let detail = error.to_string();
        match error.kind {
            TransactionErrorKind::Fenced => LogError::Fenced(detail),
            TransactionErrorKind::Abort => LogError::Abort(detail),
            TransactionErrorKind::Unknown => LogError::Unknown(detail),
            TransactionErrorKind::Unavailable => LogError::Unavailable(detail),
        }
    }
}

fn unavailable(call: &'static str) -> impl FnOnce(Rd) -> LogError {
    move |error| LogError::Unavailable(format!("{call}: {error}"))
}

impl Reader for KafkaLog {
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        let name = self.topics.get(topic.0).map(|t| t.name.as_str()).unwrap_or_default();
        self.reader.read(name, partition, from, until, each)
    }

    fn now_ms(&self) -> i64 {
        now_ms()
    }
}

impl Log for KafkaLog {
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Polled, LogError> {
        self.wake();
        if let Some(rebalance) = self.next_rebalance()? {
            return Ok(rebalance);
        }
        if max == 0 {
            // Serving the consumer would take records out of it, and pausing it would fetch them again: what it has
            // to say waits for the next record that is due.
            std::thread::sleep(wait);
        }
        let mut wait = wait;
        let mut count = 0;
        while count < max {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    show(&message, each);
                    count += 1;
                    wait = Duration::ZERO;
                }
                Some(Err(Rd::MessageConsumptionFatal(code))) => {
                    return Err(LogError::Fenced(format!("consumer: {code}")));
                }
                Some(Err(Rd::MessageConsumption(RDKafkaErrorCode::OffsetOutOfRange))) => {
                    return Err(LogError::Unavailable("records were deleted before they were read".into()));
                }
                // librdkafka reconnects by itself; what it says meanwhile is no failure of ours.
                Some(Err(error)) => {
                    debug!(%error, "consumer");
                    break;
                }
                None => break,
            }
        }
        if count > 0 {
            return Ok(Polled::Records(count));
        }
        Ok(self.next_rebalance()?.unwrap_or(Polled::Nothing))
    }

    /// The cluster begins a transaction with the first append that reaches it.
    fn begin(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), LogError> {
        let (topic, at_ms) = (record.topic.0, self.now_ms());
        let Outgoing { partition, key, value, headers, .. } = *record;
        Ok(self.producer.append(topic, partition, at_ms, key, value, headers)?)
    }

    fn commit(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        let offsets: Vec<InputOffset<'_>> = offsets
            .iter()
            .map(|o| InputOffset { partition: o.partition, next: o.next, metadata: &o.metadata })
            .collect();
        let Self { producer, topics, consumer, held, .. } = self;
        let ask = || ffi::group_member(consumer.client());
        let now = ask();
        if now.as_ref().is_some_and(|now| held.is_of_another(now)) {
            return Err(LogError::Fenced("the group knows this member by another id than before".into()));
        }
        // What was just answered is asked again only where the group refuses it.
        let known = Cell::new(now);
        let member = || known.take().or_else(ask).filter(|now| !held.is_of_another(now));
        let input = topics.first().map(|t| t.name.as_str()).unwrap_or_default();
        Ok(producer.commit(member, input, &offsets)?)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        Ok(self.producer.abort()?)
    }

    fn reconnect(&mut self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError> {
        warn!("beginning anew under the same transactional ids");
        self.producer.reopen()?;
        self.committed(partitions)
    }

    fn seek(&mut self, positions: &[(i32, i64)]) -> Result<(), LogError> {
        if positions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (partition, offset) in positions {
            list.add_partition_offset(self.input(), *partition, At::Offset(*offset))
                .map_err(unavailable("seek"))?;
        }
        let sought = self.consumer.seek_partitions(list, CALL_TIMEOUT).map_err(unavailable("seek"))?;
        for element in sought.elements() {
            element.error().map_err(unavailable("seek"))?;
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.consumer.pause(&self.list(partitions)).map_err(unavailable("pause"))
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.consumer.resume(&self.list(partitions)).map_err(unavailable("resume"))
    }

    fn release(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.held.take(partitions);
        self.consumer.incremental_unassign(&self.list(partitions)).map_err(unavailable("unassign"))
    }
}
