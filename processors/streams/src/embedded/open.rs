//! Opens a data directory: the format, the topics, the ends of their partitions. Only I/O.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use parking_lot::{Condvar, Mutex};

use super::batch::Cursor;
use super::error::{StoreError, database};
use super::keys::{self, TopicId};
use super::state::{State, TopicState};
use super::store::Limits;
use super::tail::Tail;
use crate::out::Topic;

/// Of what lies in the directory.
const FORMAT: u32 = 1;
/// The only key space.
const KEYSPACE: &str = "log";
/// What is written since the last flush to a table, in memory.
const MEMTABLE_BYTES: u64 = 32 << 20;
/// Blocks of tables, in memory.
const CACHE_BYTES: u64 = 16 << 20;
/// Open files of tables; the usual limit of a process is 1,024, and callers need some.
const CACHED_FILES_MAX: usize = 128;

/// A topic as it is stored.
struct Stored {
    name: String,
    partitions: i32,
}

pub(super) fn open(directory: &Path, topics: &[Topic], limits: Limits) -> Result<State, StoreError> {
    clear_a_broken_beginning(directory);
    let database = Database::builder(directory)
        .cache_size(CACHE_BYTES)
        // With one, nothing is flushed while it compacts.
        .worker_threads(2)
        .max_cached_files(Some(CACHED_FILES_MAX))
        .open()
        .map_err(|error| opening(directory, error))?;
    // Values are large and never change: without their own files each compaction would write them again.
    let options = || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(MEMTABLE_BYTES)
            .with_kv_separation(Some(KvSeparationOptions::default()))
    };
    let keyspace = database.keyspace(KEYSPACE, options).map_err(|error| opening(directory, error))?;
    let known = check_format(directory, &keyspace)?;
    let mut stored = stored_topics(directory, &keyspace)?;
    let new = missing(directory, &stored, topics)?;
    if !known || !new.is_empty() {
        create(&database, &keyspace, stored.len(), &new)?;
        stored.extend(new);
    }
    let count: usize = stored.iter().map(|topic| usize::try_from(topic.partitions).unwrap_or(0)).sum();
    let bytes_max = limits.partition_bytes_max.min(limits.all_bytes_max / count.max(1));
    let mut states = Vec::with_capacity(stored.len());
    for (id, topic) in (0..).zip(stored) {
        states.push(load(&keyspace, id, topic, bytes_max)?);
    }
    Ok(State::new(directory.to_owned(), database, keyspace, states))
}

/// A database that was killed while it was made has a journal and no version, and nothing in either.
fn clear_a_broken_beginning(directory: &Path) {
    if !directory.join("version").exists() {
        // There is none, as a rule.
        drop(std::fs::remove_file(directory.join("0.jnl")));
    }
}

fn opening(directory: &Path, error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Locked => StoreError::Locked { directory: directory.to_owned() },
        source @ fjall::Error::JournalRecovery(_) => {
            StoreError::Torn { directory: directory.to_owned(), source }
        }
        source => StoreError::Database { call: "open the store", source },
    }
}

fn format_error(directory: &Path, found: u32) -> StoreError {
    StoreError::Format { directory: directory.to_owned(), found, known: FORMAT }
}

/// Whether the directory holds something already, which is of our format.
fn check_format(directory: &Path, keyspace: &Keyspace) -> Result<bool, StoreError> {
    let Some(found) = keyspace.get(keys::FORMAT).map_err(database("read the format"))? else {
        return Ok(false);
    };
    let found = found.as_ref().try_into().map_or(0, u32::from_le_bytes);
    if found == FORMAT { Ok(true) } else { Err(format_error(directory, found)) }
}

/// The topics by their number.
fn stored_topics(directory: &Path, keyspace: &Keyspace) -> Result<Vec<Stored>, StoreError> {
    let mut topics = Vec::new();
    for entry in keyspace.prefix(keys::TOPICS) {
        let (key, value) = entry.into_inner().map_err(database("read the topics"))?;
        let parse = || {
            let id = keys::topic_of(&key).filter(|id| usize::from(*id) == topics.len());
            let (partitions, name) = value.split_first_chunk::<4>()?;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            id.map(|_| Stored { name, partitions: i32::from_le_bytes(*partitions) })
        };
        topics.push(parse().ok_or_else(|| format_error(directory, FORMAT))?);
    }
    Ok(topics)
}

/// The topics that are not stored yet. Those that are keep the number of their partitions.
fn missing(directory: &Path, stored: &[Stored], asked: &[Topic]) -> Result<Vec<Stored>, StoreError> {
    let mut new: Vec<Stored> = Vec::new();
    for topic in asked {
        let partitions = topic.partitions.max(1);
        match stored.iter().chain(&new).find(|s| s.name == topic.name) {
            None => new.push(Stored { name: topic.name.clone(), partitions }),
            Some(known) if known.partitions == partitions => {}
            Some(known) => {
                return Err(StoreError::Partitions {
                    topic: topic.name.clone(),
                    directory: directory.to_owned(),
                    stored: known.partitions,
                    asked: partitions,
                });
            }
        }
    }
    Ok(new)
}

fn create(
    database: &Database,
    keyspace: &Keyspace,
    first: usize,
    topics: &[Stored],
) -> Result<(), StoreError> {
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(keyspace, keys::FORMAT, FORMAT.to_le_bytes());
    for (number, topic) in (first..).zip(topics) {
        let id = TopicId::try_from(number).map_err(|_| StoreError::TooMany { what: "the topics" })?;
        let value = [topic.partitions.to_le_bytes().as_slice(), topic.name.as_bytes()].concat();
        batch.insert(keyspace, keys::topic(id), value);
    }
    batch.commit().map_err(super::error::database("create the topics"))
}

fn load(
    keyspace: &Keyspace,
    id: TopicId,
    stored: Stored,
    bytes_max: usize,
) -> Result<TopicState, StoreError> {
    let Stored { name, partitions } = stored;
    let mut tails = Vec::new();
    for partition in 0..partitions {
        let corrupt = |offset| StoreError::Corrupt { topic: name.clone(), partition, offset };
        let mut batches =
            keyspace.range(keys::batch(id, partition, 0)..=keys::batch(id, partition, i64::MAX));
        let Some(last) = batches.next_back() else {
            tails.push(Tail::new(0, 0, 0, bytes_max));
            continue;
        };
        let (key, bytes) = last.into_inner().map_err(database("read the newest batch"))?;
        let base = keys::base_of(&key).ok_or_else(|| corrupt(0))?;
        let first = match batches.next() {
            Some(first) => {
                let key = first.key().map_err(database("read the oldest batch"))?;
                keys::base_of(&key).ok_or_else(|| corrupt(0))?
            }
            None => base,
        };
        let newest = Cursor::new(base, bytes).map_err(|_| corrupt(base))?;
        tails.push(Tail::new(first, newest.end(), newest.head().written_ms, bytes_max));
    }
    Ok(TopicState { name, tails: Mutex::new(tails), arrived: Condvar::new() })
}
