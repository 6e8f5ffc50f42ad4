//! The ends of a partition, and its newest batches in memory. Pure.

use std::collections::VecDeque;

use fjall::Slice;

/// A batch that somebody may read for as long as they hold it.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Its first offset.
    pub(super) base: i64,
    /// The offset after its last.
    pub(super) end: i64,
    /// What lies in the store; shared with it.
    pub(super) bytes: Slice,
}

/// Where a partition begins and ends, and the newest of its batches, up to a bound in bytes.
#[derive(Debug)]
pub(super) struct Tail {
    /// The first offset that is still there.
    pub(super) first: i64,
    /// The next offset to be given out; what lies before is committed.
    pub(super) end: i64,
    /// When the last batch was written, in milliseconds since 1970; never goes back.
    pub(super) written_ms: i64,
    batches: VecDeque<Batch>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// A partition that holds `first..end` in the store and nothing in memory.
    pub(super) fn new(first: i64, end: i64, written_ms: i64, bytes_max: usize) -> Self {
        Self { first, end, written_ms, batches: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Makes a batch visible that is written. It begins at the end.
    pub(super) fn push(&mut self, batch: Batch, written_ms: i64) {
        self.end = batch.end;
        self.written_ms = written_ms;
        self.bytes = self.bytes.saturating_add(batch.bytes.len());
        self.batches.push_back(batch);
        // The newest stays, however long it is: its readers are about to come.
        while self.bytes > self.bytes_max && self.batches.len() > 1 {
            self.pop();
        }
    }

    /// The batch with this offset, when it is in memory.
    pub(super) fn find(&self, offset: i64) -> Option<Batch> {
        let at = self.batches.partition_point(|batch| batch.end <= offset);
        self.batches.get(at).filter(|batch| batch.base <= offset).cloned()
    }

    /// Forgets what lies before `first`, which was removed from the store.
    pub(super) fn remove_before(&mut self, first: i64) {
        self.first = self.first.max(first);
        while self.batches.front().is_some_and(|batch| batch.end <= first) {
            self.pop();
        }
    }

    /// Forgets every batch in memory: the store holds them otherwise now.
    pub(super) fn forget(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.bytes = self.bytes.saturating_sub(oldest.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Tail};

    fn batch(base: i64, end: i64) -> Batch {
        Batch { base, end, bytes: vec![0; 10].into() }
    }

    #[test]
    fn the_oldest_batches_leave_first_and_the_newest_stays() {
        let mut tail = Tail::new(0, 0, 0, 25);
        for base in 0..4 {
            tail.push(batch(base * 5, base * 5 + 5), base);
        }
        assert_eq!((tail.first, tail.end, tail.written_ms), (0, 20, 3));
        let bases = [0, 9, 10, 14, 15, 19, 20].map(|offset| tail.find(offset).map(|b| b.base));
        assert_eq!(bases, [None, None, Some(10), Some(10), Some(15), Some(15), None]);
        tail.push(Batch { base: 20, end: 21, bytes: vec![0; 100].into() }, 4);
        assert_eq!([19, 20].map(|offset| tail.find(offset).is_some()), [false, true]);
    }

    #[test]
    fn what_was_removed_is_not_found() {
        let mut tail = Tail::new(0, 0, 0, 100);
        tail.push(batch(0, 5), 0);
        tail.push(batch(5, 10), 0);
        tail.remove_before(5);
        assert_eq!(tail.first, 5);
        assert_eq!([4, 5].map(|offset| tail.find(offset).is_some()), [false, true]);
        tail.forget();
        assert!(tail.find(5).is_none());
        assert_eq!(tail.end, 10);
    }
}
