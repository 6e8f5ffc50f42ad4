//! A value that changes while payments flow, as one worker reads it: no lock and no wait between two changes. No I/O.

use std::sync::Arc;

use tokio::sync::watch;

/// One reader's view of a value that another thread may replace.
#[derive(Debug, Clone)]
pub struct Live<T> {
    changes: watch::Receiver<Arc<T>>,
    current: Arc<T>,
}

impl<T> Live<T> {
    /// Follows the channel; when its sender goes away, the last value holds.
    pub fn new(mut changes: watch::Receiver<Arc<T>>) -> Self {
        let current = Arc::clone(&changes.borrow_and_update());
        Self { changes, current }
    }

    /// A value for good.
    pub fn fixed(value: T) -> Self {
        Self::new(watch::channel(Arc::new(value)).1)
    }

    /// The value now. Costs a load and a comparison while it stays the same.
    pub fn get(&mut self) -> &T {
        if self.changes.has_changed().unwrap_or(false) {
            self.current = Arc::clone(&self.changes.borrow_and_update());
        }
        &self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_change_and_keeps_the_last() {
        let (sender, receiver) = watch::channel(Arc::new(1));
        let mut live = Live::new(receiver);
        assert_eq!(*live.get(), 1);
        sender.send_replace(Arc::new(2));
        assert_eq!(*live.get(), 2);
        drop(sender);
        assert_eq!(*live.get(), 2);
        assert_eq!(*Live::fixed(3).get(), 3);
    }
}
