//! One worker's connection to the simulated cluster: what `kafka::KafkaLog` is to Kafka.

mod commit;
mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::MutexGuard;

use super::cluster::SimCluster;
use super::group::{Group, Standing};
use super::partition::SimRecord;
use super::state::{ProducerIndex, State};
use crate::log::{Assigned, Log, LogError, Offset, Polled};
use crate::out::{Outgoing, Topic, TopicIndex};
use crate::record::Record;

/// Names under which one worker is known to the cluster; the same over restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Consumer group of the stage.
    pub group: String,
    /// Static member of the group.
    pub instance: String,
    /// Transactional id of the producer.
    pub transactional_id: String,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) position: i64,
    pub(super) paused: bool,
}

/// A worker's connection to a [`SimCluster`]. Dropping it is the end of the process: nothing is ended gracefully.
#[derive(Debug)]
pub struct SimLog {
    pub(super) cluster: SimCluster,
    pub(super) identity: Identity,
    /// Index of each topic in the cluster; the first is the input.
    topics: Vec<usize>,
    producer: ProducerIndex,
    epoch: u64,
    open: bool,
    pub(super) incarnation: u64,
    pub(super) generation: u64,
    pub(super) held: BTreeMap<i32, Held>,
    /// Told to be revoked, not released yet.
    pub(super) leaving: BTreeSet<i32>,
    /// Whether the group has given it partitions since it joined, be it none.
    pub(super) told: bool,
    crashed: bool,
}

impl SimLog {
    /// Joins the group as reader of the first of `topics`, and ends what a predecessor left open.
    pub fn open(cluster: &SimCluster, identity: Identity, topics: &[Topic]) -> Result<Self, LogError> {
        for topic in topics {
            cluster.create_topic(topic);
        }
        let input = topics.first().map(|t| t.name.as_str()).unwrap_or_default();
        cluster.ensure_group(&identity.group, input);
        let mut state = cluster.lock();
        let producer = state.producer(&identity.transactional_id);
        let epoch = state.init_producer(producer)?;
        let indices = topics.iter().filter_map(|t| state.topic(&t.name)).collect();
        drop(state);
        let mut log = Self {
            cluster: cluster.clone(),
            identity,
            topics: indices,
            producer,
            epoch,
            open: false,
            incarnation: 0,
            generation: 0,
            held: BTreeMap::new(),
            leaving: BTreeSet::new(),
            told: false,
            crashed: false,
        };
        log.join();
        Ok(log)
    }

    /// The last stable offset and the end of a partition, as a test may want to misuse them.
    pub fn ends(&self, topic: TopicIndex, partition: i32) -> (i64, i64) {
        let state = self.cluster.lock();
        let found = self.topics.get(topic.0).and_then(|t| state.partition(*t, partition));
        found.map(|p| (p.stable(), p.end())).unwrap_or_default()
    }

    /// Every call of a log begins here: the process may die, the group may change, the broker may refuse.
    fn enter(cluster: &SimCluster, crashed: &mut bool, group: &str) -> Result<(), LogError> {
        if *crashed {
            return Err(super::crash());
        }
        let mut state = cluster.lock();
        let State { rng, faults, groups, .. } = &mut *state;
        if rng.chance(faults.crash) {
            *crashed = true;
            return Err(super::crash());
        }
        if let Some(group) = groups.get_mut(group) {
            if rng.chance(faults.rebalance) {
                group.shuffle(rng);
            }
            if rng.chance(faults.expire) {
                let living = group.living();
                if let Some(instance) = living.get(rng.below(living.len())) {
                    group.expire(instance);
                }
            }
        }
        if rng.chance(faults.unavailable) {
            return Err(LogError::Unavailable("the simulated broker refuses".into()));
        }
        Ok(())
    }

    fn call(&mut self) -> Result<MutexGuard<'_, State>, LogError> {
        Self::enter(&self.cluster, &mut self.crashed, &self.identity.group)?;
        Ok(self.cluster.lock())
    }

    /// As `call`, for a call of the producer.
    fn write(&mut self) -> Result<MutexGuard<'_, State>, LogError> {
        let (producer, epoch) = (self.producer, self.epoch);
        let mut state = self.call()?;
        if state.chance(|f| f.fenced) {
            state.fence(producer);
        }
        state.check_epoch(producer, epoch)?;
        Ok(state)
    }

    fn held(&mut self, partition: i32) -> Result<&mut Held, LogError> {
        let unknown = || LogError::Unavailable(format!("partition {partition} is not assigned"));
        self.held.get_mut(&partition).ok_or_else(unknown)
    }
}

impl State {
    pub(super) fn chance(&mut self, probability: impl Fn(&super::Faults) -> f64) -> bool {
        let probability = probability(&self.faults);
        self.rng.chance(probability)
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        let mut state = self.cluster.lock();
        let now_ms = state.now_ms;
        if let Some(group) = state.groups.get_mut(&self.identity.group) {
            group.left(&self.identity.instance, self.incarnation, now_ms);
        }
    }
}

impl Log for SimLog {
    fn poll(
        &mut self,
        _wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Polled, LogError> {
        drop(self.call()?);
        if let Some(rebalance) = self.next_rebalance()? {
            return Ok(rebalance);
        }
        let records = if max == 0 { Vec::new() } else { self.take(max) };
        read::show(&records, each);
        Ok(if records.is_empty() { Polled::Nothing } else { Polled::Records(records.len()) })
    }

    fn begin(&mut self) -> Result<(), LogError> {
        drop(self.write()?);
        self.open = true;
        Ok(())
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), LogError> {
        let (producer, epoch) = (self.producer, self.epoch);
        let topic = self.topics.get(record.topic.0).copied().unwrap_or(usize::MAX);
        if !self.open {
            return Err(LogError::Abort("no transaction is open".into()));
        }
        let mut state = self.write()?;
        if state.chance(|f| f.append_abort) {
            return Err(LogError::Abort("the append failed".into()));
        }
        state.enlist(producer)?;
        state.check_epoch(producer, epoch)?;
        let timestamp_ms = state.now_ms;
        let Some(partition) = state.partition_mut(topic, record.partition) else {
            return Err(LogError::Abort("no such partition".into()));
        };
        let appended = SimRecord {
            partition: record.partition,
            offset: 0,
            timestamp_ms,
            key: record.key.to_vec(),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.to_vec(),
        };
        let appended = partition.append(appended, Some(producer));
        let journaled = state.journal.is_some();
        if let Some(found) = state.producers.get_mut(producer) {
            found.partitions.insert((topic, record.partition));
            if journaled {
                found.records.push((topic, appended));
            }
        }
        Ok(())
    }

    fn commit(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        if !self.open {
            return Err(LogError::Abort("no transaction is open".into()));
        }
        drop(self.write()?);
        self.send_offsets(offsets)?;
        self.end()?;
        self.open = false;
        // The process may die with the answer in its hands.
        self.call().map(drop)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let (producer, open) = (self.producer, self.open);
        if !open {
            return Ok(());
        }
        self.open = false;
        let mut state = self.write()?;
        if state.chance(|f| f.abort_unknown) {
            return Err(LogError::Unknown("no answer to the abort".into()));
        }
        state.end_transaction(producer, false);
        state.slow();
        Ok(())
    }

    fn reconnect(&mut self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError> {
        self.open = false;
        let producer = self.producer;
        let epoch = self.call()?.init_producer(producer)?;
        self.epoch = epoch;
        Self::committed(&mut self.cluster.lock(), &self.identity, partitions)
    }

    fn seek(&mut self, positions: &[(i32, i64)]) -> Result<(), LogError> {
        drop(self.call()?);
        for &(partition, offset) in positions {
            self.held(partition)?.position = offset;
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        drop(self.call()?);
        partitions.iter().try_for_each(|p| self.held(*p).map(|held| held.paused = true))
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        drop(self.call()?);
        partitions.iter().try_for_each(|p| self.held(*p).map(|held| held.paused = false))
    }

    fn release(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        drop(self.call()?);
        let mut state = self.cluster.lock();
        let current = self.standing(&state) == Standing::Current;
        let State { groups, rng, .. } = &mut *state;
        let group: Option<&mut Group> = groups.get_mut(&self.identity.group);
        for partition in partitions {
            self.held.remove(partition);
            self.leaving.remove(partition);
        }
        if let Some(group) = group.filter(|_| current) {
            for partition in partitions {
                group.release(&self.identity.instance, *partition);
            }
            // Its second round of joining may be over before the next poll.
            if rng.chance(0.5) {
                self.generation = group.generation;
            }
        }
        Ok(())
    }
}
