//! What can go wrong in the store.

use std::path::PathBuf;

use crate::log::LogError;

/// Why a call of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed; nothing was half-written, but a write may or may not be there after a reopening.
    #[error("{call}: {source}")]
    Database {
        /// What was being done.
        call: &'static str,
        /// The database's own error.
        source: fjall::Error,
    },
    /// Another process works on the directory.
    #[error(
        "{} is in use by another process: end that one, or choose another data directory", 
        directory.display()
    )]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// The journal holds a batch that does not match its checksum: a disk that lost power in the middle of a write may
    /// leave that, and so may one that is failing.
    #[error(
        "the journal in {} has a batch that was written only in part: keep a copy of the directory, \
         and restore an older one or begin anew in another: {source}",
        directory.display()
    )]
    Torn {
        /// The data directory.
        directory: PathBuf,
        /// The database's own error.
        source: fjall::Error,
    },
    /// The directory was written by another version.
    #[error(
        "{} has format {found}, and this version reads {known}: use the version that wrote it, \
         or choose another data directory",
        directory.display()
    )]
    Format {
        /// The data directory.
        directory: PathBuf,
        /// What is stored there.
        found: u32,
        /// What this version reads.
        known: u32,
    },
    /// A topic has a fixed number of partitions: its keys would lie elsewhere otherwise.
    #[error(
        "topic {topic} has {stored} partitions in {}, but {asked} were asked for: ask for {stored}, \
         or begin anew in another data directory",
        directory.display()
    )]
    Partitions {
        /// Name of the topic.
        topic: String,
        /// The data directory.
        directory: PathBuf,
        /// How many it has.
        stored: i32,
        /// How many were asked for.
        asked: i32,
    },
    /// No topic has this name.
    #[error("there is no topic {topic}")]
    NoTopic {
        /// The name.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}")]
    NoPartition {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// What lies in the store is not what was written.
    #[error("topic {topic}, partition {partition}: what lies at offset {offset} cannot be read")]
    Corrupt {
        /// Name of the topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where.
        offset: i64,
    },
    /// A number of the store has no more room.
    #[error("{what} is more than the store can number")]
    TooMany {
        /// Of what there is too much.
        what: &'static str,
    },
    /// More records wait to be made durable than may wait.
    #[error("{waiting_bytes} bytes wait to be written: try again later")]
    Busy {
        /// How many bytes wait.
        waiting_bytes: usize,
    },
    /// An earlier write failed, so that nobody knows what the journal ends with: reopening finds out.
    #[error("an earlier write failed; the store takes no more until it is opened again")]
    Failed,
    /// Another log of this group was opened later.
    #[error("group {group} has a newer reader")]
    Fenced {
        /// Name of the group.
        group: String,
    },
    /// A thread could not be started.
    #[error("start the thread that syncs: {0}")]
    Thread(#[source] std::io::Error),
}

impl StoreError {
    /// A static name for metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Database { .. } => "database",
            Self::Locked { .. } => "locked",
            Self::Torn { .. } => "torn",
            Self::Format { .. } => "format",
            Self::Partitions { .. } => "partitions",
            Self::NoTopic { .. } => "no_topic",
            Self::NoPartition { .. } => "no_partition",
            Self::Corrupt { .. } => "corrupt",
            Self::TooMany { .. } => "too_many",
            Self::Busy { .. } => "busy",
            Self::Failed => "failed",
            Self::Fenced { .. } => "fenced",
            Self::Thread(_) => "thread",
        }
    }
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Fenced { .. } => Self::Fenced(detail),
            _ => Self::Unavailable(detail),
        }
    }
}

/// Says what was being done when the database failed.
pub(super) fn database(call: &'static str) -> impl FnOnce(fjall::Error) -> StoreError {
    move |source| StoreError::Database { call, source }
}
