//! How far groups are, where a topic ends, and where a group begins. Only I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::Admin;
use crate::config::Isolation;
use crate::error::KafkaError;
use crate::quiet::Quiet;

/// How far a group has come in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The committed offset; `None` when the group never committed.
    pub committed: Option<i64>,
    /// Where `read_committed` ends.
    pub last_stable: i64,
    /// Where the log ends.
    pub high_watermark: i64,
    /// Whether a data record lies between the committed and the last stable offset. Control records take
    /// offsets too, so the difference of the two says nothing.
    pub data_records_between: bool,
}

/// How far a group is on a topic, summed over its partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupOffsets {
    /// The committed offsets; the beginning of a partition where there is none.
    pub committed: i64,
    /// Where `read_committed` ends.
    pub end: i64,
}

/// The ends of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionEnds {
    /// The first offset that is still there.
    pub low: i64,
    /// The one after the last, whether or not its transaction is decided.
    pub high: i64,
    /// The first record at or after the time that was asked for.
    pub at: Option<i64>,
}

impl Admin {
    /// How far `group` has come in every partition of `topic`. Reads only what lies between, joins nothing.
    pub fn group_progress(
        &self,
        group: &str,
        topic: &str,
    ) -> Result<BTreeMap<i32, PartitionProgress>, KafkaError> {
        let as_group = self.as_group(group)?;
        let (stable, all) = (self.reader(Isolation::Committed)?, self.reader(Isolation::Uncommitted)?);
        let mut progress = BTreeMap::new();
        let mut gaps = BTreeMap::new();
        for (partition, committed) in self.committed_of(&as_group, topic)? {
            // The high watermark first: what becomes stable in between only shows as more lag, never as less.
            let (low, high_watermark) = watermarks(&all, topic, partition, self.timeout)?;
            let (_, last_stable) = watermarks(&stable, topic, partition, self.timeout)?;
            let from = committed.unwrap_or(low).max(low);
            if from < last_stable {
                gaps.insert(partition, from);
            }
            let found =
                PartitionProgress { committed, last_stable, high_watermark, data_records_between: false };
            progress.insert(partition, found);
        }
        for partition in self.with_records(&stable, topic, gaps)? {
            if let Some(found) = progress.get_mut(&partition) {
                found.data_records_between = true;
            }
        }
        Ok(progress)
    }

    /// How far `group` is on the whole of `topic`. Reads no record and joins nothing.
    pub fn group_offsets(&self, group: &str, topic: &str) -> Result<GroupOffsets, KafkaError> {
        let as_group = self.as_group(group)?;
        let mut sums = GroupOffsets::default();
        for (partition, committed) in self.committed_of(&as_group, topic)? {
            let (low, end) = watermarks(&as_group, topic, partition, self.timeout)?;
            sums.committed = sums.committed.saturating_add(committed.unwrap_or(low).max(low));
            sums.end = sums.end.saturating_add(end);
        }
        Ok(sums)
    }

    /// What `group` has committed in each partition of `topic`; partitions where it never did are left out.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaError> {
        let found = self.committed_of(&self.as_group(group)?, topic)?;
        Ok(found.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect())
    }

    /// Commits offsets with their metadata for a group that has no members; while it has some, the broker refuses.
    pub fn commit(
        &self,
        group: &str,
        topic: &str,
        offsets: &BTreeMap<i32, (i64, String)>,
    ) -> Result<(), KafkaError> {
        const CALL: &str = "commit offsets";
        let as_group = self.as_group(group)?;
        let mut list = TopicPartitionList::new();
        for (partition, (offset, metadata)) in offsets {
            let mut element = list.add_partition(topic, *partition);
            element.set_offset(Offset::Offset(*offset)).map_err(KafkaError::call(CALL))?;
            element.set_metadata(metadata);
        }
        as_group.commit(&list, CommitMode::Sync).map_err(KafkaError::call(CALL))?;
        // The answer is of the whole request; a partition may have been refused by itself.
        let found = self.committed_of(&as_group, topic)?;
        let kept = |partition: &i32| found.get(partition).copied().flatten();
        match offsets.iter().find(|(partition, (offset, _))| kept(partition) != Some(*offset)) {
            None => Ok(()),
            Some((partition, _)) => {
                let detail = format!("the broker did not keep that of partition {partition} of {topic}");
                Err(KafkaError::Refused { call: CALL, detail })
            }
        }
    }

    /// The ends of every partition of `topic`, and where the records at or after `at_ms` begin.
    pub fn ends(&self, topic: &str, at_ms: Option<i64>) -> Result<BTreeMap<i32, PartitionEnds>, KafkaError> {
        let reader = self.reader(Isolation::Uncommitted)?;
        let at = at_ms.map_or(Ok(BTreeMap::new()), |at_ms| self.at(&reader, topic, at_ms))?;
        let mut ends = BTreeMap::new();
        for partition in 0..self.partition_count(topic)? {
            let (low, high) = watermarks(&reader, topic, partition, self.timeout)?;
            ends.insert(partition, PartitionEnds { low, high, at: at.get(&partition).copied() });
        }
        Ok(ends)
    }

    /// The first record at or after a time, in the partitions that have one.
    fn at(
        &self,
        reader: &BaseConsumer<Quiet>,
        topic: &str,
        at_ms: i64,
    ) -> Result<BTreeMap<i32, i64>, KafkaError> {
        const CALL: &str = "look up a time";
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partition_count(topic)? {
            list.add_partition_offset(topic, partition, Offset::Offset(at_ms))
                .map_err(KafkaError::call(CALL))?;
        }
        let found = reader.offsets_for_times(list, self.timeout).map_err(KafkaError::call(CALL))?;
        let mut at = BTreeMap::new();
        for element in found.elements() {
            element.error().map_err(KafkaError::call(CALL))?;
            if let Offset::Offset(offset) = element.offset() {
                at.insert(element.partition(), offset);
            }
        }
        Ok(at)
    }

    fn as_group(&self, group: &str) -> Result<BaseConsumer, KafkaError> {
        self.connection.consumer(group, 1024).create().map_err(KafkaError::call("create consumer"))
    }

    fn reader(&self, isolation: Isolation) -> Result<BaseConsumer<Quiet>, KafkaError> {
        let reader = self.connection.reader(isolation).create_with_context(Quiet);
        reader.map_err(KafkaError::call("create consumer"))
    }

    fn committed_of(
        &self,
        as_group: &BaseConsumer,
        topic: &str,
    ) -> Result<BTreeMap<i32, Option<i64>>, KafkaError> {
        const CALL: &str = "fetch committed offsets";
        let mut wanted = TopicPartitionList::new();
        for partition in 0..self.partition_count(topic)? {
            wanted.add_partition(topic, partition);
        }
        let committed = as_group.committed_offsets(wanted, self.timeout).map_err(KafkaError::call(CALL))?;
        let mut found = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(KafkaError::call(CALL))?;
            let offset = if let Offset::Offset(offset) = element.offset() { Some(offset) } else { None };
            found.insert(element.partition(), offset);
        }
        Ok(found)
    }

    /// Which of these partitions hold a data record from their offset on. They are read together: an assignment takes
    /// librdkafka about a second, however many partitions it has.
    fn with_records(
        &self,
        reader: &BaseConsumer<Quiet>,
        topic: &str,
        mut unknown: BTreeMap<i32, i64>,
    ) -> Result<BTreeSet<i32>, KafkaError> {
        let mut found = BTreeSet::new();
        if unknown.is_empty() {
            return Ok(found);
        }
        let mut list = TopicPartitionList::new();
        for (partition, from) in &unknown {
            list.add_partition_offset(topic, *partition, Offset::Offset(*from))
                .map_err(KafkaError::call("assign"))?;
        }
        reader.assign(&list).map_err(KafkaError::call("assign"))?;
        let deadline = Instant::now() + self.timeout;
        while !unknown.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(KafkaError::TimedOut {
                    call: "read up to the last stable offset",
                    timeout_ms: self.timeout.as_millis(),
                });
            }
            match reader.poll(left) {
                Some(Ok(record)) => {
                    unknown.remove(&record.partition());
                    found.insert(record.partition());
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    unknown.remove(&partition);
                }
                Some(Err(source)) => return Err(KafkaError::Call { call: "read", source }),
                None => {}
            }
        }
        Ok(found)
    }
}

/// Low and high end of a partition as the client's isolation level sees it.
pub fn watermarks<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    timeout: Duration,
) -> Result<(i64, i64), KafkaError> {
    client.fetch_watermarks(topic, partition, timeout).map_err(KafkaError::call("fetch watermarks"))
}
