//! Many entries of one size in little memory: rows in chunks that never move, and a hash index of their places. No I/O.
//!
//! A hash table that holds its entries doubles with all of them: right after that more than half of it is empty, and while it
//! copies the old half is there too. Here only the index grows, by a quarter: it takes 6 to 7 bytes a row; of the rows no
//! more than one chunk is empty.

mod index;

use index::Index;

/// Rows of a chunk: places are split into chunk and row by bits.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 10;

/// Rows that are found by a hash and a comparison, which the caller brings along, as those of hashbrown's `HashTable`.
#[derive(Debug)]
pub struct Rows<T> {
    /// Of each row its place: the chunk and the row in it.
    index: Index,
    /// All are full but the last.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { index: Index::default(), chunks: Vec::new() }
    }
}

fn at<T>(chunks: &[Vec<T>], place: u32) -> Option<&T> {
    let place = place as usize;
    chunks.get(place >> CHUNK_BITS)?.get(place & (CHUNK - 1))
}

fn at_mut<T>(chunks: &mut [Vec<T>], place: u32) -> Option<&mut T> {
    let place = place as usize;
    chunks.get_mut(place >> CHUNK_BITS)?.get_mut(place & (CHUNK - 1))
}

impl<T> Rows<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// The row at a place: from 0, in the order in which they were added as long as none was removed.
    pub fn at(&self, place: usize) -> Option<&T> {
        at(&self.chunks, u32::try_from(place).ok()?)
    }

    fn place(&self, hash: u64, mut same: impl FnMut(&T) -> bool) -> Option<u32> {
        self.index.find(hash, |place| at(&self.chunks, place).is_some_and(&mut same))
    }

    /// The row of this hash that is the `same`.
    pub fn find(&self, hash: u64, same: impl FnMut(&T) -> bool) -> Option<&T> {
        at(&self.chunks, self.place(hash, same)?)
    }

    /// As [`Rows::find`], to change what is no part of the hash.
    pub fn find_mut(&mut self, hash: u64, same: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let place = self.place(hash, same)?;
        at_mut(&mut self.chunks, place)
    }

    /// Adds a row that is not there yet. `hash_of` tells the hash of a row again, when the index grows.
    ///
    /// # Panics
    /// At 2^32 rows, before which memory ends.
    pub fn insert_unique(&mut self, hash: u64, row: T, hash_of: impl Fn(&T) -> u64) {
        let Self { index, chunks } = self;
        index.push(hash, |place| at(chunks, place).map_or(0, &hash_of));
        match chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(row),
            // The first chunk grows with its rows: most tables are small.
            None => chunks.push(vec![row]),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(row);
                chunks.push(chunk);
            }
        }
    }

    /// Takes a row out; the last one moves to its place.
    pub fn remove(
        &mut self,
        hash: u64,
        mut same: impl FnMut(&T) -> bool,
        hash_of: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let Self { index, chunks } = self;
        let place = index.remove(hash, |place| at(chunks, place).is_some_and(&mut same))?;
        let last = chunks.last_mut()?.pop()?;
        if chunks.last().is_some_and(Vec::is_empty) {
            chunks.pop();
        }
        // Places count from 0, so the last one is how many are left.
        let left = index.len();
        if place as usize == left {
            return Some(last);
        }
        if let Some(moved) = index.find_mut(hash_of(&last), |place| place as usize == left) {
            *moved = place;
        }
        at_mut(chunks, place).map(|free| std::mem::replace(free, last))
    }

    /// Every row, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{CHUNK, Rows};

    /// A change of a run of keys.
    #[derive(Debug, Clone)]
    enum Change {
        Set { keys: std::ops::Range<u16>, value: u32 },
        Remove { keys: std::ops::Range<u16> },
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        let keys = (0..3_000_u16, 1..1_500_u16).prop_map(|(first, count)| first..first + count);
        let set = (keys.clone(), any::<u32>()).prop_map(|(keys, value)| Change::Set { keys, value });
        let remove = keys.prop_map(|keys| Change::Remove { keys });
        prop::collection::vec(prop_oneof![3 => set, 2 => remove], 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// `spread` is how many hashes there are: with few of them nearly every look-up meets rows of other keys.
        #[test]
        fn rows_are_what_a_hash_map_would_hold(changes in changes(), spread in prop_oneof![Just(97_u64), Just(u64::MAX)]) {
            let hash = |key: u16| (u64::from(key) % spread).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (mut rows, mut model) = (Rows::default(), HashMap::new());
            for change in changes {
                match change {
                    Change::Set { keys, value } => {
                        for key in keys {
                            match rows.find_mut(hash(key), |(k, _)| *k == key) {
                                Some((_, known)) => *known = value,
                                None => rows.insert_unique(hash(key), (key, value), |(k, _)| hash(*k)),
                            }
                            model.insert(key, value);
                        }
                    }
                    Change::Remove { keys } => {
                        for key in keys {
                            let row = rows.remove(hash(key), |(k, _)| *k == key, |(k, _)| hash(*k));
                            prop_assert_eq!(row, model.remove_entry(&key));
                        }
                    }
                }
                prop_assert_eq!(rows.len(), model.len());
                prop_assert_eq!(rows.iter().copied().collect::<HashMap<_, _>>(), model.clone());
                prop_assert!(rows.iter().eq((0..rows.len()).filter_map(|place| rows.at(place))));
                for key in 0..4_500 {
                    let row = rows.find(hash(key), |(k, _)| *k == key);
                    prop_assert_eq!(row.map(|(_, value)| value), model.get(&key));
                }
            }
        }
    }

    #[test]
    fn no_more_than_one_chunk_has_room() {
        let mut rows = Rows::default();
        for key in 0..=10 * CHUNK as u64 {
            rows.insert_unique(key, key, |key| *key);
        }
        assert_eq!(rows.chunks.len(), 11);
        assert!(rows.chunks.iter().all(|chunk| chunk.capacity() == CHUNK));
        rows.remove(0, |key| *key == 0, |key| *key);
        assert_eq!((rows.len(), rows.chunks.len()), (10 * CHUNK, 10));
    }

    #[test]
    fn a_row_costs_at_most_8_bytes_more_than_itself_however_many_there_are() {
        let mut rows = Rows::default();
        for count in 1..300_000 {
            let key = count as u64;
            rows.insert_unique(key, [key, 0, 0], |row| row[0]);
            let chunks = rows.chunks.len() * CHUNK * size_of::<[u64; 3]>();
            // Of few rows most is an empty chunk.
            if count % CHUNK == 0 {
                let bytes = rows.index.allocation_size() + chunks;
                assert!(bytes <= count * (24 + 8), "{bytes} bytes for {count} rows");
            }
        }
    }
}
