//! The seam to the log that holds the dead letters. The tests have a twin of it.

use std::ops::Range;

use kpay_kafka::KafkaError;
use kpay_kafka::transaction::TransactionError;
use kpay_streams::embedded::StoreError;
use kpay_streams::log::LogError;
use kpay_streams::record::Record;

use crate::names::TopicName;

/// Why the log of the dead letters could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LettersError {
    /// The partitions of a topic are not known yet.
    #[error("the partitions of {0:?} are not known")]
    TopicUnknown(TopicName),
    /// librdkafka or the broker refused a call.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The records did not come in time.
    #[error("the records of ops.dlq did not come in time")]
    TimedOut,
    /// The transaction did not succeed, or nobody knows: a repeated request finds out.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The embedded log could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The embedded log could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A part of one partition of ops.dlq: offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) partition: i32,
    pub(crate) offsets: Range<i64>,
}

/// A record for one partition of a topic.
pub(crate) struct Addressed {
    pub(crate) topic: TopicName,
    pub(crate) partition: i32,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// ops.dlq, and the topics that its letters came from. Every call blocks.
pub(crate) trait LetterLog: Send + Sync {
    /// Number of partitions.
    fn partitions(&self, topic: TopicName) -> Result<i32, LettersError>;

    /// The first offset of each partition of ops.dlq, and the one after its last committed record.
    fn ends(&self) -> Result<Vec<Range<i64>>, LettersError>;

    /// Shows the committed records of these parts, each part in order; at most one part of a partition.
    fn read(&self, parts: &[Part], each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LettersError>;

    /// Becomes the only one who replays. What an earlier one has begun is done or undone by then, and its marks are
    /// within [`LetterLog::ends`]; from now on it can do nothing more.
    fn replayer(&self) -> Result<Box<dyn Replayer>, LettersError>;
}

/// The only one who replays, until there is another.
pub(crate) trait Replayer {
    /// Appends all of them or none; none once there is another replayer.
    fn append(&mut self, records: Vec<Addressed>) -> Result<(), LettersError>;
}
