//! Keyed state of one worker: a committed table a partition, which others may read, and an overlay for the open
//! transaction, which nobody else sees. No I/O.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::RwLock;

pub use crate::map::Map;

type Shared<K, V> = Arc<RwLock<Map<K, V>>>;

/// The committed side, shared with interactive queries.
#[derive(Debug)]
pub struct Committed<K, V> {
    partitions: RwLock<HashMap<i32, Shared<K, V>>>,
}

impl<K, V> Default for Committed<K, V> {
    fn default() -> Self {
        Self { partitions: RwLock::default() }
    }
}

impl<K: Eq + Hash, V: Clone> Committed<K, V> {
    /// The committed value of a key; the outer `None` when the partition is not held here.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, partition: i32, key: &Q) -> Option<Option<V>>
    where
        K: Borrow<Q>,
    {
        let table = Arc::clone(self.partitions.read().get(&partition)?);
        let value = table.read().get(key).cloned();
        Some(value)
    }

    /// Number of keys over all partitions held here.
    pub fn len(&self) -> usize {
        self.partitions.read().values().map(|table| table.read().len()).sum()
    }

    /// Whether no key is held here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows every key of a partition to `visit`; false when the partition is not held here.
    pub fn each(&self, partition: i32, visit: &mut dyn FnMut(&K, &V)) -> bool {
        let table = self.partitions.read().get(&partition).map(Arc::clone);
        let Some(table) = table else { return false };
        for (key, value) in table.read().iter() {
            visit(key, value);
        }
        true
    }
}

/// One partition of the worker's side.
#[derive(Debug)]
struct Owned<K, V> {
    /// The same table that readers see, reached without the outer lock.
    table: Shared<K, V>,
    /// Changes of the open transaction; `None`: removed.
    overlay: HashMap<K, Option<V>>,
}

/// The worker's side: reads through the overlay, writes to it.
#[derive(Debug)]
pub struct Table<K, V> {
    shared: Arc<Committed<K, V>>,
    owned: HashMap<i32, Owned<K, V>>,
}

impl<K: Eq + Hash, V: Clone> Table<K, V> {
    /// An empty table whose committed side is `shared` (several workers of a pod share one).
    pub fn new(shared: Arc<Committed<K, V>>) -> Self {
        Self { shared, owned: HashMap::new() }
    }

    /// The value as the open transaction sees it.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, partition: i32, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let owned = self.owned.get(&partition)?;
        match owned.overlay.get(key) {
            Some(changed) => changed.clone(),
            None => owned.table.read().get(key).cloned(),
        }
    }

    /// Sets a value in the overlay. A partition that is not owned keeps nothing.
    pub fn put(&mut self, partition: i32, key: K, value: V) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.overlay.insert(key, Some(value));
        }
    }

    /// Removes a key in the overlay.
    pub fn remove(&mut self, partition: i32, key: K) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.overlay.insert(key, None);
        }
    }

    /// Makes the overlay committed: one lock a partition that changed.
    pub fn fold(&mut self) {
        for owned in self.owned.values_mut().filter(|owned| !owned.overlay.is_empty()) {
            let mut table = owned.table.write();
            for (key, changed) in owned.overlay.drain() {
                match changed {
                    Some(value) => drop(table.insert(key, value)),
                    None => drop(table.remove(&key)),
                }
            }
        }
    }

    /// Throws the overlay away.
    pub fn discard(&mut self) {
        for owned in self.owned.values_mut() {
            owned.overlay.clear();
        }
    }

    /// Fills a new table and shows it to readers only when `fill` is done with it.
    pub fn restore<E>(
        &mut self,
        partition: i32,
        fill: impl FnOnce(&mut Map<K, V>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut table = Map::default();
        fill(&mut table)?;
        let table = Arc::new(RwLock::new(table));
        self.owned.insert(partition, Owned { table: Arc::clone(&table), overlay: HashMap::new() });
        self.shared.partitions.write().insert(partition, table);
        Ok(())
    }

    /// Takes a partition over with these entries.
    pub fn take_over(&mut self, partition: i32, entries: impl IntoIterator<Item = (K, V)>) {
        let Ok(()) = self.restore(partition, |table| {
            table.extend(entries);
            Ok::<_, Infallible>(())
        });
    }

    /// Drops a partition with what its overlay holds.
    pub fn revoke(&mut self, partition: i32) {
        self.owned.remove(&partition);
        self.shared.partitions.write().remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Committed, Table};

    #[test]
    fn readers_see_a_change_only_after_the_fold_and_never_a_discarded_one() {
        let shared = Arc::new(Committed::<String, u32>::default());
        let mut table = Table::new(Arc::clone(&shared));
        assert_eq!(shared.get(0, "a"), None, "not held here");
        table
            .restore(0, |t| {
                t.insert("a".into(), 1);
                Ok::<_, ()>(())
            })
            .unwrap();
        table.put(0, "a".into(), 2);
        assert_eq!((table.get(0, "a"), shared.get(0, "a")), (Some(2), Some(Some(1))));
        table.discard();
        assert_eq!(table.get(0, "a"), Some(1));
        table.put(0, "a".into(), 3);
        table.fold();
        assert_eq!(shared.get(0, "a"), Some(Some(3)));
        table.remove(0, "a".into());
        assert_eq!((table.get(0, "a"), shared.get(0, "a")), (None, Some(Some(3))));
        table.fold();
        assert_eq!(shared.get(0, "a"), Some(None));
        table.revoke(0);
        assert_eq!(shared.get(0, "a"), None);
    }
}
