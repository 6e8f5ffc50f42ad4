//! The member's side of the group: what a poll learns of a rebalance.

use super::group::Standing;
use super::log::{Held, Identity, SimLog};
use super::partition::Partition;
use super::state::State;
use crate::log::{Assigned, LogError, Polled};

impl SimLog {
    pub(super) fn join(&mut self) {
        let mut state = self.cluster.lock();
        if let Some(group) = state.groups.get_mut(&self.identity.group) {
            self.incarnation = group.join(&self.identity.instance);
            self.generation = group.generation;
        }
        self.told = false;
    }

    pub(super) fn standing(&self, state: &State) -> Standing {
        let group = state.groups.get(&self.identity.group);
        group.map_or(Standing::Lost, |g| g.standing(&self.identity.instance, self.incarnation))
    }

    /// Committed offsets, once no transaction that carries one of them is undecided.
    pub(super) fn committed(
        state: &mut State,
        identity: &Identity,
        partitions: &[i32],
    ) -> Result<Vec<Assigned>, LogError> {
        let name = &identity.group;
        state.wait("committed offsets", |s| !partitions.iter().any(|p| s.offset_is_pending(name, *p)))?;
        let Some(group) = state.groups.get(name) else { return Ok(Vec::new()) };
        let first = |partition| state.partition(group.topic, partition).map_or(0, Partition::first);
        let assigned = |&partition: &i32| match group.committed(partition) {
            Some((offset, metadata)) => Assigned { partition, offset: *offset, metadata: metadata.clone() },
            None => Assigned { partition, offset: first(partition), metadata: String::new() },
        };
        Ok(partitions.iter().map(assigned).collect())
    }

    /// What the group wants of this member.
    pub(super) fn next_rebalance(&mut self) -> Result<Option<Polled>, LogError> {
        let mut state = self.cluster.lock();
        let busy = !self.held.is_empty();
        if busy && state.chance(|f| f.late_rebalance) {
            return Ok(None);
        }
        match self.standing(&state) {
            Standing::Current => {}
            Standing::Fenced => {
                return Err(LogError::Fenced("another process has this instance name".into()));
            }
            Standing::Lost if busy => {
                let partitions: Vec<i32> = self.held.keys().copied().collect();
                self.leaving.extend(&partitions);
                return Ok(Some(Polled::Revoked { partitions, lost: true }));
            }
            Standing::Lost => {
                drop(state);
                self.join();
                return self.next_assignment();
            }
        }
        let Some(group) = state.groups.get_mut(&self.identity.group) else { return Ok(None) };
        self.generation = group.generation;
        let instance = &self.identity.instance;
        let revoked: Vec<i32> =
            self.held.keys().copied().filter(|p| !group.is_target(instance, *p)).collect();
        if revoked.is_empty() {
            drop(state);
            return self.next_assignment();
        }
        self.leaving.extend(&revoked);
        Ok(Some(Polled::Revoked { partitions: revoked, lost: false }))
    }

    fn next_assignment(&mut self) -> Result<Option<Polled>, LogError> {
        let mut state = self.cluster.lock();
        let Some(group) = state.groups.get_mut(&self.identity.group) else { return Ok(None) };
        let mut partitions = group.free_for(&self.identity.instance);
        partitions.retain(|p| !self.held.contains_key(p));
        // Who joins is told what it has got, be it nothing.
        let first = !std::mem::replace(&mut self.told, true);
        if partitions.is_empty() {
            return Ok(first.then(|| Polled::Assigned(Vec::new())));
        }
        for partition in &partitions {
            group.take(&self.identity.instance, *partition);
        }
        state.slow();
        let assigned = Self::committed(&mut state, &self.identity, &partitions)?;
        for a in &assigned {
            self.held.insert(a.partition, Held { position: a.offset, paused: true });
        }
        Ok(Some(Polled::Assigned(assigned)))
    }
}
