//! The intake: records that are answered once they are on the disk. One thread writes and syncs for all who wait, so
//! that many share one sync, and syncs what workers have committed meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::error;

use super::error::{StoreError, database};
use super::keys::TopicId;
use super::state::State;
use super::write::Appends;
use crate::clock::now_ms;

/// Told the offset of a record once it is durable. It runs on the thread that syncs: it must not wait or panic.
pub type Done = Box<dyn FnOnce(Result<i64, StoreError>) + Send>;

/// Told once what was written before is durable; as [`Done`].
pub type Synced = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A record for the intake, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Key, empty for none.
    pub key: &'a [u8],
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [(String, Vec<u8>)],
}

impl NewRecord<'_> {
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let lengths = [self.key.len(), self.value.map_or(0, <[u8]>::len)].into_iter().chain(headers);
        lengths.fold(0, usize::saturating_add)
    }
}

struct Waiting {
    topic: TopicId,
    partition: i32,
    /// Its place in the batch of its partition.
    place: u32,
    done: Done,
}

/// What goes into the next write.
#[derive(Default)]
struct Group {
    appends: Appends,
    waiting: Vec<Waiting>,
    /// Who has written nothing, and waits for what others have.
    readers: Vec<Synced>,
}

#[derive(Default)]
struct Queue {
    next: Group,
    bytes: usize,
    /// How often something was written, and of these how many are on the disk.
    written: u64,
    synced: u64,
    /// When something was written that is not synced yet.
    unsynced_since: Option<Instant>,
    stopping: bool,
}

/// Where records wait for the thread that syncs.
#[derive(Default)]
pub(super) struct Intake {
    queue: Mutex<Queue>,
    wake: Condvar,
}

impl Intake {
    /// Adds a record to the next write.
    pub(super) fn push(
        &self,
        (topic, partition): (TopicId, i32),
        record: NewRecord<'_>,
        bytes_max: usize,
        done: Done,
    ) -> Result<(), StoreError> {
        let mut queue = self.queue.lock();
        let bytes = queue.bytes.saturating_add(record.bytes());
        // One record may always wait, however long it is.
        if bytes > bytes_max && queue.bytes > 0 {
            return Err(StoreError::Busy { waiting_bytes: queue.bytes });
        }
        queue.bytes = bytes;
        let batch = queue.next.appends.batch(topic, partition);
        let place = batch.span();
        batch.push(now_ms(), record.key, record.value, record.headers);
        queue.next.waiting.push(Waiting { topic, partition, place, done });
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Tells `done` once everything is on the disk that is written: at once when it is.
    pub(super) fn when_synced(&self, done: Synced) {
        let mut queue = self.queue.lock();
        if queue.synced == queue.written {
            drop(queue);
            return done(Ok(()));
        }
        queue.next.readers.push(done);
        drop(queue);
        self.wake.notify_one();
    }

    /// Something was written that has to be synced some time. Noted before anybody sees it.
    pub(super) fn note_unsynced(&self) {
        let mut queue = self.queue.lock();
        queue.written += 1;
        if queue.unsynced_since.is_none() {
            queue.unsynced_since = Some(Instant::now());
            drop(queue);
            self.wake.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.queue.lock().stopping = true;
        self.wake.notify_one();
    }

    /// Waits for records, for a sync that is due, or for the end; swaps what waits into `group`. Says whether it is
    /// the end.
    fn wait(&self, interval: Duration, group: &mut Group) -> bool {
        let mut queue = self.queue.lock();
        while queue.next.waiting.is_empty() && queue.next.readers.is_empty() && !queue.stopping {
            let Some(since) = queue.unsynced_since else {
                self.wake.wait(&mut queue);
                continue;
            };
            if self.wake.wait_until(&mut queue, since + interval).timed_out() {
                break;
            }
        }
        std::mem::swap(&mut queue.next, group);
        queue.bytes = 0;
        queue.stopping
    }

    /// What is written before this call is synced after it; says how much that is.
    fn begin_sync(&self) -> u64 {
        let mut queue = self.queue.lock();
        queue.unsynced_since = None;
        queue.written
    }

    fn end_sync(&self, written: u64) {
        self.queue.lock().synced = written;
    }
}

/// The life of the thread: until the last handle of the store is dropped and everything is on the disk.
pub(super) fn run(state: &Arc<State>, interval: Duration) {
    let mut group = Group::default();
    loop {
        let stopping = state.intake.wait(interval, &mut group);
        state.serve(&mut group);
        if stopping {
            return;
        }
    }
}

impl State {
    /// Writes what waits, syncs it together with everything before, and answers.
    fn serve(&self, group: &mut Group) {
        let Group { appends, waiting, readers } = group;
        let written = self.write(appends, None);
        appends.clear();
        let until = self.intake.begin_sync();
        let synced = written.and_then(|bases| self.sync().map(|()| bases));
        if synced.is_ok() {
            self.intake.end_sync(until);
        }
        if let Err(error) = &synced
            && self.report_once()
        {
            error!(%error, "the store failed");
        }
        for Waiting { topic, partition, place, done } in waiting.drain(..) {
            let base = synced.as_ref().ok().and_then(|bases| bases.get(&(topic, partition)));
            done(base.map(|base| base.saturating_add(i64::from(place))).ok_or(StoreError::Failed));
        }
        for done in readers.drain(..) {
            done(synced.as_ref().map(drop).map_err(|_| StoreError::Failed));
        }
    }

    /// Everything in the journal is on the disk after this.
    fn sync(&self) -> Result<(), StoreError> {
        self.check()?;
        let synced = self.journal.lock().sync().map_err(fjall::Error::Io);
        synced.map_err(database("sync the journal")).inspect_err(|_| self.fail())
    }
}

#[cfg(test)]
mod tests;
