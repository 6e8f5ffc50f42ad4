//! The one way into the journal: batches and offsets, all or none.

use std::collections::BTreeMap;

use fjall::Slice;

use super::batch::BatchBuilder;
use super::error::{StoreError, database};
use super::keys::{self, TopicId};
use super::state::State;
use super::tail::Batch;
use crate::log::Offset;

/// Records to be written, one batch for each partition. The buffers are used again.
#[derive(Debug, Default)]
pub(super) struct Appends(BTreeMap<(TopicId, i32), BatchBuilder>);

impl Appends {
    /// The batch of a partition.
    pub(super) fn batch(&mut self, topic: TopicId, partition: i32) -> &mut BatchBuilder {
        self.0.entry((topic, partition)).or_default()
    }

    /// Forgets the records and keeps the buffers.
    pub(super) fn clear(&mut self) {
        self.0.values_mut().for_each(BatchBuilder::clear);
    }
}

/// The offsets that a group commits along with what it appends.
pub(super) struct Commit<'a> {
    pub(super) group: &'a str,
    pub(super) generation: u64,
    /// The topic that the offsets are of.
    pub(super) input: TopicId,
    pub(super) offsets: &'a [Offset],
}

/// A batch that has its offsets.
struct Placed {
    topic: TopicId,
    partition: i32,
    written_ms: i64,
    batch: Batch,
}

/// The first offset of each batch that was written.
pub(super) type Bases = BTreeMap<(TopicId, i32), i64>;

impl State {
    /// Writes everything or nothing, and then makes it visible. In the journal, not yet on the disk.
    pub(super) fn write(
        &self,
        appends: &mut Appends,
        commit: Option<&Commit<'_>>,
    ) -> Result<Bases, StoreError> {
        let writer = self.writer.lock();
        self.check()?;
        if let Some(commit) = commit {
            writer.check_generation(commit.group, commit.generation)?;
        }
        let mut batch = self.database.batch();
        let mut placed = Vec::new();
        for (&(topic, partition), builder) in appends.0.iter_mut().filter(|(_, b)| !b.is_empty()) {
            let new = self.place(topic, partition, builder)?;
            batch.insert(
                &self.keyspace,
                keys::batch(topic, partition, new.batch.base),
                new.batch.bytes.clone(),
            );
            placed.push(new);
        }
        if let Some(commit) = commit {
            for offset in commit.offsets {
                let key = keys::offset(commit.group, commit.input, offset.partition);
                let value = [offset.next.to_le_bytes().as_slice(), offset.metadata.as_bytes()].concat();
                batch.insert(&self.keyspace, key, value);
            }
        }
        batch.commit().map_err(database("write a transaction")).inspect_err(|_| self.fail())?;
        self.intake.note_unsynced();
        let bases = placed.iter().map(|p| ((p.topic, p.partition), p.batch.base)).collect();
        for Placed { topic, partition, written_ms, batch } in placed {
            let topic = self.topic(topic)?;
            topic.with(partition, |tail| tail.push(batch, written_ms))?;
            topic.arrived.notify_all();
        }
        drop(writer);
        Ok(bases)
    }

    /// Gives a batch its offsets. Nobody else does meanwhile: the writer's lock is held.
    fn place(
        &self,
        topic: TopicId,
        partition: i32,
        builder: &mut BatchBuilder,
    ) -> Result<Placed, StoreError> {
        let (base, before_ms) = self.topic(topic)?.with(partition, |tail| (tail.end, tail.written_ms))?;
        let end = base.checked_add(i64::from(builder.span()));
        let end = end.ok_or(StoreError::TooMany { what: "the records of a partition" })?;
        let written_ms = before_ms.max(builder.newest_ms());
        let bytes = Slice::from(builder.seal(written_ms, 0));
        Ok(Placed { topic, partition, written_ms, batch: Batch { base, end, bytes } })
    }
}
