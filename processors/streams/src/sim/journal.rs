//! What was decided, transaction by transaction: what a checker follows instead of reading the topics anew. Pure.

use std::sync::Arc;

use super::partition::SimRecord;
use crate::log::Offset;

/// A transaction that will be committed whatever happens: its markers may still be on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// When, in virtual milliseconds.
    pub at_ms: i64,
    /// Its records with the number of their topic, in the order in which they were appended.
    pub records: Vec<(usize, Arc<SimRecord>)>,
    /// Its input offsets with their group.
    pub offsets: Vec<(String, Offset)>,
}
