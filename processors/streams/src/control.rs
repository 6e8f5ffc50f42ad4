//! What a worker is told and what it tells: shared with the pod's control endpoint. No I/O.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Whether the intake is open, under which epoch, and how fast it may be read. Written by who watches the pipeline, read by the workers.
#[derive(Debug, Default)]
pub struct Gate {
    /// Epoch × 2, plus 1 when open; 0 before anything was learned.
    word: AtomicU64,
    /// Records a second; 0 for no limit.
    rate: AtomicU32,
    /// How long an intake that opens now takes to its full rate, in milliseconds.
    slow_start_ms: AtomicU64,
}

/// One reading of a [`Gate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateState {
    /// The epoch, at least 1.
    pub epoch: u64,
    /// Whether records of the intake may be read.
    pub open: bool,
}

impl Gate {
    /// Tells the workers. Epochs only grow; an older one is ignored.
    pub fn set(&self, epoch: u64, open: bool) {
        let word = epoch.max(1).saturating_mul(2) | u64::from(open);
        self.word.fetch_max(word, Ordering::AcqRel);
    }

    /// Limits the intake to so many records a second, all workers of the pipeline together.
    pub fn set_rate(&self, records_per_second: Option<u32>) {
        self.rate.store(records_per_second.unwrap_or(0), Ordering::Relaxed);
    }

    /// The most records a second, if there is a limit.
    pub fn rate(&self) -> Option<u32> {
        Some(self.rate.load(Ordering::Relaxed)).filter(|rate| *rate > 0)
    }

    /// How long an intake that opens with the next epoch takes to its full rate, in milliseconds: 0 for none. One that is
    /// under way goes on as it began.
    pub fn set_slow_start(&self, ms: u64) {
        self.slow_start_ms.store(ms, Ordering::Relaxed);
    }

    /// How long an intake that opens now takes to its full rate, in milliseconds.
    pub fn slow_start_ms(&self) -> u64 {
        self.slow_start_ms.load(Ordering::Relaxed)
    }

    /// What holds now; `None` before anything was learned.
    pub fn get(&self) -> Option<GateState> {
        let word = self.word.load(Ordering::Acquire);
        (word != 0).then_some(GateState { epoch: word / 2, open: word % 2 == 1 })
    }
}

/// Where a partition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionState {
    /// Its state is being rebuilt.
    Restoring,
    /// Being read.
    Running,
    /// Ours, restored, not read (the gate is closed).
    Paused,
}

/// A partition as its worker reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// Where it stands.
    pub state: PartitionState,
    /// The metadata of the last commit.
    pub metadata: String,
}

/// What one worker tells. Locked once a transaction, not once a record.
#[derive(Debug, Default)]
pub struct Report {
    /// The epoch that the worker has acted on; 0 before the first.
    pub acked_epoch: AtomicU64,
    /// Whether a transaction is open.
    pub open_transaction: AtomicBool,
    /// Whether the group has given the worker its partitions at least once, be it none.
    pub joined: AtomicBool,
    /// Last sign of life, in milliseconds since 1970 (for the watchdog).
    pub alive_ms: AtomicI64,
    /// Transactions committed.
    pub commits: AtomicU64,
    /// Transactions aborted.
    pub aborts: AtomicU64,
    /// Records processed in committed transactions.
    pub records: AtomicU64,
    /// The partitions that it owns.
    pub partitions: Mutex<BTreeMap<i32, PartitionReport>>,
}

impl Report {
    /// Whether the worker is a member of its group, and every partition that it owns is restored.
    pub fn restored(&self) -> bool {
        self.joined.load(Ordering::Acquire)
            && self.partitions.lock().values().all(|p| p.state != PartitionState::Restoring)
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, GateState};

    #[test]
    fn a_gate_never_goes_back_to_an_older_epoch() {
        let gate = Gate::default();
        assert_eq!(gate.get(), None);
        gate.set(2, true);
        gate.set(1, false);
        assert_eq!(gate.get(), Some(GateState { epoch: 2, open: true }));
        gate.set(3, false);
        assert_eq!(gate.get(), Some(GateState { epoch: 3, open: false }));
    }
}
