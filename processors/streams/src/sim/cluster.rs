//! The harness's side of the simulation: topics, time, faults, and what a checker looks at.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::Faults;
use super::group::Group;
use super::journal::Decided;
use super::partition::{Partition, SimRecord};
use super::state::State;
use super::transaction::Phase;
use crate::out::Topic;

/// Simulated brokers, shared by the logs of all workers and the harness.
#[derive(Debug, Clone)]
pub struct SimCluster {
    state: Arc<Mutex<State>>,
}

impl SimCluster {
    /// An empty cluster; every draw comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// How long a dead member keeps its partitions, and how long a transaction may stay open, in milliseconds.
    pub fn set_timeouts(&self, session_ms: i64, transaction_ms: i64) {
        let mut state = self.lock();
        state.session_ms = session_ms;
        state.transaction_ms = transaction_ms;
    }

    /// Creates a topic that is not there yet.
    pub fn create_topic(&self, topic: &Topic) {
        let mut state = self.lock();
        if state.topic(&topic.name).is_none() {
            let partitions = (0..topic.partitions).map(|_| Partition::default()).collect();
            state.topics.push((topic.name.clone(), partitions));
        }
    }

    /// Virtual time, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.lock().now_ms
    }

    /// Lets time pass.
    pub fn advance(&self, ms: i64) {
        self.lock().advance(ms);
    }

    /// Appends outside any transaction, as a client of the pipeline does.
    pub fn produce(&self, topic: &str, partition: i32, key: &[u8], value: &[u8]) {
        self.produce_with_headers(topic, partition, key, value, Vec::new());
    }

    /// As [`SimCluster::produce`], with headers. Says at which offset; `None` when there is no such partition.
    pub fn produce_with_headers(
        &self,
        topic: &str,
        partition: i32,
        key: &[u8],
        value: &[u8],
        headers: Vec<(String, Vec<u8>)>,
    ) -> Option<i64> {
        let mut state = self.lock();
        let timestamp_ms = state.now_ms;
        let index = state.topic(topic)?;
        let found = state.partition_mut(index, partition)?;
        let (key, value) = (key.to_vec(), Some(value.to_vec()));
        let record = SimRecord { partition, offset: 0, timestamp_ms, key, value, headers };
        Some(found.append(record, None).offset)
    }

    /// Begins to note each transaction when it is decided to be committed, for [`SimCluster::take_journal`].
    pub fn keep_journal(&self) {
        self.lock().journal.get_or_insert_default();
    }

    /// What was decided since the last call, in the order of the decisions.
    pub fn take_journal(&self) -> Vec<Decided> {
        self.lock().journal.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The number of a topic in the journal.
    pub fn topic_number(&self, topic: &str) -> Option<usize> {
        self.lock().topic(topic)
    }

    /// Keeps only the last record of each key, as compaction does sooner or later.
    pub fn compact(&self, topic: &str, partition: i32) {
        let mut state = self.lock();
        let Some(index) = state.topic(topic) else { return };
        if let Some(found) = state.partition_mut(index, partition) {
            found.compact();
        }
    }

    /// What a `read_committed` reader sees now.
    pub fn committed(&self, topic: &str, partition: i32) -> Vec<Arc<SimRecord>> {
        self.with(topic, partition, |p, _| p.committed(p.first(), i64::MAX, usize::MAX)).unwrap_or_default()
    }

    /// What a `read_committed` reader sees, and what it will see once the markers of decided commits are written.
    pub fn decided(&self, topic: &str, partition: i32) -> Vec<Arc<SimRecord>> {
        let decided = |p: &Partition, state: &State| {
            p.decided(|producer| matches!(state.phase(producer), Phase::Ending { commit: true, .. }))
        };
        self.with(topic, partition, decided).unwrap_or_default()
    }

    /// The last stable offset and the end of a partition.
    pub fn ends(&self, topic: &str, partition: i32) -> (i64, i64) {
        self.with(topic, partition, |p, _| (p.stable(), p.end())).unwrap_or_default()
    }

    /// The committed offset of a group and what it carries, decided commits included.
    pub fn committed_offset(&self, group: &str, partition: i32) -> Option<(i64, String)> {
        let state = self.lock();
        let deciding =
            state.producers.iter().filter(|p| matches!(p.phase, Phase::Ending { commit: true, .. }));
        let pending = deciding.flat_map(|p| &p.offsets).find(|(g, o)| g == group && o.partition == partition);
        match pending {
            Some((_, offset)) => Some((offset.next, offset.metadata.clone())),
            None => state.groups.get(group)?.committed(partition).cloned(),
        }
    }

    /// The committed offset of a group, as its members are told it: once its marker is written.
    pub fn marked_offset(&self, group: &str, partition: i32) -> Option<i64> {
        self.lock().groups.get(group)?.committed(partition).map(|(offset, _)| *offset)
    }

    /// Commits an offset outside any transaction: for seeding, and for faults that a test plants.
    pub fn commit_offset(&self, group: &str, partition: i32, offset: i64, metadata: &str) {
        if let Some(group) = self.lock().groups.get_mut(group) {
            group.commit(partition, offset, metadata.to_owned());
        }
    }

    /// Which member holds the partition, as the group sees it.
    pub fn owner(&self, group: &str, partition: i32) -> Option<String> {
        self.lock().groups.get(group)?.owner(partition).map(str::to_owned)
    }

    /// Hands the partitions of a group out at random.
    pub fn rebalance(&self, group: &str) {
        let mut state = self.lock();
        let State { groups, rng, .. } = &mut *state;
        if let Some(group) = groups.get_mut(group) {
            group.shuffle(rng);
        }
    }

    /// The session of a member expires, whether it lives or not.
    pub fn expire(&self, group: &str, instance: &str) {
        if let Some(group) = self.lock().groups.get_mut(group) {
            group.expire(instance);
        }
    }

    /// Deletes what lies below an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut state = self.lock();
        let Some(index) = state.topic(topic) else { return };
        if let Some(found) = state.partition_mut(index, partition) {
            found.delete_before(offset);
        }
    }

    /// Whether no transaction is open or waits for its markers.
    pub fn is_settled(&self) -> bool {
        self.lock().producers.iter().all(|p| p.phase == Phase::Idle)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The group, made when the first member comes.
    pub(super) fn ensure_group(&self, group: &str, topic: &str) {
        let mut state = self.lock();
        let index = state.topic(topic).unwrap_or(usize::MAX);
        let partitions = state.topics.get(index).map_or(0, |(_, p)| i32::try_from(p.len()).unwrap_or(0));
        state.groups.entry(group.to_owned()).or_insert_with(|| Group::new(index, partitions));
    }

    fn with<T>(&self, topic: &str, partition: i32, look: impl Fn(&Partition, &State) -> T) -> Option<T> {
        let state = self.lock();
        let index = state.topic(topic)?;
        state.partition(index, partition).map(|p| look(p, &state))
    }
}
