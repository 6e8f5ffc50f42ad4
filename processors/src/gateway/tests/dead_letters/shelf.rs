//! A twin of ops.dlq, and of the one who replays from it.

use std::ops::Range;
use std::sync::Arc;

use kpay_streams::record::Record;
use parking_lot::Mutex;

use crate::gateway::dead_letters::log::{Addressed, LetterLog, LettersError, Part, Replayer};
use crate::names::TopicName;

pub(super) const PARTITIONS: usize = 3;

#[derive(Clone)]
pub(super) struct Stored {
    pub(super) at_ms: i64,
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// ops.dlq in memory, and what was replayed. `None` is an offset that holds no record, as a marker's.
#[derive(Default)]
pub(in crate::gateway::tests) struct Shelf {
    pub(super) dlq: [Vec<Option<Stored>>; PARTITIONS],
    pub(super) replayed: Vec<Addressed>,
    newest_replayer: u64,
    /// Offsets that were read.
    pub(super) looked_at: i64,
    pub(super) reads_fail: bool,
    /// Another gateway becomes the replayer between the reading and the writing.
    pub(super) fence_next: bool,
    /// The next replay is written, and its writer is told that nobody knows.
    pub(super) answer_lost: bool,
}

impl LetterLog for Arc<Mutex<Shelf>> {
    fn partitions(&self, _: TopicName) -> Result<i32, LettersError> {
        Ok(8)
    }

    fn ends(&self) -> Result<Vec<Range<i64>>, LettersError> {
        Ok(self.lock().dlq.iter().map(|records| 0..i64::try_from(records.len()).unwrap()).collect())
    }

    fn read(&self, parts: &[Part], each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LettersError> {
        if self.lock().reads_fail {
            return Err(LettersError::TimedOut);
        }
        for Part { partition, offsets } in parts {
            self.lock().looked_at += offsets.end - offsets.start;
            for offset in offsets.clone() {
                let at = (usize::try_from(*partition).unwrap(), usize::try_from(offset).unwrap());
                let stored = self.lock().dlq[at.0][at.1].clone();
                let Some(Stored { at_ms, key, value, headers }) = stored else { continue };
                let (partition, timestamp_ms) = (*partition, at_ms);
                each(&Record {
                    partition,
                    offset,
                    timestamp_ms,
                    key: &key,
                    value: &value,
                    headers: &headers,
                });
            }
        }
        Ok(())
    }

    fn replayer(&self) -> Result<Box<dyn Replayer>, LettersError> {
        let mut held = self.lock();
        held.newest_replayer += 1;
        Ok(Box::new(TwinReplayer { shelf: Arc::clone(self), number: held.newest_replayer }))
    }
}

struct TwinReplayer {
    shelf: Arc<Mutex<Shelf>>,
    number: u64,
}

impl Replayer for TwinReplayer {
    fn append(&mut self, records: Vec<Addressed>) -> Result<(), LettersError> {
        let mut held = self.shelf.lock();
        if std::mem::take(&mut held.fence_next) {
            held.newest_replayer += 1;
        }
        if held.newest_replayer != self.number {
            return Err(LettersError::TimedOut);
        }
        for record in records {
            if record.topic == TopicName::Dlq {
                let at_ms = 9_000;
                let Addressed { partition, key, value, headers, .. } = record;
                let stored = Stored { at_ms, key, value, headers };
                held.dlq[usize::try_from(partition).unwrap()].push(Some(stored));
            } else {
                held.replayed.push(record);
            }
        }
        if std::mem::take(&mut held.answer_lost) { Err(LettersError::TimedOut) } else { Ok(()) }
    }
}
