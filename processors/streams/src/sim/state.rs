//! What the simulated brokers hold, and their time.

use std::collections::BTreeMap;

use super::Faults;
use super::group::Group;
use super::journal::Decided;
use super::partition::Partition;
use super::rng::Rng;
use super::transaction::{Phase, Producer};
use crate::log::LogError;

/// A producer by its place in the list.
pub(super) type ProducerIndex = usize;

/// Where a marker goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Partition(usize, i32),
    Offsets,
}

/// What happens by itself at its time.
#[derive(Debug)]
pub(super) enum Event {
    Marker {
        producer: ProducerIndex,
        target: Target,
    },
    /// A request to commit that was on its way when its sender gave up waiting.
    Commit {
        producer: ProducerIndex,
        epoch: u64,
    },
}

/// How long a call of the broker waits at most.
const CALL_MAX_MS: i64 = 60_000;
/// The virtual time at which a simulation begins.
const BEGIN_MS: i64 = 1_700_000_000_000;

#[derive(Debug)]
pub(super) struct State {
    pub(super) now_ms: i64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) session_ms: i64,
    pub(super) transaction_ms: i64,
    pub(super) topics: Vec<(String, Vec<Partition>)>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) producers: Vec<Producer>,
    pub(super) producer_ids: BTreeMap<String, ProducerIndex>,
    pub(super) journal: Option<Vec<Decided>>,
    events: BTreeMap<(i64, u64), Event>,
    event_count: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now_ms: BEGIN_MS,
            rng: Rng::new(seed),
            faults: Faults::default(),
            session_ms: 10_000,
            transaction_ms: 10_000,
            topics: Vec::new(),
            groups: BTreeMap::new(),
            producers: Vec::new(),
            producer_ids: BTreeMap::new(),
            journal: None,
            events: BTreeMap::new(),
            event_count: 0,
        }
    }

    pub(super) fn topic(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|(n, _)| n == name)
    }

    pub(super) fn partition(&self, topic: usize, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.1.get(usize::try_from(partition).ok()?)
    }

    pub(super) fn partition_mut(&mut self, topic: usize, partition: i32) -> Option<&mut Partition> {
        self.topics.get_mut(topic)?.1.get_mut(usize::try_from(partition).ok()?)
    }

    pub(super) fn producer(&mut self, transactional_id: &str) -> ProducerIndex {
        if let Some(found) = self.producer_ids.get(transactional_id) {
            return *found;
        }
        self.producers.push(Producer::new());
        let index = self.producers.len() - 1;
        self.producer_ids.insert(transactional_id.to_owned(), index);
        index
    }

    pub(super) fn schedule(&mut self, delay_ms: i64, event: Event) {
        self.event_count += 1;
        self.events.insert((self.now_ms.saturating_add(delay_ms), self.event_count), event);
    }

    /// A call of a coordinator that may take long.
    pub(super) fn slow(&mut self) {
        if self.rng.chance(self.faults.slow) {
            let delay = self.rng.up_to_ms(self.faults.slow_max_ms);
            self.advance(delay);
        }
    }

    /// Lets time pass, and what happens by itself happen in its order.
    pub(super) fn advance(&mut self, ms: i64) {
        let until = self.now_ms.saturating_add(ms);
        while let Some(at) = self.next_at().filter(|at| *at <= until) {
            self.now_ms = self.now_ms.max(at);
            self.happen();
        }
        self.now_ms = until;
    }

    /// Waits until `done`, as a blocking call does.
    pub(super) fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), LogError> {
        let deadline = self.now_ms.saturating_add(CALL_MAX_MS);
        while !done(self) {
            let Some(at) = self.next_at().filter(|at| *at <= deadline) else {
                return Err(LogError::Unavailable(format!("{what}: timed out")));
            };
            self.now_ms = self.now_ms.max(at);
            self.happen();
        }
        Ok(())
    }

    fn next_at(&self) -> Option<i64> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let timeout = self.next_timeout().map(|(at, _)| at);
        let expiry = self.next_expiry().map(|(at, _, _)| at);
        [event, timeout, expiry].into_iter().flatten().min()
    }

    fn next_timeout(&self) -> Option<(i64, ProducerIndex)> {
        let open = self.producers.iter().enumerate().filter_map(|(index, producer)| match producer.phase {
            Phase::Open { began_ms } => Some((began_ms.saturating_add(self.transaction_ms), index)),
            Phase::Idle | Phase::Ending { .. } => None,
        });
        open.min()
    }

    fn next_expiry(&self) -> Option<(i64, String, String)> {
        let next = self.groups.iter().filter_map(|(name, group)| {
            group.next_expiry(self.session_ms).map(|(at, instance)| (at, name.clone(), instance))
        });
        next.min()
    }

    /// Everything that is due now.
    fn happen(&mut self) {
        while let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= self.now_ms) {
            match entry.remove() {
                Event::Marker { producer, target } => self.mark(producer, target),
                Event::Commit { producer, epoch } => {
                    if self.check_epoch(producer, epoch).is_ok() {
                        self.end_transaction(producer, true);
                    }
                }
            }
        }
        // A time-out bumps the epoch, so that the late producer learns of it.
        while let Some((_, producer)) = self.next_timeout().filter(|(at, _)| *at <= self.now_ms) {
            self.fence(producer);
        }
        while let Some((_, name, instance)) = self.next_expiry().filter(|(at, _, _)| *at <= self.now_ms) {
            if let Some(group) = self.groups.get_mut(&name) {
                group.expire(&instance);
            }
        }
    }
}
