//! What to change so that the topics are as declared. Pure: compares, plans, refuses.

use std::collections::BTreeMap;

use crate::names::TopicName;
use crate::validate::{DesiredTopic, ValidatedPipeline};

/// One topic as the broker has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of the first partition.
    pub replication: i32,
    /// Settings on the topic itself.
    pub config: BTreeMap<String, String>,
}

/// One change of a topic; each is safe to repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// Make it.
    Create {
        /// Full name.
        topic: String,
        /// As declared.
        desired: DesiredTopic,
    },
    /// Set some settings and leave all others.
    Alter {
        /// Full name.
        topic: String,
        /// The settings that differ.
        set: BTreeMap<String, String>,
    },
}

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
    /// Growth of a topic without state is safe but not implemented.
    #[error(
        "spec.topics.{field}.partitions: {topic} has {actual} partitions and {desired} are asked for; add them with Kafka's own tool or set it to {actual}"
    )]
    GrowByHand {
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

/// What to do and what is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPlan {
    /// To carry out, in order.
    pub changes: Vec<TopicChange>,
    /// To tell the user.
    pub refusals: Vec<TopicRefusal>,
}

/// Compares what is declared with what the broker has. A setting on the topic that is not declared is left.
pub fn plan(pipeline: &ValidatedPipeline, actual: &BTreeMap<String, TopicState>) -> TopicPlan {
    let mut plan = TopicPlan::default();
    for (name, desired) in &pipeline.topics {
        let topic = pipeline.topic(*name);
        let Some(state) = actual.get(&topic) else {
            plan.changes.push(TopicChange::Create { topic, desired: desired.clone() });
            continue;
        };
        if let Some(refusal) = partitions(*name, &topic, desired.partitions, state.partitions) {
            plan.refusals.push(refusal);
        }
        let differs = |(key, value): &(&String, &String)| state.config.get(*key) != Some(*value);
        let set: BTreeMap<String, String> =
            desired.config.iter().filter(differs).map(|(k, v)| (k.clone(), v.clone())).collect();
        if !set.is_empty() {
            plan.changes.push(TopicChange::Alter { topic, set });
        }
    }
    plan
}

fn partitions(name: TopicName, topic: &str, desired: i32, actual: i32) -> Option<TopicRefusal> {
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
        TopicName::Dlq => Some(TopicRefusal::GrowByHand { field, topic, actual, desired }),
    }
}

/// The refusals that people are told: what follows from `payment.inflight` is not said for each topic.
pub fn told(refusals: &[TopicRefusal]) -> Vec<&TopicRefusal> {
    let mut wipe = false;
    let first = |refusal: &&TopicRefusal| match refusal {
        TopicRefusal::NeedsWipe { .. } => !std::mem::replace(&mut wipe, true),
        TopicRefusal::Fixed { .. }
        | TopicRefusal::FewerPartitions { .. }
        | TopicRefusal::GrowByHand { .. } => true,
    };
    refusals.iter().filter(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::{DefaultImage, validate};
    use kpay_crds::PullPolicy;

    fn pipeline() -> ValidatedPipeline {
        let resource = serde_json::from_value(serde_json::json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {"name": "payments", "namespace": "default"},
            "spec": {"kafka": {"bootstrapServers": "kafka:9092"}},
        }))
        .expect("a resource");
        let image = DefaultImage { repository: "k".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
        validate(&resource, &image).expect("valid")
    }

    fn as_declared(pipeline: &ValidatedPipeline) -> BTreeMap<String, TopicState> {
        let state = |d: &DesiredTopic| TopicState {
            partitions: d.partitions,
            replication: d.replication,
            config: d.config.clone(),
        };
        pipeline.topics.iter().map(|(name, desired)| (pipeline.topic(*name), state(desired))).collect()
    }

    #[test]
    fn missing_topics_are_created_and_nothing_else() {
        let plan = plan(&pipeline(), &BTreeMap::new());
        assert_eq!(plan.changes.len(), TopicName::ALL.len());
        assert!(plan.changes.iter().all(|change| matches!(change, TopicChange::Create { .. })));
    }

    #[test]
    fn topics_as_declared_need_nothing() {
        let pipeline = pipeline();
        assert_eq!(plan(&pipeline, &as_declared(&pipeline)), TopicPlan::default());
    }

    #[test]
    fn drifted_setting_is_set_back_alone() {
        let pipeline = pipeline();
        let mut actual = as_declared(&pipeline);
        let ledger = actual.get_mut("default.payments.account.ledger").expect("the ledger");
        ledger.config.insert("retention.ms".into(), "1000".into());
        ledger.config.insert("segment.bytes".into(), "1048576".into());
        let set = [("retention.ms".to_owned(), "-1".to_owned())].into();
        let topic = "default.payments.account.ledger".to_owned();
        assert_eq!(plan(&pipeline, &actual).changes, [TopicChange::Alter { topic, set }]);
    }

    #[test]
    fn other_partition_counts_are_refused() {
        let pipeline = pipeline();
        for (topic, actual_count, expected) in [
            ("payment.inflight", 9, "WipeAndUpdate"),
            ("payment.inflight", 7, "WipeAndUpdate"),
            ("account.checkpoints", 7, "spec.topics.inflight"),
            ("account.ledger", 7, "spec.topics.inflight"),
            ("payment.incoming", 9, "cannot change"),
            ("payment.complete", 7, "cannot change"),
            ("payment.confirmed", 7, "cannot change"),
            ("ops.dlq", 9, "cannot be taken away"),
            ("ops.dlq", 7, "Kafka's own tool"),
        ] {
            let mut actual = as_declared(&pipeline);
            actual.get_mut(&format!("default.payments.{topic}")).expect("a topic").partitions = actual_count;
            let plan = plan(&pipeline, &actual);
            assert!(plan.changes.is_empty());
            assert_eq!(plan.refusals.len(), 1);
            assert!(plan.refusals[0].to_string().contains(expected), "{}", plan.refusals[0]);
        }
    }

    #[test]
    fn the_ledger_keeps_what_it_had_and_one_field_is_told_once() {
        let pipeline = pipeline();
        let mut actual = as_declared(&pipeline);
        let mut have = |topic: &str, partitions| {
            actual.get_mut(&format!("default.payments.{topic}")).expect("a topic").partitions = partitions;
        };
        have("account.ledger", 16);
        assert_eq!(plan(&pipeline, &actual), TopicPlan::default());
        let mut have = |topic: &str, partitions| {
            actual.get_mut(&format!("default.payments.{topic}")).expect("a topic").partitions = partitions;
        };
        for topic in ["payment.inflight", "account.checkpoints", "account.ledger"] {
            have(topic, 4);
        }
        let plan = plan(&pipeline, &actual);
        assert_eq!(plan.refusals.len(), 3);
        let told = told(&plan.refusals);
        assert_eq!(told.len(), 1);
        assert!(told[0].to_string().contains("payment.inflight has 4"), "{}", told[0]);
    }
}
