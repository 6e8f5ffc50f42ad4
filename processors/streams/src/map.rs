//! The map that a table is made of: keys and values as [`Rows`]. No I/O.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::rows::Rows;

/// Values by key.
#[derive(Debug)]
pub struct Map<K, V> {
    rows: Rows<(K, V)>,
    hasher: RandomState,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { rows: Rows::default(), hasher: RandomState::new() }
    }
}

impl<K, V> Map<K, V> {
    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The key at a place, and its value: from 0, in the order in which they were added as long as none was removed.
    pub fn at(&self, place: usize) -> Option<(&K, &V)> {
        self.rows.at(place).map(|(key, value)| (key, value))
    }

    /// Every key and its value, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(key, value)| (key, value))
    }
}

impl<K: Eq + Hash, V> Map<K, V> {
    /// The value of a key.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        self.rows.find(hash, |(known, _)| known.borrow() == key).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        self.rows.find_mut(hash, |(known, _)| known.borrow() == key).map(|(_, value)| value)
    }

    /// Sets the value of a key; tells the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let Self { rows, hasher } = self;
        let hash = hasher.hash_one(&key);
        if let Some((_, known)) = rows.find_mut(hash, |(known, _)| *known == key) {
            return Some(std::mem::replace(known, value));
        }
        rows.insert_unique(hash, (key, value), |(key, _)| hasher.hash_one(key));
        None
    }

    /// Removes a key; tells the value that it had.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let Self { rows, hasher } = self;
        let hash = hasher.hash_one(key);
        let row = rows.remove(hash, |(known, _)| known.borrow() == key, |(key, _)| hasher.hash_one(key));
        row.map(|(_, value)| value)
    }
}

impl<K: Eq + Hash, V> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Map;

    #[test]
    fn a_key_has_the_value_that_was_set_last_until_it_is_removed() {
        let mut map = Map::<String, u32>::default();
        map.extend([("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(map.insert("a".to_owned(), 3), Some(1));
        assert_eq!((map.get("a"), map.get("c"), map.len()), (Some(&3), None, 2));
        if let Some(value) = map.get_mut("b") {
            *value += 2;
        }
        assert_eq!(
            map.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>(),
            [("a", 3), ("b", 4)]
        );
        assert_eq!((map.remove("a"), map.remove("a")), (Some(3), None));
        assert_eq!((map.get("a"), map.get("b"), map.is_empty()), (None, Some(&4), false));
    }
}
