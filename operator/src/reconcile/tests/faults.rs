//! What goes wrong at one write of a run: each write to the API server and to the broker passes here and is counted.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The operator dies before the write is carried out.
    CrashBefore,
    /// It dies after, without having seen the answer.
    CrashAfter,
    /// The write is refused with this code.
    Refused(u16),
    /// It is carried out, and the answer is a 500.
    AnswerLost,
    /// The next reconciles are given the resource as it was before this write.
    Stale,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::Refused(409),
        Self::Refused(410),
        Self::Refused(500),
        Self::AnswerLost,
        Self::Stale,
    ];
}

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out and answered.
    Done,
    /// It is carried out, and the answer is this code.
    DoneBut(u16),
    /// It is not carried out, and the answer is this code.
    Refused(u16),
    /// It is carried out or not, and nobody is there any more.
    Crash { done: bool },
}

/// Between the operator and all that it writes to. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Interposer {
    state: Arc<Mutex<State>>,
    dead: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    writes: usize,
    planned: Option<(usize, Fault)>,
    stale_due: bool,
}

impl Interposer {
    /// With a fault at the write that comes after so many more.
    pub(super) fn plan(&self, after: usize, fault: Fault) {
        let mut state = self.state.lock();
        state.planned = Some((state.writes + after, fault));
    }

    /// Writes so far, those that went wrong included.
    pub(super) fn writes(&self) -> usize {
        self.state.lock().writes
    }

    /// Whether the operator is dead: nothing of it reaches anybody any more.
    pub(super) fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Another operator is started.
    pub(super) fn revive(&self) {
        self.dead.send_replace(false);
    }

    /// Resolves when the operator dies.
    pub(super) async fn death(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await; // the sender is ours
    }

    /// Whether reconciles are to be given a stale resource from now on.
    pub(super) fn take_stale(&self) -> bool {
        std::mem::take(&mut self.state.lock().stale_due)
    }

    /// Counts a write and says what becomes of it.
    pub(super) fn write(&self) -> Fate {
        let mut state = self.state.lock();
        let number = state.writes;
        state.writes += 1;
        match state.planned {
            Some((at, fault)) if at == number => {
                state.planned = None;
                match fault {
                    Fault::CrashBefore => self.crash(false),
                    Fault::CrashAfter => self.crash(true),
                    Fault::Refused(code) => Fate::Refused(code),
                    Fault::AnswerLost => Fate::DoneBut(500),
                    Fault::Stale => {
                        state.stale_due = true;
                        Fate::Done
                    }
                }
            }
            _ => Fate::Done,
        }
    }

    fn crash(&self, done: bool) -> Fate {
        self.dead.send_replace(true);
        Fate::Crash { done }
    }
}
