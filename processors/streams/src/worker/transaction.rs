//! One transaction of a worker: what the stage gave out, and the offsets of what it was made from.

use std::sync::atomic::Ordering;

use super::{Settings, Worker};
use crate::log::{Log, LogError, Offset};
use crate::stage::Stage;

/// Records were processed that are not committed.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// When the log was told of it.
    began_ms: Option<i64>,
    pub(super) records: usize,
}

impl Transaction {
    /// In milliseconds; negative when the clock was set back.
    pub(super) fn age_ms(&self, now_ms: i64) -> i64 {
        self.began_ms.map_or(i64::MAX, |began_ms| now_ms.saturating_sub(began_ms))
    }
}

impl<L: Log, S: Stage> Worker<L, S> {
    /// Opens the transaction when there is none yet, and appends what the stage gave out.
    pub(super) fn append(&mut self) -> Result<(), LogError> {
        self.begin()?;
        for record in self.out.iter() {
            self.log.append(&record)?;
        }
        self.out.clear();
        Ok(())
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if let Some(transaction) = self.transaction.as_mut().filter(|t| t.began_ms.is_none()) {
            transaction.began_ms = Some(self.log.now_ms());
            self.report.open_transaction.store(true, Ordering::Release);
            self.log.begin()?;
        }
        Ok(())
    }

    pub(super) fn commit_is_due(&self) -> bool {
        let Settings { commit_records_max, commit_interval_ms, .. } = self.settings;
        self.transaction.as_ref().is_some_and(|transaction| {
            let age_ms = transaction.age_ms(self.log.now_ms());
            transaction.records >= commit_records_max || age_ms >= commit_interval_ms || age_ms < 0
        })
    }

    pub(super) fn commit(&mut self) -> Result<(), LogError> {
        if self.transaction.is_none() {
            return Ok(());
        }
        self.stage.before_commit(self.log.now_ms(), &mut self.out);
        self.append()?;
        let offsets: Vec<Offset> = self
            .owned
            .iter()
            .filter(|(_, p)| p.next != p.committed)
            .map(|(&partition, p)| Offset {
                partition,
                next: p.next,
                metadata: self.stage.metadata(partition),
            })
            .collect();
        self.log.commit(&offsets)?;
        self.committed(offsets);
        Ok(())
    }

    /// The open transaction is known to be committed.
    pub(super) fn committed(&mut self, offsets: Vec<Offset>) {
        self.stage.commit();
        if let Some(transaction) = self.transaction.take() {
            let records = u64::try_from(transaction.records).unwrap_or(u64::MAX);
            self.report.records.fetch_add(records, Ordering::Relaxed);
        }
        let mut reports = self.report.partitions.lock();
        for offset in offsets {
            if let Some(owned) = self.owned.get_mut(&offset.partition) {
                owned.committed = offset.next;
            }
            if let Some(report) = reports.get_mut(&offset.partition) {
                report.metadata = offset.metadata;
            }
        }
        drop(reports);
        self.report.commits.fetch_add(1, Ordering::Relaxed);
        self.report.open_transaction.store(false, Ordering::Release);
    }
}
