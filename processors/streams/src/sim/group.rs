//! A consumer group: who is a member, who owns what, who should, and what is committed. Pure.

use std::collections::BTreeMap;

use super::rng::Rng;

#[derive(Debug)]
struct Member {
    /// Which of the processes with this instance name it is.
    incarnation: u64,
    /// Since when its process is gone; `None` while it sends heartbeats.
    dead_since_ms: Option<i64>,
}

/// How a member stands with its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Current,
    /// Its session expired: what it held may be somebody else's.
    Lost,
    /// Another process came with its instance name.
    Fenced,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) topic: usize,
    pub(super) generation: u64,
    partitions: i32,
    incarnations: u64,
    members: BTreeMap<String, Member>,
    owners: BTreeMap<i32, String>,
    targets: BTreeMap<i32, String>,
    committed: BTreeMap<i32, (i64, String)>,
}

impl Group {
    pub(super) fn new(topic: usize, partitions: i32) -> Self {
        Self {
            topic,
            generation: 0,
            partitions,
            incarnations: 0,
            members: BTreeMap::new(),
            owners: BTreeMap::new(),
            targets: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    /// A static member joins; one that comes back in time changes nothing for the others.
    pub(super) fn join(&mut self, instance: &str) -> u64 {
        // A new process owns nothing yet; what it should have, nobody else may take.
        self.owners.retain(|_, owner| owner != instance);
        self.incarnations += 1;
        let member = Member { incarnation: self.incarnations, dead_since_ms: None };
        if self.members.insert(instance.to_owned(), member).is_none() {
            self.balance();
        }
        self.incarnations
    }

    pub(super) fn standing(&self, instance: &str, incarnation: u64) -> Standing {
        match self.members.get(instance) {
            Some(member) if member.incarnation == incarnation => Standing::Current,
            Some(_) => Standing::Fenced,
            None => Standing::Lost,
        }
    }

    /// The process is gone; its session runs on.
    pub(super) fn left(&mut self, instance: &str, incarnation: u64, now_ms: i64) {
        let member = self.members.get_mut(instance).filter(|m| m.incarnation == incarnation);
        if let Some(member) = member {
            member.dead_since_ms.get_or_insert(now_ms);
        }
    }

    pub(super) fn expire(&mut self, instance: &str) {
        if self.members.remove(instance).is_some() {
            self.owners.retain(|_, owner| owner != instance);
            self.balance();
        }
    }

    /// The living members.
    pub(super) fn living(&self) -> Vec<String> {
        let living = self.members.iter().filter(|(_, m)| m.dead_since_ms.is_none());
        living.map(|(instance, _)| instance.clone()).collect()
    }

    /// When the next session of a dead member expires, and whose.
    pub(super) fn next_expiry(&self, session_ms: i64) -> Option<(i64, String)> {
        let dead = self.members.iter().filter_map(|(instance, m)| {
            m.dead_since_ms.map(|since| (since.saturating_add(session_ms), instance.clone()))
        });
        dead.min()
    }

    /// Hands out anew: each member keeps what it has up to its fair share.
    fn balance(&mut self) {
        self.generation += 1;
        let members = self.members.len().max(1);
        let share = usize::try_from(self.partitions).unwrap_or(0).div_ceil(members);
        let mut load: BTreeMap<String, usize> = self.members.keys().map(|m| (m.clone(), 0)).collect();
        let before = std::mem::take(&mut self.targets);
        for (partition, instance) in before {
            if let Some(count) = load.get_mut(&instance).filter(|count| **count < share) {
                *count += 1;
                self.targets.insert(partition, instance);
            }
        }
        for partition in 0..self.partitions {
            if self.targets.contains_key(&partition) {
                continue;
            }
            if let Some((instance, count)) = load.iter_mut().min_by_key(|(_, count)| **count) {
                *count += 1;
                self.targets.insert(partition, instance.clone());
            }
        }
    }

    /// Hands out at random.
    pub(super) fn shuffle(&mut self, rng: &mut Rng) {
        self.generation += 1;
        let members: Vec<String> = self.members.keys().cloned().collect();
        for partition in 0..self.partitions {
            if let Some(instance) = members.get(rng.below(members.len())) {
                self.targets.insert(partition, instance.clone());
            }
        }
    }

    pub(super) fn owner(&self, partition: i32) -> Option<&str> {
        self.owners.get(&partition).map(String::as_str)
    }

    /// Whether the member should hold the partition.
    pub(super) fn is_target(&self, instance: &str, partition: i32) -> bool {
        self.targets.get(&partition).is_some_and(|target| target == instance)
    }

    /// What the member should hold and nobody else holds any more.
    pub(super) fn free_for(&self, instance: &str) -> Vec<i32> {
        let mine = self.targets.iter().filter(|(_, target)| *target == instance).map(|(p, _)| *p);
        mine.filter(|p| self.owners.get(p).is_none_or(|owner| owner == instance)).collect()
    }

    pub(super) fn take(&mut self, instance: &str, partition: i32) {
        self.owners.insert(partition, instance.to_owned());
    }

    /// The member gives the partition up, which begins the second round of the hand-over.
    pub(super) fn release(&mut self, instance: &str, partition: i32) {
        if self.owner(partition) == Some(instance) {
            self.owners.remove(&partition);
            self.generation += 1;
        }
    }

    pub(super) fn committed(&self, partition: i32) -> Option<&(i64, String)> {
        self.committed.get(&partition)
    }

    pub(super) fn commit(&mut self, partition: i32, offset: i64, metadata: String) {
        self.committed.insert(partition, (offset, metadata));
    }
}
