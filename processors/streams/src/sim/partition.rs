//! One partition of a simulated topic: entries with their outcome, control records included. Pure.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::state::ProducerIndex;

/// A record of the simulated log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimRecord {
    /// Partition that holds it.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// When it was written, in virtual milliseconds.
    pub timestamp_ms: i64,
    /// Key, empty for none.
    pub key: Vec<u8>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open(ProducerIndex),
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a control record.
    record: Option<Arc<SimRecord>>,
    outcome: Outcome,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    first: i64,
    entries: VecDeque<Entry>,
    /// The first offset of each transaction whose marker is not written yet.
    open: BTreeMap<ProducerIndex, i64>,
}

impl Partition {
    pub(super) fn first(&self) -> i64 {
        self.first
    }

    /// The high watermark.
    pub(super) fn end(&self) -> i64 {
        self.first.saturating_add(i64::try_from(self.entries.len()).unwrap_or(i64::MAX))
    }

    /// The last stable offset.
    pub(super) fn stable(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end())
    }

    /// Appends; the offset of `record` is set here.
    pub(super) fn append(&mut self, mut record: SimRecord, writer: Option<ProducerIndex>) -> Arc<SimRecord> {
        record.offset = self.end();
        if let Some(writer) = writer {
            self.open.entry(writer).or_insert(record.offset);
        }
        let outcome = writer.map_or(Outcome::Committed, Outcome::Open);
        let record = Arc::new(record);
        self.entries.push_back(Entry { record: Some(Arc::clone(&record)), outcome });
        record
    }

    /// Writes the marker of a transaction.
    pub(super) fn mark(&mut self, writer: ProducerIndex, commit: bool) {
        let outcome = if commit { Outcome::Committed } else { Outcome::Aborted };
        if let Some(begin) = self.open.remove(&writer) {
            for entry in self.entries.range_mut(self.index(begin)..) {
                if entry.outcome == Outcome::Open(writer) {
                    entry.outcome = outcome;
                }
            }
        }
        self.entries.push_back(Entry { record: None, outcome });
    }

    /// Up to `max` committed records of `from..until`, below the last stable offset.
    pub(super) fn committed(&self, from: i64, until: i64, max: usize) -> Vec<Arc<SimRecord>> {
        self.within(from, until.min(self.stable()), |outcome| outcome == Outcome::Committed)
            .take(max)
            .collect()
    }

    /// As `committed`, and also what a decided commit has yet to mark.
    pub(super) fn decided(&self, decided: impl Fn(ProducerIndex) -> bool) -> Vec<Arc<SimRecord>> {
        let counts = |outcome| match outcome {
            Outcome::Committed => true,
            Outcome::Aborted => false,
            Outcome::Open(writer) => decided(writer),
        };
        self.within(self.first, self.end(), counts).collect()
    }

    fn within(
        &self,
        from: i64,
        until: i64,
        counts: impl Fn(Outcome) -> bool,
    ) -> impl Iterator<Item = Arc<SimRecord>> {
        let end = self.index(until);
        self.entries
            .range(self.index(from).min(end)..end)
            .filter(move |entry| counts(entry.outcome))
            .filter_map(|entry| entry.record.clone())
    }

    /// The first offset whose record was written at or after this time.
    pub(super) fn offset_at(&self, at_ms: i64) -> i64 {
        let found =
            self.entries.iter().filter_map(|e| e.record.as_ref()).find(|record| record.timestamp_ms >= at_ms);
        found.map_or(self.end(), |record| record.offset)
    }

    /// Retention: forgets what lies below `offset` and is decided.
    pub(super) fn delete_before(&mut self, offset: i64) {
        let offset = offset.min(self.stable());
        let gone = self.index(offset);
        self.entries.drain(..gone);
        self.first = self.first.max(offset);
    }

    /// Compaction: of what is committed below the last stable offset, only the last record of each key stays.
    pub(super) fn compact(&mut self) {
        let end = self.index(self.stable());
        let mut kept: HashSet<Vec<u8>> = HashSet::new();
        for entry in self.entries.range_mut(..end).rev().filter(|e| e.outcome == Outcome::Committed) {
            if entry.record.as_ref().is_some_and(|record| !kept.insert(record.key.clone())) {
                entry.record = None;
            }
        }
    }

    fn index(&self, offset: i64) -> usize {
        usize::try_from(offset.saturating_sub(self.first)).unwrap_or(0).min(self.entries.len())
    }
}
