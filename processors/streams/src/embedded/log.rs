//! One worker's connection to the store: it reads every partition of its input, and buffers its open transaction.

mod held;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::store::{Store, StoredTopic};
use super::write::{Appends, Commit};
use crate::clock::now_ms;
use crate::log::{Assigned, Log, LogError, Offset, Polled, Reader, Start, Until};
use crate::out::{Outgoing, Topic, TopicIndex};
use crate::record::Record;
use held::Held;

/// A worker's connection to a [`Store`]. It owns its input: a log that is opened later for the same group fences it.
#[derive(Debug)]
pub struct EmbeddedLog {
    store: Store,
    group: String,
    generation: u64,
    /// The generation of the group's newest log.
    newest: Arc<AtomicU64>,
    input: StoredTopic,
    topics: Vec<StoredTopic>,
    /// By partition; empty before the first poll.
    held: BTreeMap<i32, Held>,
    assigned: bool,
    /// The partition whose turn it is.
    turn: i32,
    open: bool,
    appends: Appends,
}

impl EmbeddedLog {
    /// Becomes the one reader of the first of `topics` for `group`, and fences the log that was before. What that one
    /// left open is gone.
    pub fn open(store: &Store, group: &str, topics: &[Topic]) -> Result<Self, StoreError> {
        let found: Vec<StoredTopic> =
            topics.iter().map(|topic| store.topic(&topic.name)).collect::<Result<_, _>>()?;
        if let Some((asked, stored)) = topics.iter().zip(&found).find(|(a, s)| a.partitions != s.partitions) {
            return Err(StoreError::Partitions {
                topic: asked.name.clone(),
                directory: store.state().directory.clone(),
                stored: stored.partitions,
                asked: asked.partitions,
            });
        }
        let input = *found.first().ok_or_else(|| StoreError::NoTopic { topic: String::new() })?;
        let (newest, generation) = store.state().next_generation(group);
        // Somebody of the generation before may be waiting.
        let topic = store.state().topic(input.id)?;
        drop(topic.tails.lock());
        topic.arrived.notify_all();
        Ok(Self {
            store: store.clone(),
            group: group.to_owned(),
            generation,
            newest,
            input,
            topics: found,
            held: BTreeMap::new(),
            assigned: false,
            turn: 0,
            open: false,
            appends: Appends::default(),
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        self.store.state().check()?;
        if self.newest.load(Ordering::Acquire) == self.generation {
            return Ok(());
        }
        Err(StoreError::Fenced { group: self.group.clone() })
    }

    fn committed(&self, partition: i32) -> Result<Assigned, StoreError> {
        self.store.state().committed(&self.group, self.input.id, partition)
    }

    /// Becomes the owner of every partition, paused.
    fn assign(&mut self) -> Result<Vec<Assigned>, StoreError> {
        let partitions = 0..self.input.partitions;
        let assigned: Vec<_> = partitions.map(|p| self.committed(p)).collect::<Result<_, _>>()?;
        let hold = |a: &Assigned| (a.partition, Held::new(a.offset));
        self.held = assigned.iter().map(hold).collect();
        self.assigned = true;
        Ok(assigned)
    }

    /// The partitions with something to be delivered; waits until there is one. None when `until` has passed.
    fn ready(&self, until: Instant) -> Result<Vec<i32>, LogError> {
        let topic = self.store.state().topic(self.input.id)?;
        let mut tails = topic.tails.lock();
        loop {
            self.check()?;
            let mut ready = Vec::new();
            for (partition, held) in self.held.iter().filter(|(_, held)| !held.paused) {
                let tail = usize::try_from(*partition).ok().and_then(|at| tails.get(at));
                let Some(tail) = tail else { continue };
                if held.position < tail.first {
                    return Err(LogError::Unavailable("records were deleted before they were read".into()));
                }
                if held.position < tail.end {
                    ready.push(*partition);
                }
            }
            if !ready.is_empty() || topic.arrived.wait_until(&mut tails, until).timed_out() {
                return Ok(ready);
            }
        }
    }

    /// Shows up to `max` records of these partitions, from the one on whose turn it is.
    fn deliver(
        &mut self,
        ready: &[i32],
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<usize, LogError> {
        let first = ready.iter().position(|partition| *partition >= self.turn).unwrap_or(0);
        let mut count = 0;
        for &partition in ready.iter().cycle().skip(first).take(ready.len()) {
            let Some(held) = self.held.get_mut(&partition) else { continue };
            count += held.deliver(self.store.state(), self.input, partition, max - count, each)?;
            if count >= max {
                // One that is busy does not keep the others waiting.
                self.turn = partition.saturating_add(1);
                break;
            }
        }
        Ok(count)
    }

    fn held(&mut self, partition: i32) -> Result<&mut Held, LogError> {
        let unknown = || LogError::Unavailable(format!("partition {partition} is not assigned"));
        self.held.get_mut(&partition).ok_or_else(unknown)
    }

    fn discard(&mut self) {
        self.open = false;
        self.appends.clear();
    }
}

impl Reader for EmbeddedLog {
    /// Everything in the store is committed, and a predecessor can commit no more: [`Until::Stable`] is the end.
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        let topic = self.topics.get(topic.0).ok_or_else(|| unknown_topic(topic))?;
        Ok(self.store.state().read(topic.id, partition, (from, until), each)?)
    }

    fn now_ms(&self) -> i64 {
        now_ms()
    }
}

fn unknown_topic(topic: TopicIndex) -> LogError {
    LogError::Unavailable(format!("there is no topic of index {}", topic.0))
}

impl Log for EmbeddedLog {
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Polled, LogError> {
        self.check()?;
        if !self.assigned {
            return Ok(Polled::Assigned(self.assign()?));
        }
        if max == 0 {
            std::thread::sleep(wait);
            return Ok(Polled::Nothing);
        }
        let until = Instant::now() + wait;
        loop {
            let ready = self.ready(until)?;
            if ready.is_empty() {
                return Ok(Polled::Nothing);
            }
            let count = self.deliver(&ready, max, each)?;
            if count > 0 {
                return Ok(Polled::Records(count));
            }
        }
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.check()?;
        self.appends.clear();
        self.open = true;
        Ok(())
    }

    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), LogError> {
        let Outgoing { topic, partition, key, value, headers } = *record;
        if !self.open {
            return Err(LogError::Abort("no transaction is open".into()));
        }
        let stored = self.topics.get(topic.0).ok_or_else(|| unknown_topic(topic))?;
        if !(0..stored.partitions).contains(&partition) {
            let topic = self.store.state().topic(stored.id)?.name.clone();
            return Err(StoreError::NoPartition { topic, partition }.into());
        }
        self.appends.batch(stored.id, partition).push(now_ms(), key, value, headers);
        Ok(())
    }

    fn commit(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        if !self.open {
            return Err(LogError::Abort("no transaction is open".into()));
        }
        let Self { store, group, generation, input, appends, .. } = self;
        let commit = Commit { group, generation: *generation, input: input.id, offsets };
        store.state().write(appends, Some(&commit))?;
        self.discard();
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.discard();
        Ok(())
    }

    /// The outcome of a commit is always known; so this only says what is committed.
    fn reconnect(&mut self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError> {
        self.discard();
        self.check()?;
        Ok(partitions.iter().map(|p| self.committed(*p)).collect::<Result<_, _>>()?)
    }

    fn seek(&mut self, positions: &[(i32, i64)]) -> Result<(), LogError> {
        positions.iter().try_for_each(|&(partition, position)| {
            self.held(partition)?.seek(position);
            Ok(())
        })
    }

    fn pause(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        partitions.iter().try_for_each(|p| self.held(*p).map(|held| held.paused = true))
    }

    fn resume(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        partitions.iter().try_for_each(|p| self.held(*p).map(|held| held.paused = false))
    }

    /// Never asked for: nothing is revoked.
    fn release(&mut self, partitions: &[i32]) -> Result<(), LogError> {
        for partition in partitions {
            self.held.remove(partition);
        }
        Ok(())
    }
}
