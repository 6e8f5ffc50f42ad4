//! The next page of what comes in any order. Pure; keeps no more than the page.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Finds the smallest keys above one.
pub(super) struct Next<K, V> {
    after: Option<K>,
    limit: usize,
    /// The largest on top.
    kept: BinaryHeap<ByKey<K, V>>,
    more: bool,
}

struct ByKey<K, V>(K, V);

impl<K: Ord, V> Ord for ByKey<K, V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K: Ord, V> PartialOrd for ByKey<K, V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, V> PartialEq for ByKey<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Ord, V> Eq for ByKey<K, V> {}

impl<K: Ord + Clone, V: Clone> Next<K, V> {
    /// A page of at most `limit` keys above `after`; from the smallest on without it.
    pub(super) fn new(after: Option<K>, limit: usize) -> Self {
        Self { after, limit, kept: BinaryHeap::new(), more: false }
    }

    /// Looks at a key, and copies it when it may be on the page.
    pub(super) fn see(&mut self, key: &K, value: &V) {
        if self.after.as_ref().is_some_and(|after| key <= after) {
            return;
        }
        if self.kept.len() < self.limit {
            self.kept.push(ByKey(key.clone(), value.clone()));
            return;
        }
        self.more = true;
        if let Some(mut largest) = self.kept.peek_mut()
            && *key < largest.0
        {
            *largest = ByKey(key.clone(), value.clone());
        }
    }

    /// The page in the order of its keys, and whether there is more.
    pub(super) fn page(self) -> (Vec<(K, V)>, bool) {
        let page = self.kept.into_sorted_vec().into_iter().map(|ByKey(key, value)| (key, value)).collect();
        (page, self.more)
    }
}
