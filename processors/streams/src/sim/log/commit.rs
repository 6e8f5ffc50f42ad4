//! How a worker's transaction ends: its offsets, then the end itself, whose answer may be lost.

use super::SimLog;
use crate::log::{LogError, Offset};
use crate::sim::group::Standing;
use crate::sim::state::Event;

impl SimLog {
    /// `TxnOffsetCommit`: the group takes offsets only from a member of its generation.
    pub(super) fn send_offsets(&mut self, offsets: &[Offset]) -> Result<(), LogError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut state = self.cluster.lock();
        state.slow();
        state.check_epoch(self.producer, self.epoch)?;
        let known = state.groups.get(&self.identity.group).map(|g| g.generation);
        if self.standing(&state) != Standing::Current || known != Some(self.generation) {
            return Err(LogError::Abort("illegal generation".into()));
        }
        state.enlist(self.producer)?;
        if let Some(producer) = state.producers.get_mut(self.producer) {
            let group = &self.identity.group;
            producer.offsets.extend(offsets.iter().map(|o| (group.clone(), o.clone())));
        }
        Ok(())
    }

    /// `EndTxn`.
    pub(super) fn end(&mut self) -> Result<(), LogError> {
        let (producer, epoch) = (self.producer, self.epoch);
        let mut state = self.write()?;
        if state.chance(|f| f.commit_abort) {
            return Err(LogError::Abort("the commit was refused".into()));
        }
        let lost = state.chance(|f| f.commit_unknown);
        match if lost { state.rng.below(3) } else { 0 } {
            0 => state.end_transaction(producer, true),
            1 => {}
            _ => {
                let most = state.faults.slow_max_ms;
                let delay = 1 + state.rng.up_to_ms(most);
                state.schedule(delay, Event::Commit { producer, epoch });
            }
        }
        if lost {
            return Err(LogError::Unknown("no answer to the commit".into()));
        }
        state.slow();
        Ok(())
    }
}
