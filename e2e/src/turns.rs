//! How many tests of a program run at the same time: most of what they do is to wait, and some need the machine alone.

use std::io::Write as _;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Who runs, and who waits.
#[derive(Debug)]
pub struct Turns {
    at_once: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    taken: usize,
    /// Of those that share.
    waiting: usize,
    /// Of these, those that go before the others.
    long_waiting: usize,
}

/// Held by a test while it runs; tells at its end how long that took, which no output of a captured test does.
#[derive(Debug)]
pub struct Turn {
    of: &'static Turns,
    taken: usize,
    since: Instant,
}

impl Turns {
    /// So many at once.
    pub const fn new(at_once: usize) -> Self {
        Self {
            at_once,
            state: Mutex::new(State { taken: 0, waiting: 0, long_waiting: 0 }),
            changed: Condvar::new(),
        }
    }

    /// Waits until there is room, and no long one waits for it.
    pub fn shared(&'static self) -> Turn {
        self.take(0)
    }

    /// Waits until there is room, before all others: for one of the longest, which would run on by itself at the end.
    pub fn long(&'static self) -> Turn {
        self.take(1)
    }

    fn take(&'static self, long: usize) -> Turn {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        state.long_waiting += long;
        let wait = |state: &mut State| state.taken >= self.at_once || (long == 0 && state.long_waiting > 0);
        state = self.changed.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.long_waiting -= long;
        state.taken += 1;
        drop(state);
        // Those that let it go first.
        self.changed.notify_all();
        Turn { of: self, taken: 1, since: Instant::now() }
    }

    /// Waits for all tests that may share the machine: for one that measures, or that does something to all others.
    pub fn alone(&'static self) -> Turn {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |state: &mut State| state.taken > 0 || state.waiting > 0;
        let mut state = self.changed.wait_while(state, busy).unwrap_or_else(PoisonError::into_inner);
        state.taken = self.at_once;
        Turn { of: self, taken: self.at_once, since: Instant::now() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.state.lock().unwrap_or_else(PoisonError::into_inner).taken -= self.taken;
        self.of.changed.notify_all();
        let thread = std::thread::current();
        let took = self.since.elapsed().as_secs();
        let _ = writeln!(std::io::stderr(), "{took:>4} s  {}", thread.name().unwrap_or_default()); // a figure to read
    }
}
