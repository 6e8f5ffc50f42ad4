//! The seam between the engine and a log: Kafka, or the simulated twin that injects faults.

use std::time::Duration;

use crate::out::{Outgoing, TopicIndex};
use crate::record::Record;

/// What a poll brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The callback saw this many records (at least one).
    Records(usize),
    /// Nothing came within the wait.
    Nothing,
    /// These partitions are ours from now on, paused until [`Log::resume`].
    Assigned(Vec<Assigned>),
    /// These partitions are to be given up with [`Log::release`]. `lost`: somebody else may own them already,
    /// so nothing of them can be committed any more.
    Revoked {
        /// The partitions.
        partitions: Vec<i32>,
        /// Taken away, not asked for.
        lost: bool,
    },
}

/// A partition with the place from which it will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The partition of the input topic.
    pub partition: i32,
    /// The committed offset, or the first one of the log.
    pub offset: i64,
    /// What the commit carried.
    pub metadata: String,
}

/// An input offset to be committed with the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset {
    /// The partition of the input topic.
    pub partition: i32,
    /// The next offset to read.
    pub next: i64,
    /// Carried along.
    pub metadata: String,
}

/// Why a call of the log failed, by what has to be done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Abort the transaction and go back to the committed offsets; a normal path (rebalance, time-out).
    #[error("transaction has to be aborted: {0}")]
    Abort(String),
    /// Nobody knows whether the commit was applied: ask with [`Log::reconnect`].
    #[error("outcome of the commit is unknown: {0}")]
    Unknown(String),
    /// Somebody else runs with our identity: leave the process.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The broker is not there or refuses us; the caller may try again later.
    #[error("log unavailable: {0}")]
    Unavailable(String),
}

impl LogError {
    /// A static name for metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Abort(_) => "abort",
            Self::Unknown(_) => "unknown_outcome",
            Self::Fenced(_) => "fenced",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

/// Where a restoring read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The first record that is still there.
    Beginning,
    /// The first record written at or after this time, in milliseconds since 1970; perhaps with some before it.
    Timestamp(i64),
    /// This offset.
    Offset(i64),
}

/// Where a restoring read ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Before this offset.
    Offset(i64),
    /// Everything committed, once no transaction is open that began before this call.
    Stable,
}

/// Reads ranges of the worker's topics, committed records only.
pub trait Reader {
    /// Shows each record of the range to `each`, in order.
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError>;

    /// The time, in milliseconds since 1970.
    fn now_ms(&self) -> i64;
}

/// One worker's connection: it reads the input topic as a member of the group and writes in transactions.
pub trait Log: Reader {
    /// Waits up to `wait` for something, and shows up to `max` records to `each`. With a `max` of 0 no record ends the
    /// wait: they stay where they are.
    fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<Polled, LogError>;

    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Appends within the open transaction.
    fn append(&mut self, record: &Outgoing<'_>) -> Result<(), LogError>;

    /// Commits what was appended together with the input offsets.
    fn commit(&mut self, offsets: &[Offset]) -> Result<(), LogError>;

    /// Gives the open transaction up.
    fn abort(&mut self) -> Result<(), LogError>;

    /// After an unknown outcome: a new producer that fences the old one. Says what is committed now.
    fn reconnect(&mut self, partitions: &[i32]) -> Result<Vec<Assigned>, LogError>;

    /// Reads each partition from here on.
    fn seek(&mut self, positions: &[(i32, i64)]) -> Result<(), LogError>;

    /// Stops the delivery of these partitions; they stay ours.
    fn pause(&mut self, partitions: &[i32]) -> Result<(), LogError>;

    /// Delivers them again.
    fn resume(&mut self, partitions: &[i32]) -> Result<(), LogError>;

    /// Answers [`Polled::Revoked`].
    fn release(&mut self, partitions: &[i32]) -> Result<(), LogError>;
}
