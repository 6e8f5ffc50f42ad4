//! A log between the worker and the simulated one.

use std::time::Duration;

use kpay_streams::log::{Assigned, Log, LogError, Offset, Polled, Reader, Start, Until};
use kpay_streams::out::{Outgoing, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::sim::{SimCluster, SimLog};

use super::LogPlant;

/// The simulated log, with a mistake or without.
pub struct PlantedLog {
    log: SimLog,
    cluster: SimCluster,
    group: String,
    plant: Option<LogPlant>,
    /// Partitions of each of the worker's topics.
    partitions: Vec<i32>,
    appended: u64,
    carried: Vec<Offset>,
    /// A revocation that the worker is told of too late.
    withheld: Option<Polled>,
    /// An outcome was unknown and nobody said so.
    unknown: bool,
    /// An abort was not sent.
    open: bool,
}

impl PlantedLog {
    /// Around `log`, which is a member of `group`.
    pub fn new(
        log: SimLog,
        cluster: SimCluster,
        group: String,
        partitions: Vec<i32>,
        plant: Option<LogPlant>,
    ) -> Self {
        Self {
            log,
            cluster,
            group,
            plant,
            partitions,
            appended: 0,
            carried: Vec::new(),
            withheld: None,
            unknown: false,
            open: false,
        }
    }

    fn is(&self, plant: LogPlant) -> bool {
        self.plant == Some(plant)
    }

    fn commit_outside(&self, offsets: &[Offset]) {
        for offset in offsets {
            self.cluster.commit_offset(&self.group, offset.partition, offset.next, &offset.metadata);
        }
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
        let until = if self.is(LogPlant::RestoreWithoutWaiting) && until == Until::Stable {
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
        if self.is(LogPlant::RevokeWithoutCommit)
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
        if std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.log.begin()
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), LogError> {
        self.appended += 1;
        let chosen = self.appended.is_multiple_of(50);
        match self.plant.filter(|_| chosen) {
            Some(LogPlant::AppendLost) => Ok(()),
            Some(LogPlant::AppendTwice) => {
                self.log.append(record)?;
                self.log.append(record)
            }
            Some(LogPlant::AppendElsewhere) => {
                let partition = (record.partition + 1) % self.partitions[record.topic.0];
                self.log.append(&Outgoing { partition, ..*record })
            }
            _ => self.log.append(record),
        }
    }

    fn commit(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        let mut offsets = offsets.to_vec();
        match self.plant {
            Some(LogPlant::OffsetsAfter) => {
                self.log.commit(&[])?;
                self.commit_outside(&offsets);
                return Ok(());
            }
            Some(LogPlant::OffsetsBefore) => {
                self.commit_outside(&offsets);
                offsets.clear();
            }
            Some(LogPlant::OffsetsSkip) => {
                let limit = |partition| self.log.ends(TopicIndex(0), partition).1;
                for offset in &mut offsets {
                    offset.next = (offset.next + 1).min(limit(offset.partition));
                }
            }
            Some(LogPlant::MetadataStale) => {
                let carried = std::mem::replace(&mut self.carried, offsets.clone());
                for offset in &mut offsets {
                    if let Some(before) = carried.iter().find(|c| c.partition == offset.partition) {
                        offset.metadata.clone_from(&before.metadata);
                    }
                }
            }
            _ => {}
        }
        match (self.log.commit(&offsets), self.plant) {
            (Err(LogError::Unknown(_)), Some(LogPlant::UnknownTakenAsApplied)) => {
                self.unknown = true;
                Ok(())
            }
            (Err(LogError::Unknown(reason)), Some(LogPlant::UnknownTakenAsAborted)) => {
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
        if self.is(LogPlant::AbortForgotten) {
            self.open = true;
            return Ok(());
        }
        self.log.abort()
    }

    fn reconnect(&mut self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError> {
        self.open = false;
        let mut truth = self.log.reconnect(partitions)?;
        if self.is(LogPlant::TruthStale) {
            for assigned in &mut truth {
                assigned.offset = (assigned.offset - 1).max(0);
            }
        }
        Ok(truth)
    }

    fn seek(&mut self, positions: &[(i32, i64)]) -> Result<(), LogError> {
        if self.is(LogPlant::NoRewind) { Ok(()) } else { self.log.seek(positions) }
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        if self.is(LogPlant::PauseIgnored) { Ok(()) } else { self.log.pause(partitions) }
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        let from = usize::from(self.is(LogPlant::ResumeForgotten) && partitions.len() > 1);
        self.log.resume(&partitions[from..])
    }

    fn release(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        self.log.release(partitions)
    }
}
