//! The simulated twin of the Kafka log: in memory, seeded, in virtual time. No threads, no clock, no I/O.
//!
//! A [`SimCluster`] holds topics, groups and producers as a broker does; a [`SimLog`] is one worker's connection to
//! it. Many logs of many groups may share one cluster. The same seed and the same calls give the same history.
//!
//! As in Kafka: control records take offsets; `read_committed` ends at the last stable offset; the markers of one
//! transaction become visible partition by partition; offsets are committed with the transaction and only by a
//! member of the current generation; a new producer with the same transactional id fences the old one and aborts
//! what it left open; a group hands partitions over cooperatively, and a member that died keeps its partitions
//! until its session expires or it comes back.
//!
//! Time moves by [`SimCluster::advance`] and inside calls that wait for the broker. [`Faults`] says what goes wrong.

mod cluster;
mod group;
mod journal;
mod log;
mod member;
mod partition;
mod rng;
mod state;
mod transaction;

pub use cluster::SimCluster;
pub use journal::Decided;
pub use log::{Identity, SimLog};
pub use partition::SimRecord;
pub use rng::Rng;

use crate::log::LogError;

const CRASH: &str = "simulated crash of the process";

/// Whether the error means that the process is dead: drop the worker, later open a log with the same identity.
pub fn is_crash(error: &LogError) -> bool {
    matches!(error, LogError::Unavailable(reason) if reason == CRASH)
}

fn crash() -> LogError {
    LogError::Unavailable(CRASH.to_owned())
}

/// What goes wrong: the probability of each fault where it can occur, from 0 (never) to 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// The process dies, at any call.
    pub crash: f64,
    /// The broker refuses any call; the worker may give up.
    pub unavailable: f64,
    /// The group hands its partitions out anew, at any call of a member.
    pub rebalance: f64,
    /// The session of a living member expires, at any call of any member of its group.
    pub expire: f64,
    /// A rebalance that is due is noticed only by a later poll.
    pub late_rebalance: f64,
    /// An append fails: abort.
    pub append_abort: f64,
    /// A commit is refused: abort.
    pub commit_abort: f64,
    /// The answer of a commit is lost; it was applied, was not, or will be a little later.
    pub commit_unknown: f64,
    /// Nobody knows whether an abort was made.
    pub abort_unknown: f64,
    /// Somebody else took our transactional id, at an append or a commit.
    pub fenced: f64,
    /// A poll delivers records again that are below the position.
    pub redelivery: f64,
    /// A poll brings fewer records than there are.
    pub short_poll: f64,
    /// A marker becomes visible later than the commit was answered; drawn for each partition.
    pub late_marker: f64,
    /// How much later at most, in milliseconds.
    pub late_marker_max_ms: i64,
    /// A call of the coordinator takes long.
    pub slow: f64,
    /// How long at most, in milliseconds.
    pub slow_max_ms: i64,
}

#[cfg(test)]
mod tests;
