//! Reads one record of a topic by its place. Only I/O; blocks, so an async caller wraps it in `spawn_blocking`.

use std::time::{Duration, Instant};

use kpay_kafka::KafkaError;
use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::quiet::Quiet;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

/// A consumer for single records. Queries take turns.
pub struct Lookup {
    consumer: Mutex<BaseConsumer<Quiet>>,
    topic: String,
}

impl Lookup {
    /// Reads from `topic`.
    pub fn open(connection: &Connection, topic: String) -> Result<Self, KafkaError> {
        let mut config = connection.reader(Isolation::Committed);
        config.set("queued.min.messages", "1").set("fetch.message.max.bytes", "4096");
        let consumer =
            config.create_with_context(Quiet).map_err(KafkaError::call("create lookup consumer"))?;
        Ok(Self { consumer: Mutex::new(consumer), topic })
    }

    /// Shows the record at `offset` to `read`; `None` when the log no longer has it.
    pub fn get<T>(
        &self,
        partition: i32,
        offset: i64,
        timeout: Duration,
        read: impl FnOnce(&BorrowedMessage<'_>) -> T,
    ) -> Result<Option<T>, KafkaError>
    where
        T: Send,
    {
        let consumer = self.consumer.lock();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset))
            .map_err(KafkaError::call("assign"))?;
        consumer.assign(&list).map_err(KafkaError::call("assign"))?;
        let deadline = Instant::now() + timeout;
        let found = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match consumer.poll(left) {
                Some(Ok(message)) if message.offset() == offset && message.partition() == partition => {
                    break Ok(Some(read(&message)));
                }
                Some(Ok(message)) if message.offset() <= offset => {}
                Some(Ok(_) | Err(rdkafka::error::KafkaError::PartitionEOF(_))) => break Ok(None),
                Some(Err(error)) => tracing::debug!(%error, "lookup"),
                None if left.is_zero() => {
                    let timeout_ms = timeout.as_millis();
                    break Err(KafkaError::TimedOut { call: "look up a record", timeout_ms });
                }
                None => {}
            }
        };
        consumer.unassign().map_err(KafkaError::call("unassign"))?;
        found
    }
}
