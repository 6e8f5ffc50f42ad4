//! Partitions come and go, and the gate opens and closes: what of ours the log delivers.

use std::sync::atomic::Ordering;

use tracing::info;

use super::slow_start::SlowStart;
use super::{Owned, Worker};
use crate::control::{GateState, PartitionReport, PartitionState};
use crate::log::{Assigned, Log, LogError};
use crate::stage::Stage;

impl<L: Log, S: Stage> Worker<L, S> {
    pub(super) fn assign(&mut self, partitions: Vec<Assigned>) {
        {
            let mut reports = self.report.partitions.lock();
            for assigned in &partitions {
                let metadata = assigned.metadata.clone();
                let report = PartitionReport { state: PartitionState::Restoring, metadata };
                reports.insert(assigned.partition, report);
            }
        }
        self.restoring.extend(partitions);
        self.report.joined.store(true, Ordering::Release);
    }

    /// Restores the next of the partitions that wait for it, and opens it: those that are restored go on between two that
    /// are not. Whether there was one.
    pub(super) fn restore_next(&mut self) -> Result<bool, LogError> {
        let Some(Assigned { partition, offset, metadata }) = self.restoring.front().cloned() else {
            return Ok(false);
        };
        // A transaction of ours would be waited for, and restoring may take longer than it lives.
        self.settle()?;
        let began_ms = self.log.now_ms();
        self.stage.restore(partition, offset, &metadata, &mut self.log)?;
        let now_ms = self.log.now_ms();
        info!(partition, offset, took_ms = now_ms.saturating_sub(began_ms), "partition restored");
        self.report.alive_ms.store(now_ms, Ordering::Relaxed);
        self.restoring.pop_front();
        self.owned.insert(partition, Owned { committed: offset, next: offset, reading: false });
        self.open_or_close()?;
        Ok(true)
    }

    pub(super) fn revoke(&mut self, partitions: &[i32], lost: bool) -> Result<(), LogError> {
        let result = if lost { Ok(()) } else { self.commit() };
        match result {
            Ok(()) if self.transaction.is_none() => {}
            Ok(()) | Err(LogError::Abort(_)) => self.rewind()?,
            Err(LogError::Unknown(_)) => self.find_out()?,
            Err(other) => return Err(other),
        }
        info!(?partitions, lost, "partitions given up");
        self.restoring.retain(|assigned| !partitions.contains(&assigned.partition));
        for partition in partitions {
            self.stage.revoke(*partition);
            self.owned.remove(partition);
            self.report.partitions.lock().remove(partition);
        }
        self.log.release(partitions)
    }

    /// Acts on a new epoch: a closed gate first ends the open transaction, then says so.
    pub(super) fn follow_gate(&mut self) -> Result<(), LogError> {
        let now = self.gate.get();
        if now == self.acked {
            return Ok(());
        }
        self.commit()?;
        let is_open = |gate: Option<GateState>| gate.is_some_and(|gate| gate.open);
        if is_open(now) && !is_open(self.acked) {
            self.slow_start = SlowStart::new(self.log.now_ms(), self.gate.slow_start_ms());
        }
        self.acked = now;
        self.open_or_close()?;
        self.report.acked_epoch.store(now.map_or(0, |g| g.epoch), Ordering::Release);
        Ok(())
    }

    /// Brings what the log delivers in line with the gate, and with the rate when it is slow.
    pub(super) fn open_or_close(&mut self) -> Result<(), LogError> {
        let open = self.acked.is_some_and(|g| g.open || !self.intake);
        let reading = open && !self.resting;
        let changed: Vec<i32> =
            self.owned.iter().filter(|(_, o)| o.reading != reading).map(|(&p, _)| p).collect();
        if !changed.is_empty() {
            if reading { self.log.resume(&changed)? } else { self.log.pause(&changed)? }
        }
        let state = if open { PartitionState::Running } else { PartitionState::Paused };
        let mut reports = self.report.partitions.lock();
        for (partition, owned) in &mut self.owned {
            owned.reading = reading;
            if let Some(report) = reports.get_mut(partition) {
                report.state = state;
            }
        }
        Ok(())
    }
}
