//! What the stages count for `/metrics`: plain atomics, folded once a transaction.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one pod. Only committed work counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read by the inflight stage.
    pub received: AtomicU64,
    /// Intakes that got a place in the pipeline.
    pub accepted: AtomicU64,
    /// Copies of an intake that was known already.
    pub duplicates: AtomicU64,
    /// Records with a key that does not match their id, sent on to the right partition.
    pub rekeyed: AtomicU64,
    /// Dead letters.
    pub dead_letters: AtomicU64,
    /// Ledger entries.
    pub ledger_entries: AtomicU64,
    /// Outcomes by status: confirmed.
    pub confirmed: AtomicU64,
    /// Outcomes by status: rejected.
    pub rejected: AtomicU64,
    /// Outcomes by status: reversed.
    pub reversed: AtomicU64,
    /// Payments that a rule held.
    pub held: AtomicU64,
}

/// Counts of the open transaction.
#[derive(Debug, Default, Clone, Copy)]
pub struct Pending {
    /// See [`Counters::received`].
    pub received: u64,
    /// See [`Counters::accepted`].
    pub accepted: u64,
    /// See [`Counters::duplicates`].
    pub duplicates: u64,
    /// See [`Counters::rekeyed`].
    pub rekeyed: u64,
    /// See [`Counters::dead_letters`].
    pub dead_letters: u64,
    /// See [`Counters::ledger_entries`].
    pub ledger_entries: u64,
    /// See [`Counters::confirmed`].
    pub confirmed: u64,
    /// See [`Counters::rejected`].
    pub rejected: u64,
    /// See [`Counters::reversed`].
    pub reversed: u64,
    /// See [`Counters::held`].
    pub held: u64,
}

impl Pending {
    /// Adds the transaction's counts and starts anew.
    pub fn fold(&mut self, counters: &Counters) {
        let add = |to: &AtomicU64, n: u64| {
            if n > 0 {
                to.fetch_add(n, Ordering::Relaxed);
            }
        };
        add(&counters.received, self.received);
        add(&counters.accepted, self.accepted);
        add(&counters.duplicates, self.duplicates);
        add(&counters.rekeyed, self.rekeyed);
        add(&counters.dead_letters, self.dead_letters);
        add(&counters.ledger_entries, self.ledger_entries);
        add(&counters.confirmed, self.confirmed);
        add(&counters.rejected, self.rejected);
        add(&counters.reversed, self.reversed);
        add(&counters.held, self.held);
        *self = Self::default();
    }
}
