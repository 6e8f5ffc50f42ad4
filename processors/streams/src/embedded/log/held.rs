//! A partition that a worker reads, and how far it has come.

use crate::embedded::error::StoreError;
use crate::embedded::read::BatchCursor;
use crate::embedded::state::State;
use crate::embedded::store::StoredTopic;
use crate::record::Record;

/// A partition that a worker reads.
#[derive(Debug)]
pub(super) struct Held {
    /// The next offset to be delivered.
    pub(super) position: i64,
    pub(super) paused: bool,
    /// The batch that is being delivered.
    cursor: Option<BatchCursor>,
}

impl Held {
    /// Paused, before the record at `position`.
    pub(super) fn new(position: i64) -> Self {
        Self { position, paused: true, cursor: None }
    }

    /// Delivers from here on.
    pub(super) fn seek(&mut self, position: i64) {
        (self.position, self.cursor) = (position, None);
    }

    /// Shows up to `max` records from the position on, and moves it.
    pub(super) fn deliver(
        &mut self,
        state: &State,
        input: StoredTopic,
        partition: i32,
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<usize, StoreError> {
        let mut count = 0;
        while count < max {
            let cursor = match &mut self.cursor {
                Some(cursor) => cursor,
                none => match state.cursor_at(input.id, partition, self.position)? {
                    Some(cursor) => none.insert(cursor),
                    None => break,
                },
            };
            let end = cursor.end();
            let next = cursor.next().map_err(|_| state.unreadable(input.id, partition, self.position))?;
            match next {
                Some(parts) if parts.offset < self.position => {}
                Some(parts) => {
                    each(&parts.record(partition));
                    self.position = parts.offset.saturating_add(1);
                    count += 1;
                }
                None => {
                    self.position = self.position.max(end);
                    self.cursor = None;
                }
            }
        }
        Ok(count)
    }
}
