//! What is done with a record. The seam between the engine and the business.

use crate::log::{LogError, Reader};
use crate::out::Out;
use crate::record::Record;

/// The business of one worker: one input topic, state for each partition that it owns.
///
/// `process` changes only an overlay; `commit` folds it into the state, `abort` throws it away. A record that cannot
/// be read is appended to the dead letters by the stage itself: `process` cannot fail.
pub trait Stage: Send {
    /// A partition is ours from now on; `metadata` is what its last commit carried. Rebuilds the state of the partition as it was at the committed offset.
    fn restore(
        &mut self,
        partition: i32,
        committed: i64,
        metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError>;

    /// A partition is no longer ours: drop its state.
    fn revoke(&mut self, partition: i32);

    /// Handles one record at the time `now_ms`.
    fn process(&mut self, record: &Record<'_>, now_ms: i64, out: &mut Out);

    /// Whether a record that the stage sends to its own input, to a partition that the worker owns, may be handled in
    /// the transaction that made it, without ever being written: one transaction less for it. Such a record comes before
    /// those that wait in its partition, and its offset is [`NOT_WRITTEN`](crate::record::NOT_WRITTEN).
    fn handles_own(&self) -> bool {
        false
    }

    /// The last word before a commit (checkpoints go here).
    fn before_commit(&mut self, _now_ms: i64, _out: &mut Out) {}

    /// What the commit of this partition's offset carries along, with everything processed so far.
    fn metadata(&self, _partition: i32) -> String {
        String::new()
    }

    /// The transaction is committed: fold the overlay.
    fn commit(&mut self);

    /// The transaction is aborted: throw the overlay away.
    fn abort(&mut self);
}
