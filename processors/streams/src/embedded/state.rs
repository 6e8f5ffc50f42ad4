//! What all handles of a store share: the database, the topics, the order of writes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fjall::{Database, Keyspace};
use parking_lot::{Condvar, Mutex};

use super::error::{StoreError, database};
use super::journal::Journal;
use super::keys::{self, TopicId};
use super::sync::Intake;
use super::tail::Tail;
use crate::log::Assigned;

/// A topic with the ends of its partitions.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: String,
    pub(super) tails: Mutex<Vec<Tail>>,
    /// Told when something was written, and when a reader is fenced.
    pub(super) arrived: Condvar,
}

/// Held while offsets are given out, written and made visible: the order of the journal is the order of the offsets.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The generation of each group's newest reader.
    generations: HashMap<String, Arc<AtomicU64>>,
}

pub(super) struct State {
    pub(super) directory: PathBuf,
    pub(super) database: Database,
    /// All keys lie in one key space: a flush of its memtable is a prefix of the writes, as the journal is.
    pub(super) keyspace: Keyspace,
    /// By [`TopicId`].
    pub(super) topics: Vec<TopicState>,
    pub(super) writer: Mutex<Writer>,
    /// Held by retention and compaction, one at a time. Taken before `writer`.
    pub(super) maintenance: Mutex<()>,
    pub(super) intake: Intake,
    /// Held while it is synced; no writer takes it.
    pub(super) journal: Mutex<Journal>,
    failed: AtomicBool,
    reported: AtomicBool,
}

impl State {
    pub(super) fn new(
        directory: PathBuf,
        database: Database,
        keyspace: Keyspace,
        topics: Vec<TopicState>,
    ) -> Self {
        Self {
            journal: Mutex::new(Journal::new(directory.clone())),
            directory,
            database,
            keyspace,
            topics,
            writer: Mutex::default(),
            maintenance: Mutex::default(),
            intake: Intake::default(),
            failed: AtomicBool::new(false),
            reported: AtomicBool::new(false),
        }
    }

    /// The topic of this name.
    pub(super) fn find(&self, name: &str) -> Result<TopicId, StoreError> {
        let found = self.topics.iter().position(|topic| topic.name == name);
        let id = found.and_then(|at| TopicId::try_from(at).ok());
        id.ok_or_else(|| StoreError::NoTopic { topic: name.to_owned() })
    }

    pub(super) fn topic(&self, id: TopicId) -> Result<&TopicState, StoreError> {
        self.topics.get(usize::from(id)).ok_or_else(|| StoreError::NoTopic { topic: id.to_string() })
    }

    /// A write failed: what the journal ends with is known only after a reopening.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) { Err(StoreError::Failed) } else { Ok(()) }
    }

    /// Whether this is the first time that the failure is told.
    pub(super) fn report_once(&self) -> bool {
        !self.reported.swap(true, Ordering::AcqRel)
    }

    /// How far a group has come in a partition: its committed offset, or the first that is still there.
    pub(super) fn committed(
        &self,
        group: &str,
        topic: TopicId,
        partition: i32,
    ) -> Result<Assigned, StoreError> {
        let stored = self.keyspace.get(keys::offset(group, topic, partition));
        let Some(stored) = stored.map_err(database("read a committed offset"))? else {
            let offset = self.ends(topic, partition)?.0;
            return Ok(Assigned { partition, offset, metadata: String::new() });
        };
        let parse = || {
            let (next, metadata) = stored.split_first_chunk::<8>()?;
            let metadata = std::str::from_utf8(metadata).ok()?.to_owned();
            Some(Assigned { partition, offset: i64::from_le_bytes(*next), metadata })
        };
        parse().ok_or_else(|| self.unreadable(topic, partition, 0))
    }

    /// A new generation of a group's reader: the commits of those before are refused from now on.
    pub(super) fn next_generation(&self, group: &str) -> (Arc<AtomicU64>, u64) {
        let mut writer = self.writer.lock();
        let newest = Arc::clone(writer.generations.entry(group.to_owned()).or_default());
        // With the lock held: a commit that was checked before is written before this returns.
        let generation = newest.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        drop(writer);
        (newest, generation)
    }
}

impl Writer {
    /// Whether a log of this generation is still the group's reader.
    pub(super) fn check_generation(&self, group: &str, generation: u64) -> Result<(), StoreError> {
        let newest = self.generations.get(group).map_or(0, |newest| newest.load(Ordering::Acquire));
        if newest == generation { Ok(()) } else { Err(StoreError::Fenced { group: group.to_owned() }) }
    }
}

impl TopicState {
    /// Number of partitions.
    pub(super) fn partitions(&self) -> i32 {
        i32::try_from(self.tails.lock().len()).unwrap_or(i32::MAX)
    }

    /// Does something with the ends of a partition.
    pub(super) fn with<T>(&self, partition: i32, f: impl FnOnce(&mut Tail) -> T) -> Result<T, StoreError> {
        let mut tails = self.tails.lock();
        let tail = usize::try_from(partition).ok().and_then(|at| tails.get_mut(at));
        tail.map(f).ok_or_else(|| StoreError::NoPartition { topic: self.name.clone(), partition })
    }

    pub(super) fn corrupt(&self, partition: i32, offset: i64) -> StoreError {
        StoreError::Corrupt { topic: self.name.clone(), partition, offset }
    }
}
