//! Which letters were replayed: read once from the marks in ops.dlq, then kept up. No I/O but through the seam.
//!
//! Three numbers a replay are kept for as long as the letter is.

use std::collections::BTreeMap;
use std::ops::Range;

use super::letter::{LetterId, Mark};
use super::log::{LetterLog, LettersError, Part};

/// Read at one time, of each partition: so much is not read again when a read fails.
const STEP: i64 = 2_000;
/// Read for one request: the next one goes on from there.
const OFFSETS_MAX: i64 = 100_000;

/// A mark, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marked {
    /// Of the mark.
    pub(super) offset: i64,
    pub(super) at_ms: i64,
}

#[derive(Debug, Default)]
struct Lane {
    next: i64,
    /// By the offset of the letter.
    marks: BTreeMap<i64, Marked>,
}

/// Every mark of ops.dlq that was read so far.
#[derive(Debug, Default)]
pub(super) struct Replayed(Vec<Lane>);

impl Replayed {
    /// Reads on. Says whether everything within `ends` is known now.
    pub(super) fn catch_up(
        &mut self,
        log: &dyn LetterLog,
        ends: &[Range<i64>],
    ) -> Result<bool, LettersError> {
        if self.0.len() < ends.len() {
            self.0.resize_with(ends.len(), Lane::default);
        }
        for (lane, end) in self.0.iter_mut().zip(ends) {
            lane.next = lane.next.max(end.start);
            if lane.marks.first_key_value().is_some_and(|(offset, _)| *offset < end.start) {
                lane.marks = lane.marks.split_off(&end.start);
            }
        }
        let mut budget = OFFSETS_MAX;
        loop {
            let lanes = (0..).zip(self.0.iter().zip(ends));
            let missing = lanes.filter(|(_, (lane, end))| lane.next < end.end);
            let parts: Vec<Part> = missing
                .map(|(partition, (lane, end))| Part {
                    partition,
                    offsets: lane.next..end.end.min(lane.next.saturating_add(STEP)),
                })
                .collect();
            if parts.is_empty() || budget <= 0 {
                return Ok(parts.is_empty());
            }
            self.read(log, &parts)?;
            budget -= parts.iter().map(|part| part.offsets.end - part.offsets.start).sum::<i64>();
        }
    }

    fn read(&mut self, log: &dyn LetterLog, parts: &[Part]) -> Result<(), LettersError> {
        log.read(parts, &mut |record| {
            if let Some(letter) = Mark::marks(record)
                && let Some(lane) = self.lane(record.partition)
            {
                let marked = Marked { offset: record.offset, at_ms: record.timestamp_ms };
                lane.marks.entry(letter).or_insert(marked);
            }
        })?;
        for part in parts {
            if let Some(lane) = self.lane(part.partition) {
                lane.next = part.offsets.end;
            }
        }
        Ok(())
    }

    fn lane(&mut self, partition: i32) -> Option<&mut Lane> {
        self.0.get_mut(usize::try_from(partition).ok()?)
    }

    /// The mark of a letter.
    pub(super) fn get(&self, id: LetterId) -> Option<Marked> {
        self.0.get(usize::try_from(id.partition).ok()?)?.marks.get(&id.offset).copied()
    }
}
