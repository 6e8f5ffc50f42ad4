//! What is old or superseded leaves the store. One at a time, in steps that each are safe to be the last.

use std::collections::HashSet;

use fjall::Slice;

use super::batch::{BatchBuilder, Cursor};
use super::error::{StoreError, database};
use super::keys::{self, TopicId};
use super::read::BatchCursor;
use super::state::State;

/// Batches that one step removes, while nobody else can write.
const STEP_BATCHES_MAX: usize = 256;

/// What becomes of a batch.
enum Change {
    Remove(i64),
    Replace(i64, Slice),
}

impl State {
    /// Removes the oldest batches of a partition that were written before this time and end at `read` or before. The
    /// newest batch stays: it tells where the partition ends.
    pub(super) fn retain(
        &self,
        topic: TopicId,
        partition: i32,
        before_ms: i64,
        read: i64,
    ) -> Result<u64, StoreError> {
        let _maintenance = self.maintenance.lock();
        let mut removed = 0;
        loop {
            let (mut next, end) = self.ends(topic, partition)?;
            let mut old = Vec::new();
            while old.len() < STEP_BATCHES_MAX
                && let Some(batch) = self.cursor_at(topic, partition, next)?
                && batch.head().written_ms < before_ms
                && batch.end() < end
                && batch.end() <= read
            {
                next = batch.end();
                old.push(Change::Remove(batch.base()));
            }
            if old.is_empty() {
                return Ok(removed);
            }
            removed += self.change(topic, partition, &old)?;
            // The next batch need not begin here: compaction leaves holes.
            let first = self.cursor_at(topic, partition, next)?.map_or(next, |batch| batch.base());
            self.topic(topic)?.with(partition, |tail| tail.remove_before(first))?;
        }
    }

    /// Removes the records of a partition whose key comes again later, from the newest batch backwards.
    pub(super) fn compact(&self, topic: TopicId, partition: i32) -> Result<u64, StoreError> {
        let _maintenance = self.maintenance.lock();
        let (first, end) = self.ends(topic, partition)?;
        let mut seen = HashSet::new();
        let (mut removed, mut until, mut changes) = (0, end, Vec::new());
        while until > first
            && let Some(batch) = self.last_before(topic, partition, until)?
        {
            until = batch.base();
            let newest = batch.end() == end;
            let (change, count) = self.superseded(topic, partition, batch, &mut seen)?;
            if let Some(change) = change.filter(|_| !newest) {
                removed += count;
                changes.push(change);
            }
            if changes.len() >= STEP_BATCHES_MAX || (until <= first && !changes.is_empty()) {
                self.change(topic, partition, &changes)?;
                changes.clear();
            }
        }
        if !changes.is_empty() {
            self.change(topic, partition, &changes)?;
        }
        let first = self.cursor_at(topic, partition, first)?.map_or(end, |batch| batch.base());
        self.topic(topic)?.with(partition, |tail| {
            tail.forget();
            tail.remove_before(first);
        })?;
        Ok(removed)
    }

    /// The newest batch that begins before an offset.
    fn last_before(
        &self,
        topic: TopicId,
        partition: i32,
        until: i64,
    ) -> Result<Option<BatchCursor>, StoreError> {
        let key = |at| keys::batch(topic, partition, at);
        let Some(entry) = self.keyspace.range(key(0)..key(until)).next_back() else { return Ok(None) };
        let (key, bytes) = entry.into_inner().map_err(database("read a batch"))?;
        let base = keys::base_of(&key).unwrap_or_default();
        Cursor::new(base, bytes).map(Some).map_err(|_| self.unreadable(topic, partition, base))
    }

    /// What becomes of a batch without the records whose keys were `seen` in it or after it, and how many those are.
    fn superseded(
        &self,
        topic: TopicId,
        partition: i32,
        mut batch: BatchCursor,
        seen: &mut HashSet<Vec<u8>>,
    ) -> Result<(Option<Change>, u64), StoreError> {
        let (base, head) = (batch.base(), batch.head());
        let unreadable = |_| self.unreadable(topic, partition, base);
        let mut newest_first = Vec::new();
        while let Some(parts) = batch.next().map_err(unreadable)? {
            newest_first.push((parts.offset, parts.key.to_vec()));
        }
        let all = newest_first.len();
        let kept: HashSet<i64> = newest_first
            .into_iter()
            .rev()
            .filter_map(|(offset, key)| seen.insert(key).then_some(offset))
            .collect();
        if kept.is_empty() {
            return Ok((Some(Change::Remove(base)), u64::try_from(all).unwrap_or(u64::MAX)));
        }
        if kept.len() == all {
            return Ok((None, 0));
        }
        let mut rest = BatchBuilder::default();
        batch.rewind();
        while let Some(parts) = batch.next().map_err(unreadable)? {
            if kept.contains(&parts.offset) {
                rest.keep(u32::try_from(parts.offset.saturating_sub(base)).unwrap_or(u32::MAX), &parts);
            }
        }
        let bytes = Slice::from(rest.seal(head.written_ms, head.span));
        let gone = u64::try_from(all.saturating_sub(kept.len())).unwrap_or(u64::MAX);
        Ok((Some(Change::Replace(base, bytes)), gone))
    }

    fn change(&self, topic: TopicId, partition: i32, changes: &[Change]) -> Result<u64, StoreError> {
        let writer = self.writer.lock();
        self.check()?;
        let mut batch = self.database.batch();
        for change in changes {
            match change {
                Change::Remove(base) => batch.remove(&self.keyspace, keys::batch(topic, partition, *base)),
                Change::Replace(base, bytes) => {
                    batch.insert(&self.keyspace, keys::batch(topic, partition, *base), bytes.clone());
                }
            }
        }
        batch.commit().map_err(database("forget batches")).inspect_err(|_| self.fail())?;
        drop(writer);
        self.intake.note_unsynced();
        Ok(u64::try_from(changes.len()).unwrap_or(u64::MAX))
    }
}
