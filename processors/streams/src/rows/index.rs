//! The places of rows by their hashes, in a table that grows by a quarter. No I/O.
//!
//! hashbrown's tables double, so that half of one is empty right after: here a place takes 5.7 to 7.2 bytes instead of 5.7
//! to 11.4. The rows tell their hashes again, so the old table is gone before there is a new one.

/// Slots that are looked through at once.
const SLOTS: usize = 16;
/// Places in a group on average when the table grows: fuller, and too many lie in the groups behind their own.
const FULL: usize = 14;

/// The tag of a slot that was never taken since the table was made: whoever looks further finds nothing.
const EMPTY: u8 = 0;
/// The tag of a slot that is free again.
const REMOVED: u8 = 1;

/// Each byte is 1, and the highest bit of each.
const ONES: u128 = u128::MAX / 0xff;
const HIGHS: u128 = ONES << 7;

#[derive(Debug, Clone, Copy)]
struct Group {
    /// Part of a hash, or none.
    tags: [u8; SLOTS],
    places: [u32; SLOTS],
}

impl Group {
    const NEW: Self = Self { tags: [EMPTY; SLOTS], places: [0; SLOTS] };

    /// The highest bit of each byte that is the tag, and perhaps of the one before such a byte.
    fn marks(&self, tag: u8) -> u128 {
        let other = u128::from_le_bytes(self.tags) ^ (ONES * u128::from(tag));
        other.wrapping_sub(ONES) & !other & HIGHS
    }

    fn is_last(&self) -> bool {
        self.marks(EMPTY) != 0
    }
}

/// Places from 0 on, without a gap.
#[derive(Debug, Default)]
pub(super) struct Index {
    groups: Vec<Group>,
    places: usize,
    removed: usize,
}

fn tag(hash: u64) -> u8 {
    let [.., highest] = hash.to_le_bytes();
    highest.max(REMOVED + 1)
}

impl Index {
    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.places
    }

    /// The groups in which a hash may lie, its own first.
    fn of(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.groups.len();
        let own = usize::try_from(hash % (count.max(1) as u64)).unwrap_or(0);
        (own..count).chain(0..own)
    }

    /// The place of this hash that is the `same`.
    pub(super) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let (at, slot) = self.locate(hash, same)?;
        self.groups.get(at)?.places.get(slot).copied()
    }

    /// As [`Index::find`], to be moved to another place.
    pub(super) fn find_mut(&mut self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<&mut u32> {
        let (at, slot) = self.locate(hash, same)?;
        self.groups.get_mut(at)?.places.get_mut(slot)
    }

    fn locate(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<(usize, usize)> {
        for at in self.of(hash) {
            let group = self.groups.get(at)?;
            let mut marks = group.marks(tag(hash));
            while marks != 0 {
                let slot = marks.trailing_zeros() as usize / 8;
                if group.places.get(slot).is_some_and(|place| same(*place)) {
                    return Some((at, slot));
                }
                marks &= marks - 1;
            }
            if group.is_last() {
                break;
            }
        }
        None
    }

    /// Adds the next place. `hash_of` tells the hash of each one before.
    pub(super) fn push(&mut self, hash: u64, hash_of: impl Fn(u32) -> u64) {
        if self.places + self.removed >= self.groups.len() * FULL {
            self.make_room(hash_of);
        }
        self.put(hash, u32::try_from(self.places).expect("memory ends before 2^32 rows"));
        self.places += 1;
    }

    fn make_room(&mut self, hash_of: impl Fn(u32) -> u64) {
        let groups = self.places / FULL;
        self.groups = Vec::new();
        self.groups = vec![Group::NEW; groups + groups / 4 + 1];
        self.removed = 0;
        for place in 0..u32::try_from(self.places).unwrap_or(u32::MAX) {
            self.put(hash_of(place), place);
        }
    }

    fn put(&mut self, hash: u64, place: u32) {
        for at in self.of(hash) {
            let Some(group) = self.groups.get_mut(at) else { return };
            let mut slots = group.tags.iter_mut().zip(&mut group.places);
            if let Some((free, slot)) = slots.find(|(tag, _)| **tag <= REMOVED) {
                self.removed -= usize::from(*free == REMOVED);
                (*free, *slot) = (tag(hash), place);
                return;
            }
        }
    }

    /// Takes out a place. The last one has to move there: [`Index::find_mut`].
    pub(super) fn remove(&mut self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        let (at, slot) = self.locate(hash, same)?;
        let group = self.groups.get_mut(at)?;
        // Where looking ends anyway it may end here.
        let free = if group.is_last() { EMPTY } else { REMOVED };
        *group.tags.get_mut(slot)? = free;
        self.removed += usize::from(free == REMOVED);
        self.places -= 1;
        group.places.get(slot).copied()
    }

    /// Bytes of the table.
    #[cfg(test)]
    pub(super) fn allocation_size(&self) -> usize {
        self.groups.capacity() * size_of::<Group>()
    }
}
