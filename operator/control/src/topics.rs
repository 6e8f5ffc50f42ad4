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
    /// The state of a stage lies by partition.
    #[error(
        "spec.topics.{field}.partitions: {topic} has {actual} partitions and {desired} are asked for; state lies by partition, so that needs a wipe; until then set it to {actual}"
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
    match desired.cmp(&actual) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Less => Some(TopicRefusal::FewerPartitions { field, topic, actual, desired }),
        std::cmp::Ordering::Greater if name.keyed_state() => {
            Some(TopicRefusal::NeedsWipe { field, topic, actual, desired })
        }
        std::cmp::Ordering::Greater => Some(TopicRefusal::GrowByHand { field, topic, actual, desired }),
    }
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
            ("payment.inflight", 9, "cannot be taken away"),
            ("payment.inflight", 7, "needs a wipe"),
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
}
