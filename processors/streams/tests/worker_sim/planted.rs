//! A log between the worker and the simulated one that makes a chosen mistake.

use std::time::Duration;

use kpay_streams::log::{Assigned, Log, LogError, Offset, Polled, Reader, Start, Until};
use kpay_streams::out::{Outgoing, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::sim::{SimCluster, SimLog};

/// A mistake that the simulation has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    None,
    /// The stage changes its state while it processes.
    FoldBeforeCommit,
    /// The stage keeps the overlay of an aborted transaction.
    OverlayKept,
    /// After an abort the log goes on where it was.
    NoRewind,
    /// Offsets are committed after the transaction, not with it.
    OffsetsOutside,
    /// A restore ends at the last stable offset of the moment.
    RestoreWithoutWaiting,
    UnknownTakenAsApplied,
    UnknownTakenAsNotApplied,
    /// A partition is given up while the transaction that read it is open.
    RevokeWithoutCommit,
}

impl Plant {
    pub(crate) const MISTAKES: [Self; 8] = [
        Self::FoldBeforeCommit,
        Self::OverlayKept,
        Self::NoRewind,
        Self::OffsetsOutside,
        Self::RestoreWithoutWaiting,
        Self::UnknownTakenAsApplied,
        Self::UnknownTakenAsNotApplied,
        Self::RevokeWithoutCommit,
    ];
}

pub(crate) struct PlantedLog {
    pub(crate) log: SimLog,
    pub(crate) cluster: SimCluster,
    pub(crate) group: String,
    pub(crate) plant: Plant,
    /// A revocation that the worker is told of too late.
    withheld: Option<Polled>,
    /// Whether an outcome was unknown and nobody said so.
    unknown: bool,
}

impl PlantedLog {
    pub(crate) fn new(log: SimLog, cluster: SimCluster, group: String, plant: Plant) -> Self {
        Self { log, cluster, group, plant, withheld: None, unknown: false }
    }
}

impl Reader for PlantedLog {
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        let until = if self.plant == Plant::RestoreWithoutWaiting && until == Until::Stable {
            Until::Offset(self.log.ends(topic, partition).0)
        } else {
            until
        };
        self.log.read(topic, partition, from, until, each)
    }

    fn now_ms(&self) -> i64 {
        self.log.now_ms()
    }
}

impl Log for PlantedLog {
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Polled, LogError> {
        if let Some(revoked) = self.withheld.take() {
            return Ok(revoked);
        }
        let polled = self.log.poll(wait, max, each)?;
        if self.plant == Plant::RevokeWithoutCommit
            && let Polled::Revoked { partitions, lost: false } = &polled
        {
            self.log.release(partitions)?;
            self.withheld = Some(polled);
            return self.log.poll(wait, max, each);
        }
        Ok(polled)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.unknown) {
            self.log.reconnect(&[])?;
        }
        self.log.begin()
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), LogError> {
        self.log.append(record)
    }

    fn commit(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        if self.plant == Plant::OffsetsOutside {
            self.log.commit(&[])?;
            for offset in offsets {
                self.cluster.commit_offset(&self.group, offset.partition, offset.next, &offset.metadata);
            }
            return Ok(());
        }
        match (self.log.commit(offsets), self.plant) {
            (Err(LogError::Unknown(_)), Plant::UnknownTakenAsApplied) => {
                self.unknown = true;
                Ok(())
            }
            (Err(LogError::Unknown(reason)), Plant::UnknownTakenAsNotApplied) => {
                self.unknown = true;
                Err(LogError::Abort(reason))
            }
            (result, _) => result,
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.unknown) {
            return self.log.reconnect(&[]).map(drop);
        }
        self.log.abort()
    }

    fn reconnect(&mut self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError> {
        self.log.reconnect(partitions)
    }

    fn seek(&mut self, positions: &[(i32, i64)]) -> Result<(), LogError> {
        if self.plant == Plant::NoRewind { Ok(()) } else { self.log.seek(positions) }
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.log.pause(partitions)
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.log.resume(partitions)
    }

    fn release(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.log.release(partitions)
    }
}
