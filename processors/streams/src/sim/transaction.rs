//! The transaction coordinator: epochs, outcomes, and markers that arrive one by one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::journal::Decided;
use super::partition::SimRecord;
use super::state::{Event, ProducerIndex, State, Target};
use crate::log::{LogError, Offset};

/// How far the newest transaction of a producer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// None, or ended in every partition.
    Idle,
    Open {
        began_ms: i64,
    },
    /// Decided; this many markers are not written yet.
    Ending {
        commit: bool,
        markers: usize,
    },
}

#[derive(Debug)]
pub(super) struct Producer {
    pub(super) epoch: u64,
    pub(super) phase: Phase,
    pub(super) partitions: BTreeSet<(usize, i32)>,
    /// Offsets by group, with what they carry.
    pub(super) offsets: Vec<(String, Offset)>,
    /// What the open transaction appended, in order, while a journal is kept.
    pub(super) records: Vec<(usize, Arc<SimRecord>)>,
}

impl Producer {
    pub(super) fn new() -> Self {
        Self {
            epoch: 0,
            phase: Phase::Idle,
            partitions: BTreeSet::new(),
            offsets: Vec::new(),
            records: Vec::new(),
        }
    }
}

impl State {
    pub(super) fn phase(&self, producer: ProducerIndex) -> Phase {
        self.producers.get(producer).map_or(Phase::Idle, |p| p.phase)
    }

    /// Fences whoever had the transactional id, ends what it left open and waits until that is done.
    pub(super) fn init_producer(&mut self, producer: ProducerIndex) -> Result<u64, LogError> {
        self.slow();
        self.fence(producer);
        self.wait("init_transactions", |state| state.phase(producer) == Phase::Idle)?;
        Ok(self.producers.get(producer).map_or(0, |p| p.epoch))
    }

    /// A new epoch; the open transaction is aborted.
    pub(super) fn fence(&mut self, producer: ProducerIndex) {
        if let Some(found) = self.producers.get_mut(producer) {
            found.epoch += 1;
        }
        self.end_transaction(producer, false);
    }

    pub(super) fn check_epoch(&self, producer: ProducerIndex, epoch: u64) -> Result<(), LogError> {
        if self.producers.get(producer).is_some_and(|p| p.epoch == epoch) {
            Ok(())
        } else {
            Err(LogError::Fenced("a newer producer has this transactional id".into()))
        }
    }

    /// Opens the transaction at its first use; the one before has to be ended everywhere.
    pub(super) fn enlist(&mut self, producer: ProducerIndex) -> Result<(), LogError> {
        if let Phase::Ending { .. } = self.phase(producer) {
            self.wait("end of the transaction before", |state| state.phase(producer) == Phase::Idle)?;
        }
        let began_ms = self.now_ms;
        if let Some(found) = self.producers.get_mut(producer).filter(|p| p.phase == Phase::Idle) {
            found.phase = Phase::Open { began_ms };
        }
        Ok(())
    }

    /// Decides the open transaction and sends its markers out. Nothing happens when none is open.
    pub(super) fn end_transaction(&mut self, producer: ProducerIndex, commit: bool) {
        let Some(found) = self.producers.get_mut(producer) else { return };
        if !matches!(found.phase, Phase::Open { .. }) {
            return;
        }
        let records = std::mem::take(&mut found.records);
        if let Some(journal) = self.journal.as_mut().filter(|_| commit) {
            journal.push(Decided { at_ms: self.now_ms, records, offsets: found.offsets.clone() });
        }
        let mut targets: Vec<Target> =
            found.partitions.iter().map(|&(topic, partition)| Target::Partition(topic, partition)).collect();
        if !found.offsets.is_empty() {
            targets.push(Target::Offsets);
        }
        found.phase = Phase::Ending { commit, markers: targets.len() };
        if targets.is_empty() {
            found.phase = Phase::Idle;
        }
        for target in targets {
            if self.rng.chance(self.faults.late_marker) {
                let delay = 1 + self.rng.up_to_ms(self.faults.late_marker_max_ms);
                self.schedule(delay, Event::Marker { producer, target });
            } else {
                self.mark(producer, target);
            }
        }
    }

    /// Writes one marker.
    pub(super) fn mark(&mut self, producer: ProducerIndex, target: Target) {
        let Some(found) = self.producers.get_mut(producer) else { return };
        let Phase::Ending { commit, markers } = found.phase else { return };
        let left = markers.saturating_sub(1);
        let offsets = if target == Target::Offsets { std::mem::take(&mut found.offsets) } else { Vec::new() };
        found.phase = if left == 0 { Phase::Idle } else { Phase::Ending { commit, markers: left } };
        if left == 0 {
            found.partitions.clear();
        }
        if let Target::Partition(topic, partition) = target
            && let Some(partition) = self.partition_mut(topic, partition)
        {
            partition.mark(producer, commit);
        }
        if commit {
            for (group, offset) in offsets {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.commit(offset.partition, offset.next, offset.metadata);
                }
            }
        }
    }

    /// Whether a transaction that is not ended yet carries an offset of the partition.
    pub(super) fn offset_is_pending(&self, group: &str, partition: i32) -> bool {
        let mut offsets = self.producers.iter().flat_map(|p| &p.offsets);
        offsets.any(|(of, offset)| of == group && offset.partition == partition)
    }
}
