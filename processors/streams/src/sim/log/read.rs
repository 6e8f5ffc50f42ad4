//! What a worker reads: the next records of its partitions, and ranges for a restore.

use std::sync::Arc;

use super::SimLog;
use crate::log::{LogError, Reader, Start, Until};
use crate::out::TopicIndex;
use crate::record::Record;
use crate::sim::partition::SimRecord;

impl SimLog {
    /// Takes the next records of the partitions that are delivered, from a partition drawn first.
    pub(super) fn take(&mut self, max: usize) -> Vec<Arc<SimRecord>> {
        let mut state = self.cluster.lock();
        let Some(&input) = self.topics.first() else { return Vec::new() };
        let reading: Vec<i32> = self
            .held
            .iter()
            .filter(|(p, held)| !held.paused && !self.leaving.contains(p))
            .map(|(p, _)| *p)
            .collect();
        let max = if state.chance(|f| f.short_poll) { 1 + state.rng.below(max) } else { max };
        let first = state.rng.below(reading.len());
        let mut taken = Vec::new();
        for partition in reading.iter().cycle().skip(first).take(reading.len()) {
            let again = if state.chance(|f| f.redelivery) { 1 + state.rng.up_to_ms(4) } else { 0 };
            let Some(held) = self.held.get_mut(partition) else { continue };
            let Some(log) = state.partition(input, *partition) else { continue };
            let from = held.position.saturating_sub(again).max(log.first());
            taken.extend(log.committed(from, i64::MAX, max.saturating_sub(taken.len())));
            if let Some(last) = taken.last().filter(|r| r.partition == *partition) {
                held.position = held.position.max(last.offset + 1);
            }
        }
        taken
    }
}

pub(super) fn show(records: &[Arc<SimRecord>], each: &mut dyn FnMut(&Record<'_>)) {
    for record in records {
        each(&Record {
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: &record.key,
            value: record.value.as_deref().unwrap_or_default(),
            headers: &record.headers,
        });
    }
}

impl Reader for SimLog {
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        let topic = self.topics.get(topic.0).copied().unwrap_or(usize::MAX);
        let mut state = self.call()?;
        let unknown = || LogError::Unavailable("no such partition".into());
        if until == Until::Stable {
            let end = state.partition(topic, partition).ok_or_else(unknown)?.end();
            state.wait("end of the transactions that were open", |s| {
                s.partition(topic, partition).is_none_or(|p| p.stable() >= end)
            })?;
        }
        let log = state.partition(topic, partition).ok_or_else(unknown)?;
        let from = match from {
            Start::Beginning => log.first(),
            Start::Timestamp(at_ms) => log.offset_at(at_ms),
            Start::Offset(offset) => offset,
        };
        let until = if let Until::Offset(end) = until { end } else { i64::MAX };
        let records = log.committed(from, until, usize::MAX);
        drop(state);
        show(&records, each);
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.cluster.now_ms()
    }
}
