//! What can go wrong when talking to Kafka.

use rdkafka::types::RDKafkaErrorCode;

/// A failure of a Kafka call that is not part of a transaction.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The binding or the broker refused a call.
    #[error("{call}: {source}")]
    Call {
        /// The call that failed.
        call: &'static str,
        /// What librdkafka said.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The broker refused an operation on one topic.
    #[error("{call} of topic {topic}: {code}: {detail}")]
    Topic {
        /// The call that failed.
        call: &'static str,
        /// The topic that it was about.
        topic: String,
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// The broker's words, where it gave any.
        detail: String,
    },
    /// Nothing answered within the time that the caller gave.
    #[error("{call}: no answer within {timeout_ms} ms")]
    TimedOut {
        /// The call that was waited for.
        call: &'static str,
        /// How long it waited, in milliseconds.
        timeout_ms: u128,
    },
    /// The broker refused a call, or nobody could be asked.
    #[error("{call}: {detail}")]
    Refused {
        /// The call that failed.
        call: &'static str,
        /// What the broker said.
        detail: String,
    },
    /// A name holds a NUL byte and cannot be given to librdkafka.
    #[error("{0:?} holds a NUL byte")]
    Nul(String),
}

impl KafkaError {
    /// A static name for metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Call { .. } => "kafka_call",
            Self::Topic { .. } => "kafka_topic",
            Self::TimedOut { .. } => "kafka_timeout",
            Self::Refused { .. } => "kafka_refused",
            Self::Nul(_) => "kafka_name",
        }
    }

    /// Wraps an error of the binding with the call that made it.
    pub fn call(call: &'static str) -> impl FnOnce(rdkafka::error::KafkaError) -> Self {
        move |source| Self::Call { call, source }
    }
}
