//! Reads a range of a partition, outside any group. Only I/O.

use std::time::{Duration, Instant};

use kpay_kafka::admin::watermarks;
use kpay_kafka::config::{Connection, Isolation};
use kpay_kafka::group::close;
use kpay_kafka::quiet::Quiet;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError as Rd;
use rdkafka::{Offset as At, TopicPartitionList};

use super::{show, unavailable};
use crate::log::{LogError, Start, Until};
use crate::record::Record;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an open transaction of a predecessor may hold a restore up: longer than its time-out.
const STABLE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a restore may go without any answer of the broker.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Between two looks at the last stable offset.
const STABLE_POLL: Duration = Duration::from_millis(20);

/// Two consumers that join nothing: one sees committed records only, one the true end of the log.
pub(crate) struct RangeReader {
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer<Quiet>,
}

impl Drop for RangeReader {
    fn drop(&mut self) {
        close(&self.committed);
        close(&self.uncommitted);
    }
}

impl RangeReader {
    pub(crate) fn open(connection: &Connection) -> Result<Self, LogError> {
        let create = |isolation| {
            let config = connection.reader(isolation);
            config.create_with_context(Quiet).map_err(unavailable("create reader"))
        };
        Ok(Self { committed: create(Isolation::Committed)?, uncommitted: create(Isolation::Uncommitted)? })
    }

    pub(crate) fn read(
        &self,
        topic: &str,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        if until == Until::Stable {
            self.wait_until_stable(topic, partition)?;
        }
        let from = match from {
            Start::Beginning => At::Beginning,
            Start::Offset(offset) => At::Offset(offset),
            Start::Timestamp(at_ms) => self.offset_at(topic, partition, at_ms)?,
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, from).map_err(unavailable("assign"))?;
        self.committed.assign(&list).map_err(unavailable("assign"))?;
        let result = self.drain(until, each);
        let unassigned = self.committed.unassign().map_err(unavailable("unassign"));
        result.and(unassigned)
    }

    fn drain(&self, until: Until, each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LogError> {
        let mut heard = Instant::now();
        loop {
            match self.committed.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    if let Until::Offset(end) = until
                        && rdkafka::Message::offset(&message) >= end
                    {
                        return Ok(());
                    }
                    show(&message, each);
                }
                Some(Err(Rd::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => tracing::debug!(%error, "restore"),
                None if heard.elapsed() > SILENCE_MAX => {
                    return Err(LogError::Unavailable("restore: the broker is silent".into()));
                }
                None => {}
            }
        }
    }

    /// Waits until everything that is in the log now is decided.
    ///
    /// The offsets of a transaction can be visible before its marker has reached the changelog; a reader that
    /// stopped at the last stable offset of that moment would miss the newest committed entries.
    fn wait_until_stable(&self, topic: &str, partition: i32) -> Result<(), LogError> {
        let ends = |client, what| {
            watermarks(client, topic, partition, CALL_TIMEOUT)
                .map(|(_, high)| high)
                .map_err(|e| LogError::Unavailable(format!("{what}: {e}")))
        };
        let end = ends(&self.uncommitted, "end of the changelog")?;
        let deadline = Instant::now() + STABLE_TIMEOUT;
        while ends(&self.committed, "last stable offset")? < end {
            if Instant::now() > deadline {
                return Err(LogError::Unavailable(format!(
                    "a transaction on {topic}/{partition} stays open for longer than its time-out"
                )));
            }
            std::thread::sleep(STABLE_POLL);
        }
        Ok(())
    }

    fn offset_at(&self, topic: &str, partition: i32, at_ms: i64) -> Result<At, LogError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, At::Offset(at_ms))
            .map_err(unavailable("look up a time"))?;
        let found =
            self.committed.offsets_for_times(list, CALL_TIMEOUT).map_err(unavailable("look up a time"))?;
        Ok(
            match found.elements().first().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset)
            {
                Some(At::Offset(offset)) => At::Offset(offset),
                _ => At::End,
            },
        )
    }
}
