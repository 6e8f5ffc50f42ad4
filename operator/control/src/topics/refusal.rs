//! Which partition counts are refused, and why. Pure.

use crate::names::TopicName;

/// Why a topic is not made what the spec says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    /// Accounts lie by partition.
    #[error(
        "spec.topics.{field}.partitions: {topic} has {actual} partitions and {desired} are asked for; accounts lie by partition, so that needs a PipelineOperation of type WipeAndUpdate (docs/wipe.md); until then all goes on with {actual}"
    )]
    NeedsWipe {
        /// Field of the spec.
        field: &'static str,
        /// Full name.
        topic: String,
        /// What there is.
        actual: i32,
        /// What is asked for.
        desired: i32,
    },
    /// Ids and outcomes are found by partition.
    #[error(
        "spec.topics.{field}.partitions: {topic} has {actual} partitions and {desired} are asked for; ids and outcomes are found by their partition, so that it cannot change; set it to {actual}"
    )]
    Fixed {
        /// Field of the spec.
        field: &'static str,
        /// Full name.
        topic: String,
        /// What there is.
        actual: i32,
        /// What is asked for.
        desired: i32,
    },
    /// Kafka cannot take partitions away.
    #[error(
        "spec.topics.{field}.partitions: {topic} has {actual} partitions and {desired} are asked for; partitions cannot be taken away, set it to {actual}"
    )]
    FewerPartitions {
        /// Field of the spec.
        field: &'static str,
        /// Full name.
        topic: String,
        /// What there is.
        actual: i32,
        /// What is asked for.
        desired: i32,
    },
    /// What others have made is taken as it is.
    #[error(
        "spec.topics.{field}.partitions: {topic}, which this pipeline has not made, has {actual} partitions and {desired} are asked for; set it to {actual}"
    )]
    Existing {
        /// Field of the spec.
        field: &'static str,
        /// Full name.
        topic: String,
        /// What there is.
        actual: i32,
        /// What is asked for.
        desired: i32,
    },
}

/// Whether a topic of the pipeline's own may have other partitions than it has.
pub(super) fn partitions(name: TopicName, topic: &str, desired: i32, actual: i32) -> Option<TopicRefusal> {
    let (field, topic) = (name.field(), topic.to_owned());
    match name {
        _ if desired == actual => None,
        TopicName::Inflight => Some(TopicRefusal::NeedsWipe { field, topic, actual, desired }),
        // What it had more once, it keeps.
        TopicName::Ledger if actual > desired => None,
        // They have as many as payment.inflight, whose field says so.
        TopicName::Ledger | TopicName::Checkpoints => {
            Some(TopicRefusal::NeedsWipe { field: TopicName::Inflight.field(), topic, actual, desired })
        }
        TopicName::Incoming | TopicName::Complete | TopicName::Confirmed => {
            Some(TopicRefusal::Fixed { field, topic, actual, desired })
        }
        TopicName::Dlq if actual > desired => {
            Some(TopicRefusal::FewerPartitions { field, topic, actual, desired })
        }
        // Nothing is found by its partition: more are made.
        TopicName::Dlq => None,
    }
}

/// Whether a topic that others have made fits by its partitions.
pub(super) fn existing_partitions(
    name: TopicName,
    topic: &str,
    desired: i32,
    actual: i32,
) -> Option<TopicRefusal> {
    // Those that follow another's are told by its field.
    let field = match name {
        TopicName::Ledger | TopicName::Checkpoints => TopicName::Inflight.field(),
        TopicName::Incoming
        | TopicName::Inflight
        | TopicName::Complete
        | TopicName::Confirmed
        | TopicName::Dlq => name.field(),
    };
    partitions(name, topic, desired, actual).map(|_| TopicRefusal::Existing {
        field,
        topic: topic.to_owned(),
        actual,
        desired,
    })
}

/// The refusals that people are told: what follows from `payment.inflight` is not said for each topic.
pub fn told(refusals: &[TopicRefusal]) -> Vec<&TopicRefusal> {
    let mut wipe = false;
    let first = |refusal: &&TopicRefusal| match refusal {
        TopicRefusal::NeedsWipe { .. } => !std::mem::replace(&mut wipe, true),
        TopicRefusal::Fixed { .. } | TopicRefusal::FewerPartitions { .. } | TopicRefusal::Existing { .. } => {
            true
        }
    };
    refusals.iter().filter(first).collect()
}
