//! A value of each partition, as committed and as the open transaction has it. No I/O.

use std::collections::HashMap;

/// What one stage keeps by partition.
#[derive(Debug, Default)]
pub struct Changes<T>(HashMap<i32, Change<T>>);

#[derive(Debug)]
struct Change<T> {
    committed: T,
    open: T,
}

impl<T: Clone + PartialEq> Changes<T> {
    /// Takes a partition over with its committed value.
    pub fn restore(&mut self, partition: i32, committed: T) {
        self.0.insert(partition, Change { open: committed.clone(), committed });
    }

    /// Drops a partition.
    pub fn revoke(&mut self, partition: i32) {
        self.0.remove(&partition);
    }

    /// The value as the open transaction has it.
    pub fn get(&self, partition: i32) -> Option<&T> {
        self.0.get(&partition).map(|change| &change.open)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, partition: i32) -> Option<&mut T> {
        self.0.get_mut(&partition).map(|change| &mut change.open)
    }

    /// The transaction is committed.
    pub fn fold(&mut self) {
        for change in self.0.values_mut().filter(|change| change.open != change.committed) {
            change.committed.clone_from(&change.open);
        }
    }

    /// The transaction is aborted.
    pub fn discard(&mut self) {
        for change in self.0.values_mut().filter(|change| change.open != change.committed) {
            change.open.clone_from(&change.committed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Changes;

    #[test]
    fn an_abort_goes_back_to_what_was_committed_and_no_further() {
        let mut changes = Changes::default();
        changes.restore(0, 1);
        *changes.get_mut(0).unwrap() = 2;
        changes.fold();
        *changes.get_mut(0).unwrap() = 3;
        assert_eq!(changes.get(0), Some(&3));
        changes.discard();
        assert_eq!(changes.get(0), Some(&2));
        changes.revoke(0);
        assert_eq!(changes.get(0), None);
    }
}
