//! The handle of a store: what the gateway and the owner of the process call.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kpay_kafka::partition::partition_of;

use super::error::StoreError;
use super::keys::TopicId;
use super::open::open;
use super::state::State;
use super::sync::{Done, NewRecord, Synced, run};
use crate::log::{Start, Until};
use crate::out::Topic;
use crate::record::Record;

/// How much a store keeps in memory, and how long it leaves a commit unsynced.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The newest batches of one partition, in bytes.
    pub partition_bytes_max: usize,
    /// The newest batches of all partitions, in bytes: each may hold an equal share.
    pub all_bytes_max: usize,
    /// Records that wait to be written and synced, in bytes.
    pub waiting_bytes_max: usize,
    /// How long a commit may stay unsynced when no intake syncs it, in milliseconds.
    pub sync_interval_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            partition_bytes_max: 8 << 20,
            all_bytes_max: 64 << 20,
            waiting_bytes_max: 16 << 20,
            sync_interval_ms: 100,
        }
    }
}

/// A topic of a store, as [`Store::topic`] found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTopic {
    pub(super) id: TopicId,
    /// Number of partitions, at least 1.
    pub partitions: i32,
}

/// A durable log of one process; cheap to clone. What it promises is told in the module's documentation.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
    state: Arc<State>,
    limits: Limits,
    syncing: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the data directory, or creates it, with these topics and those that it holds already.
    pub fn open(directory: &Path, topics: &[Topic], limits: Limits) -> Result<Self, StoreError> {
        let state = Arc::new(open(directory, topics, limits)?);
        let interval = Duration::from_millis(limits.sync_interval_ms);
        let syncing = thread::Builder::new()
            .name("kpay-store-sync".to_owned())
            .spawn({
                let state = Arc::clone(&state);
                move || run(&state, interval)
            })
            .map_err(StoreError::Thread)?;
        Ok(Self(Arc::new(Handle { state, limits, syncing: Some(syncing) })))
    }

    pub(super) fn state(&self) -> &State {
        &self.0.state
    }

    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Result<StoredTopic, StoreError> {
        let id = self.state().find(name)?;
        Ok(StoredTopic { id, partitions: self.state().topic(id)?.partitions() })
    }

    /// Appends a record to the partition of its key, and returns at once. `done` is told its offset once it is durable.
    /// An error means that nothing was appended, and that `done` is not called.
    pub fn append(&self, topic: StoredTopic, record: NewRecord<'_>, done: Done) -> Result<(), StoreError> {
        self.state().check()?;
        let partition = partition_of(record.key, topic.partitions);
        // Asked before it waits: once written, a batch has a place.
        self.state().ends(topic.id, partition)?;
        self.state().intake.push((topic.id, partition), record, self.0.limits.waiting_bytes_max, done)
    }

    /// As [`Store::append`], and waits until the record is durable. Says its offset.
    pub fn append_and_wait(&self, topic: StoredTopic, record: NewRecord<'_>) -> Result<i64, StoreError> {
        let (sender, receiver) = sync_channel(1);
        // Nobody drops the receiver before it was told.
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.append(topic, record, done)?;
        receiver.recv().unwrap_or(Err(StoreError::Failed))
    }

    /// Tells `done` once everything is durable that can be read at this moment: at once when it is. An error means that
    /// `done` is not called.
    pub fn when_synced(&self, done: Synced) -> Result<(), StoreError> {
        self.state().check()?;
        self.state().intake.when_synced(done);
        Ok(())
    }

    /// The first offset of a partition that is still there, and the offset after its last record.
    pub fn ends(&self, topic: StoredTopic, partition: i32) -> Result<(i64, i64), StoreError> {
        self.state().ends(topic.id, partition)
    }

    /// How far a group has come in a partition of its input: the offset of the next record that it will process.
    pub fn committed(&self, group: &str, topic: StoredTopic, partition: i32) -> Result<i64, StoreError> {
        Ok(self.state().committed(group, topic.id, partition)?.offset)
    }

    /// Shows the record at an offset to `show`; says whether there is one.
    pub fn get(
        &self,
        topic: StoredTopic,
        partition: i32,
        offset: i64,
        show: &mut dyn FnMut(&Record<'_>),
    ) -> Result<bool, StoreError> {
        let state = self.state();
        let Some(mut cursor) = state.cursor_at(topic.id, partition, offset)? else { return Ok(false) };
        while let Some(parts) = cursor.next().map_err(|_| state.unreadable(topic.id, partition, offset))? {
            if parts.offset == offset {
                show(&parts.record(partition));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows every record of a partition from an offset on to `each`, in order.
    pub fn read(
        &self,
        topic: StoredTopic,
        partition: i32,
        from: i64,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), StoreError> {
        self.state().read(topic.id, partition, (Start::Offset(from), Until::Stable), each)
    }

    /// Shows the records of a partition whose offsets are in this range to `each`, in order.
    pub fn read_range(
        &self,
        topic: StoredTopic,
        partition: i32,
        offsets: Range<i64>,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), StoreError> {
        let range = (Start::Offset(offsets.start), Until::Offset(offsets.end));
        self.state().read(topic.id, partition, range, each)
    }

    /// Forgets the batches of a topic that were written before this time, in milliseconds since 1970, but for the
    /// newest of each partition, and for those that the group `reader` has yet to read. Says how many.
    pub fn retain(
        &self,
        topic: StoredTopic,
        reader: Option<&str>,
        before_ms: i64,
    ) -> Result<u64, StoreError> {
        let retain = |partition| {
            let read = reader.map_or(Ok(i64::MAX), |group| self.committed(group, topic, partition))?;
            self.state().retain(topic.id, partition, before_ms, read)
        };
        (0..topic.partitions).map(retain).sum()
    }

    /// Forgets the records of a topic whose key was written again later; the newest batch of each partition stays as
    /// it is. Says how many. Holds each key of a partition in memory meanwhile.
    pub fn compact(&self, topic: StoredTopic) -> Result<u64, StoreError> {
        (0..topic.partitions).map(|partition| self.state().compact(topic.id, partition)).sum()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("directory", &self.state().directory).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    /// Waits until everything is on the disk.
    fn drop(&mut self) {
        self.state.intake.stop();
        if let Some(syncing) = self.syncing.take().filter(|t| t.thread().id() != thread::current().id()) {
            drop(syncing.join());
        }
    }
}
