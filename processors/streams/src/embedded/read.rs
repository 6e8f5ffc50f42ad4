//! Finds batches: in memory, else in the database.

use super::batch::{Cursor, Head};
use super::error::{StoreError, database};
use super::keys::{self, TopicId};
use super::state::State;
use super::tail::Batch;
use crate::log::{Start, Until};
use crate::record::Record;

/// Goes through the records of a batch that came from the store.
pub(super) type BatchCursor = Cursor<fjall::Slice>;

impl State {
    /// The first offset of a partition that is still there, and the offset after its last record.
    pub(super) fn ends(&self, topic: TopicId, partition: i32) -> Result<(i64, i64), StoreError> {
        self.topic(topic)?.with(partition, |tail| (tail.first, tail.end))
    }

    /// The batch with the record at `offset`, or else the next one; `None` at the end.
    pub(super) fn batch_at(
        &self,
        topic: TopicId,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Batch>, StoreError> {
        let found = self.topic(topic)?.with(partition, |tail| (tail.end, tail.find(offset)));
        let (end, found) = found?;
        if found.is_some() || offset >= end {
            return Ok(found);
        }
        let (offset, key) = (offset.max(0), |at| keys::batch(topic, partition, at));
        if let Some(before) = self.keyspace.range(key(0)..=key(offset)).next_back() {
            let batch = self.parse(topic, partition, before)?;
            if batch.end > offset {
                return Ok(Some(batch));
            }
        }
        // What lies behind the end is being written.
        let next = self.keyspace.range(key(offset)..key(end)).next();
        next.map(|batch| self.parse(topic, partition, batch)).transpose()
    }

    fn parse(&self, topic: TopicId, partition: i32, entry: fjall::Guard) -> Result<Batch, StoreError> {
        let (key, bytes) = entry.into_inner().map_err(database("read a batch"))?;
        let topic = self.topic(topic)?;
        let base = keys::base_of(&key).ok_or_else(|| topic.corrupt(partition, 0))?;
        let head = Head::parse(&bytes).map_err(|_| topic.corrupt(partition, base))?;
        Ok(Batch { base, end: base.saturating_add(i64::from(head.span)), bytes })
    }

    /// As [`State::batch_at`], ready to be gone through from its first record on.
    pub(super) fn cursor_at(
        &self,
        topic: TopicId,
        partition: i32,
        offset: i64,
    ) -> Result<Option<BatchCursor>, StoreError> {
        let Some(batch) = self.batch_at(topic, partition, offset)? else { return Ok(None) };
        let cursor = Cursor::new(batch.base, batch.bytes);
        cursor.map(Some).map_err(|_| self.unreadable(topic, partition, batch.base))
    }

    /// The error for a batch that cannot be parsed.
    pub(super) fn unreadable(&self, topic: TopicId, partition: i32, offset: i64) -> StoreError {
        self.topic(topic).map_or_else(|error| error, |t| t.corrupt(partition, offset))
    }

    /// The first offset of the first batch that may hold a record written at or after this time, by bisection: the time
    /// of writing never goes back from one batch to the next.
    fn offset_at(&self, topic: TopicId, partition: i32, at_ms: i64) -> Result<i64, StoreError> {
        let (mut low, mut high) = self.ends(topic, partition)?;
        while low < high {
            let middle = low.midpoint(high);
            match self.cursor_at(topic, partition, middle)? {
                Some(batch) if batch.head().written_ms < at_ms => low = batch.end(),
                Some(batch) => high = batch.base().clamp(low, middle),
                None => high = middle,
            }
        }
        Ok(low)
    }

    /// Shows the committed records of a range to `each`, in order.
    pub(super) fn read(
        &self,
        topic: TopicId,
        partition: i32,
        (from, until): (Start, Until),
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), StoreError> {
        let (first, end) = self.ends(topic, partition)?;
        let until = if let Until::Offset(until) = until { until.min(end) } else { end };
        let mut next = match from {
            Start::Beginning => first,
            Start::Offset(offset) => offset.max(first),
            Start::Timestamp(at_ms) => self.offset_at(topic, partition, at_ms)?,
        };
        while next < until {
            let Some(mut cursor) = self.cursor_at(topic, partition, next)? else { break };
            let end = cursor.end();
            while let Some(parts) = cursor.next().map_err(|_| self.unreadable(topic, partition, next))? {
                if parts.offset < next {
                    continue;
                }
                if parts.offset >= until {
                    break;
                }
                each(&parts.record(partition));
            }
            next = end;
        }
        Ok(())
    }
}
