//! The window of known ids: for each a fingerprint and where it lies in the log, 24 bytes, and 6 to 7 of their index. No I/O.
//!
//! Ids are kept in buckets of time, so that forgetting is dropping a bucket. The open transaction's ids are in an
//! overlay until it is committed. An id is 96 bits of BLAKE3; tags are 48 bits.

use std::collections::VecDeque;
use std::collections::hash_map::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use kpay_streams::rows::Rows;
use parking_lot::RwLock;

/// Buckets that the window is divided into: an id is forgotten at the latest one bucket after the window's end.
const BUCKETS: i64 = 8;

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// 48 bits of whatever the stage compares or keeps (the inflight stage: the fingerprint of the request).
    pub tag: u64,
    /// Offset of the record in the stage's input.
    pub offset: i64,
}

/// Hash of an id, as [`kpay_domain::fingerprint::id_hash`] makes it.
pub type IdHash = [u8; 12];

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: IdHash,
    tag: [u8; 6],
    offset: [u8; 6],
}

const _: () = assert!(size_of::<Entry>() == 24);

impl Entry {
    fn new(id: IdHash, known: Known) -> Self {
        Self { id, tag: low48(known.tag), offset: low48(known.offset.cast_unsigned()) }
    }

    fn known(&self) -> Known {
        Known { tag: from48(self.tag), offset: from48(self.offset).cast_signed() }
    }
}

/// The part of a fingerprint that is kept.
pub fn tag_of(fingerprint: u64) -> u64 {
    from48(low48(fingerprint))
}

fn low48(value: u64) -> [u8; 6] {
    *value.to_le_bytes().first_chunk().expect("eight bytes hold six")
}

fn from48(low: [u8; 6]) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(low) {
        *to = from;
    }
    u64::from_le_bytes(bytes)
}

/// The id is a hash already: its first bytes serve as the table's.
fn place(id: &IdHash) -> u64 {
    u64::from_le_bytes(*id.first_chunk().expect("twelve bytes hold eight"))
}

#[derive(Debug, Default)]
struct Bucket {
    start_ms: i64,
    rows: Rows<Entry>,
}

/// The committed ids of one partition.
#[derive(Debug, Default)]
struct Partition {
    /// Oldest first.
    buckets: VecDeque<Bucket>,
}

impl Partition {
    fn find(&self, id: &IdHash) -> Option<Known> {
        let hash = place(id);
        let mut newest_first = self.buckets.iter().rev();
        newest_first.find_map(|b| b.rows.find(hash, |e| e.id == *id)).map(Entry::known)
    }

    /// Puts an entry in the place of the one that its id has already.
    fn replace(&mut self, entry: Entry, at_ms: i64, window_ms: i64) {
        let hash = place(&entry.id);
        let mut newest_first = self.buckets.iter_mut().rev();
        match newest_first.find_map(|b| b.rows.find_mut(hash, |e| e.id == entry.id)) {
            Some(known) => *known = entry,
            None => self.insert(entry, at_ms, window_ms),
        }
    }

    fn insert(&mut self, entry: Entry, at_ms: i64, window_ms: i64) {
        let width = (window_ms / BUCKETS).max(1);
        let start_ms = at_ms.div_euclid(width) * width;
        let at = self.buckets.partition_point(|b| b.start_ms < start_ms);
        if self.buckets.get(at).is_none_or(|b| b.start_ms != start_ms) {
            self.buckets.insert(at, Bucket { start_ms, rows: Rows::default() });
        }
        if let Some(bucket) = self.buckets.get_mut(at) {
            bucket.rows.insert_unique(place(&entry.id), entry, |e| place(&e.id));
        }
        let newest_ms = self.buckets.back().map_or(start_ms, |b| b.start_ms);
        while self.buckets.front().is_some_and(|b| b.start_ms + width + window_ms <= newest_ms) {
            self.buckets.pop_front();
        }
    }
}

type Shared = Arc<RwLock<Partition>>;

/// The committed side, shared with interactive queries and between the workers of a pod.
#[derive(Debug, Default)]
pub struct CommittedIds {
    partitions: RwLock<HashMap<i32, Shared>>,
}

impl CommittedIds {
    /// What is known of an id; the outer `None` when the partition is not held here.
    pub fn get(&self, partition: i32, id: &IdHash) -> Option<Option<Known>> {
        let shared = Arc::clone(self.partitions.read().get(&partition)?);
        let known = shared.read().find(id);
        Some(known)
    }

    /// Number of ids over all partitions held here.
    pub fn len(&self) -> usize {
        let partitions = self.partitions.read();
        partitions.values().map(|p| p.read().buckets.iter().map(|b| b.rows.len()).sum::<usize>()).sum()
    }

    /// Whether nothing is held here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Debug)]
struct Owned {
    shared: Shared,
    overlay: HashTable<(Entry, i64)>,
    /// In the place of what is committed.
    replaced: Vec<(Entry, i64)>,
}

/// The worker's side.
#[derive(Debug)]
pub struct Ids {
    shared: Arc<CommittedIds>,
    owned: HashMap<i32, Owned>,
    window_ms: i64,
}

impl Ids {
    /// Remembers ids for `window_ms` after the newest that was seen.
    pub fn new(shared: Arc<CommittedIds>, window_ms: i64) -> Self {
        Self { shared, owned: HashMap::new(), window_ms }
    }

    /// How long ids are remembered, in milliseconds.
    pub fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// What the open transaction knows of an id.
    pub fn get(&self, partition: i32, id: &IdHash) -> Option<Known> {
        let owned = self.owned.get(&partition)?;
        let fresh = owned.overlay.find(place(id), |(e, _)| e.id == *id).map(|(e, _)| e.known());
        let replaced = || owned.replaced.iter().rev().find(|(e, _)| e.id == *id).map(|(e, _)| e.known());
        fresh.or_else(replaced).or_else(|| owned.shared.read().find(id))
    }

    /// Notes a new id in the overlay. `at_ms` is when its record was written.
    pub fn insert(&mut self, partition: i32, id: IdHash, known: Known, at_ms: i64) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            let entry = (Entry::new(id, known), at_ms);
            owned.overlay.insert_unique(place(&id), entry, |(e, _)| place(&e.id));
        }
    }

    /// Notes in the overlay what takes the place of what is known of the id.
    pub fn replace(&mut self, partition: i32, id: IdHash, known: Known, at_ms: i64) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            let entry = Entry::new(id, known);
            match owned.overlay.find_mut(place(&id), |(e, _)| e.id == id) {
                Some(fresh) => *fresh = (entry, at_ms),
                None => owned.replaced.push((entry, at_ms)),
            }
        }
    }

    /// Makes the overlay committed.
    pub fn fold(&mut self) {
        let changed = |o: &&mut Owned| !o.overlay.is_empty() || !o.replaced.is_empty();
        for owned in self.owned.values_mut().filter(changed) {
            let mut shared = owned.shared.write();
            for (entry, at_ms) in owned.replaced.drain(..) {
                shared.replace(entry, at_ms, self.window_ms);
            }
            for (entry, at_ms) in owned.overlay.drain() {
                shared.insert(entry, at_ms, self.window_ms);
            }
        }
    }

    /// Throws the overlay away.
    pub fn discard(&mut self) {
        for owned in self.owned.values_mut() {
            owned.overlay.clear();
            owned.replaced.clear();
        }
    }

    /// Takes a partition over; [`Ids::restored`] fills it, [`Ids::publish`] shows it.
    pub fn restore(&mut self, partition: i32) {
        let owned = Owned { shared: Shared::default(), overlay: HashTable::new(), replaced: Vec::new() };
        self.owned.insert(partition, owned);
    }

    /// Adds an id that was read back from the log; the first of its kind wins, as it did then.
    pub fn restored(&mut self, partition: i32, id: IdHash, known: Known, at_ms: i64) {
        if let Some(owned) = self.owned.get(&partition) {
            let mut shared = owned.shared.write();
            if shared.find(&id).is_none() {
                shared.insert(Entry::new(id, known), at_ms, self.window_ms);
            }
        }
    }

    /// Adds an id that was read back from the log; the last of its kind wins.
    pub fn replaced(&mut self, partition: i32, id: IdHash, known: Known, at_ms: i64) {
        if let Some(owned) = self.owned.get(&partition) {
            owned.shared.write().replace(Entry::new(id, known), at_ms, self.window_ms);
        }
    }

    /// Shows a restored partition to readers.
    pub fn publish(&mut self, partition: i32) {
        if let Some(owned) = self.owned.get(&partition) {
            self.shared.partitions.write().insert(partition, Arc::clone(&owned.shared));
        }
    }

    /// Drops a partition.
    pub fn revoke(&mut self, partition: i32) {
        self.owned.remove(&partition);
        self.shared.partitions.write().remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{CommittedIds, Ids, Known};

    const HOUR: i64 = 3_600_000;

    fn ids() -> (Arc<CommittedIds>, Ids) {
        let shared = Arc::new(CommittedIds::default());
        let mut ids = Ids::new(Arc::clone(&shared), 8 * HOUR);
        ids.restore(0);
        ids.publish(0);
        (shared, ids)
    }

    fn id(n: u8) -> [u8; 12] {
        [n; 12]
    }

    const KNOWN: Known = Known { tag: 0x0000_ffee_ddcc_bbaa, offset: 0x0000_1122_3344_5566 };

    #[test]
    fn an_id_is_known_at_once_to_its_transaction_and_to_others_after_the_commit() {
        let (shared, mut ids) = ids();
        ids.insert(0, id(1), KNOWN, 0);
        assert_eq!((ids.get(0, &id(1)), shared.get(0, &id(1))), (Some(KNOWN), Some(None)));
        ids.discard();
        assert_eq!(ids.get(0, &id(1)), None);
        ids.insert(0, id(1), KNOWN, 0);
        ids.fold();
        assert_eq!((ids.get(0, &id(1)), shared.get(0, &id(1))), (Some(KNOWN), Some(Some(KNOWN))));
        assert_eq!(shared.get(1, &id(1)), None, "not held here");
    }

    #[test]
    fn an_id_is_remembered_for_the_whole_window_and_forgotten_a_bucket_later() {
        let (shared, mut ids) = ids();
        ids.insert(0, id(1), KNOWN, HOUR - 1);
        ids.insert(0, id(2), KNOWN, 8 * HOUR);
        ids.fold();
        assert_eq!(shared.get(0, &id(1)), Some(Some(KNOWN)), "still within the window");
        ids.insert(0, id(3), KNOWN, 9 * HOUR);
        ids.fold();
        assert_eq!(shared.get(0, &id(1)), Some(None));
        assert_eq!(shared.len(), 2);
    }

    #[test]
    fn what_replaces_is_found_from_the_commit_on_and_an_abort_forgets_it() {
        let (shared, mut ids) = ids();
        let second = Known { tag: 0, offset: 7 };
        ids.insert(0, id(1), KNOWN, 0);
        ids.fold();
        ids.replace(0, id(1), second, 3 * HOUR);
        assert_eq!((ids.get(0, &id(1)), shared.get(0, &id(1))), (Some(second), Some(Some(KNOWN))));
        ids.discard();
        assert_eq!(ids.get(0, &id(1)), Some(KNOWN));
        ids.replace(0, id(1), second, 3 * HOUR);
        ids.fold();
        assert_eq!((shared.get(0, &id(1)), shared.len()), (Some(Some(second)), 1));
        ids.insert(0, id(2), KNOWN, 0);
        ids.replace(0, id(2), second, 0);
        ids.fold();
        assert_eq!((shared.get(0, &id(2)), shared.len()), (Some(Some(second)), 2));
    }

    #[test]
    fn of_two_restored_records_with_one_id_the_first_wins() {
        let (shared, mut ids) = ids();
        ids.restore(0);
        ids.restored(0, id(1), KNOWN, 0);
        ids.restored(0, id(1), Known { tag: 1, offset: 1 }, 0);
        ids.publish(0);
        assert_eq!(shared.get(0, &id(1)), Some(Some(KNOWN)));
    }
}
