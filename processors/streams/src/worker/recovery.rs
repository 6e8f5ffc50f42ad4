//! Back to what is committed: after an abort, and after a commit whose outcome nobody knows.

use std::sync::atomic::Ordering;

use tracing::info;

use super::Worker;
use crate::log::{Assigned, Log, LogError, Offset};
use crate::stage::Stage;

impl<L: Log, S: Stage> Worker<L, S> {
    /// Ends what is open, one way or the other.
    pub(super) fn settle(&mut self) -> Result<(), LogError> {
        match self.commit() {
            Err(LogError::Abort(_)) => self.rewind(),
            Err(LogError::Unknown(_)) => self.find_out(),
            other => other,
        }
    }

    /// Throws away what the open transaction did, in memory.
    pub(super) fn discard(&mut self) {
        self.stage.abort();
        self.out.clear();
        self.transaction = None;
        for owned in self.owned.values_mut() {
            owned.next = owned.committed;
        }
        self.report.aborts.fetch_add(1, Ordering::Relaxed);
        self.report.open_transaction.store(false, Ordering::Release);
    }

    pub(super) fn rewind(&mut self) -> Result<(), LogError> {
        match self.log.abort() {
            Ok(()) => {}
            // An abort that could not be made, or nobody knows whether it was: a new producer fences the old one.
            Err(LogError::Fenced(reason)) => return Err(LogError::Fenced(reason)),
            Err(_) => {
                let partitions: Vec<i32> = self.owned.keys().copied().collect();
                self.log.reconnect(&partitions)?;
            }
        }
        self.discard();
        let positions: Vec<(i32, i64)> = self.owned.iter().map(|(&p, o)| (p, o.committed)).collect();
        self.log.seek(&positions)
    }

    /// All or none of the transaction's offsets are committed: the broker says which, and so the state follows.
    pub(super) fn find_out(&mut self) -> Result<(), LogError> {
        let partitions: Vec<i32> = self.owned.keys().copied().collect();
        self.report.alive_ms.store(self.log.now_ms(), Ordering::Relaxed);
        let truth = self.log.reconnect(&partitions)?;
        let moved = |a: &Assigned| self.owned.get(&a.partition).is_some_and(|o| o.next != o.committed);
        let applied = truth
            .iter()
            .filter(|a| moved(a))
            .all(|a| self.owned.get(&a.partition).is_some_and(|o| o.next == a.offset));
        if applied && self.transaction.is_some() {
            info!("the commit had been applied");
            let offsets = truth
                .into_iter()
                .map(|a| Offset { partition: a.partition, next: a.offset, metadata: a.metadata })
                .collect();
            self.out.clear();
            self.committed(offsets);
        } else {
            info!("the commit had not been applied");
            self.discard();
        }
        let positions: Vec<(i32, i64)> = self.owned.iter().map(|(&p, o)| (p, o.committed)).collect();
        self.log.seek(&positions)
    }
}
