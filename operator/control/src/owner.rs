//! Which of several pipelines the topics belong to, when more than one would have the same. Pure.
//!
//! Names coincide only under the same prefix: no name of a topic, group or transactional id is the end of another. And of two
//! Kafkas only the addresses are known: they are taken for one when they share an address.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use kpay_crds::PaymentPipeline;
use kube::ResourceExt;

use crate::topics::{claims, own};
use crate::validate::topic_prefix;

/// The pipeline that the topics of `of` belong to, if that is another. Who has made or adopted topics comes first, so that
/// nobody loses by a later change of somebody else; then the older one; then the uid decides.
pub fn owner<'a>(
    of: &PaymentPipeline,
    all: impl IntoIterator<Item = &'a PaymentPipeline>,
) -> Option<&'a PaymentPipeline> {
    let first = rivals(of, all).min_by_key(|rival| rank(rival))?;
    (rank(first) < rank(of)).then_some(first)
}

/// Another pipeline that has the same topics for its own, so that they do not go with this one.
pub fn shares<'a>(
    of: &PaymentPipeline,
    all: impl IntoIterator<Item = &'a PaymentPipeline>,
) -> Option<&'a PaymentPipeline> {
    rivals(of, all).find(|rival| has_own(rival))
}

/// Its place, for people.
pub fn place(pipeline: &PaymentPipeline) -> String {
    format!("{}/{}", pipeline.namespace().unwrap_or_default(), pipeline.name_any())
}

fn rivals<'a>(
    of: &PaymentPipeline,
    all: impl IntoIterator<Item = &'a PaymentPipeline>,
) -> impl Iterator<Item = &'a PaymentPipeline> {
    all.into_iter().filter(move |other| {
        other.metadata.uid != of.metadata.uid && same_prefix(of, other) && same_kafka(of, other)
    })
}

fn rank(pipeline: &PaymentPipeline) -> (bool, Option<Timestamp>, Option<&str>) {
    let created = pipeline.metadata.creation_timestamp.as_ref().map(|at| at.0);
    (!has_own(pipeline), created, pipeline.metadata.uid.as_deref())
}

fn has_own(pipeline: &PaymentPipeline) -> bool {
    pipeline.status.as_ref().is_some_and(|status| own(&claims(status)).next().is_some())
}

fn same_prefix(one: &PaymentPipeline, other: &PaymentPipeline) -> bool {
    if one.spec.kafka.topic_prefix.is_none() && other.spec.kafka.topic_prefix.is_none() {
        return one.metadata.name == other.metadata.name
            && one.metadata.namespace == other.metadata.namespace;
    }
    let prefix = |of: &PaymentPipeline| {
        let namespace = of.metadata.namespace.as_deref().unwrap_or_default();
        topic_prefix(namespace, of.metadata.name.as_deref().unwrap_or_default(), &of.spec)
    };
    prefix(one) == prefix(other)
}

fn same_kafka(one: &PaymentPipeline, other: &PaymentPipeline) -> bool {
    let addresses = |of: &PaymentPipeline| -> BTreeSet<String> {
        of.spec.kafka.bootstrap_servers.split(',').map(|one| one.trim().to_ascii_lowercase()).collect()
    };
    !addresses(one).is_disjoint(&addresses(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{Component, REBUILT_TOPIC, TopicName};
    use serde_json::{Value, json};

    /// A pipeline of namespace `uid`, made at a second.
    fn pipeline(uid: &str, second: i64, kafka: &Value, own: bool) -> PaymentPipeline {
        let created = Timestamp::from_second(second).expect("a time").to_string();
        let origin = if own { "Created" } else { "Unmanaged" };
        serde_json::from_value(json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {"name": "payments", "namespace": uid, "uid": uid, "creationTimestamp": created},
            "spec": {"kafka": kafka},
            "status": {"topics": {"ops.dlq": {"origin": origin, "state": "AsDeclared"}}},
        }))
        .expect("a resource")
    }

    fn owner_of(of: &PaymentPipeline, all: &[PaymentPipeline]) -> Option<String> {
        owner(of, all).map(place)
    }

    #[test]
    fn the_older_of_two_owns_and_the_other_is_told_which() {
        let shared = json!({"bootstrapServers": "a:1,b:1", "topicPrefix": "p."});
        let old = pipeline("old", 1, &shared, false);
        let twin = pipeline("older-by-uid", 1, &shared, false);
        let new = pipeline("new", 2, &shared, false);
        let all = [new.clone(), twin.clone(), old.clone()];
        assert_eq!(owner_of(&old, &all), None);
        assert_eq!(owner_of(&twin, &all).as_deref(), Some("old/payments"));
        assert_eq!(owner_of(&new, &all).as_deref(), Some("old/payments"));
        assert_eq!(owner_of(&new, std::slice::from_ref(&new)), None, "alone");
    }

    #[test]
    fn who_has_topics_keeps_them_whoever_is_older() {
        let at = |servers: &str| json!({"bootstrapServers": servers, "topicPrefix": "p."});
        let moved = pipeline("moved", 1, &at("b:1"), false);
        let running = pipeline("running", 2, &at("b:1"), true);
        let all = [moved.clone(), running.clone()];
        assert_eq!(owner_of(&moved, &all).as_deref(), Some("running/payments"));
        assert_eq!(owner_of(&running, &all), None);
        assert_eq!(shares(&moved, &all).map(place).as_deref(), Some("running/payments"));
        assert_eq!(shares(&running, &all), None, "what the other has not made goes with this one");
    }

    #[test]
    fn topics_are_the_same_only_by_the_same_prefix_on_the_same_kafka() {
        let of = |servers: &str, prefix: Option<&str>| {
            let mut kafka = json!({"bootstrapServers": servers});
            if let Some(prefix) = prefix {
                kafka["topicPrefix"] = json!(prefix);
            }
            kafka
        };
        for (one, other, same) in [
            (of("a:1", Some("p.")), of("A:1,b:1", Some("p.")), true),
            (of("a:1", Some("p.")), of("b:1", Some("p.")), false),
            (of("a:1", Some("p.")), of("a:2", Some("p.")), false),
            (of("a:1", Some("p.")), of("a:1", Some("p.q.")), false),
            (of("a:1", None), of("a:1", None), false),
            // The default of the other, written out.
            (of("a:1", None), of("a:1", Some("first.payments.")), true),
        ] {
            let all = [pipeline("first", 1, &one, false), pipeline("second", 2, &other, false)];
            assert_eq!(owner_of(&all[1], &all).is_some(), same, "{one} {other}");
            assert_eq!(owner_of(&all[0], &all), None);
        }
    }

    #[test]
    fn no_name_is_the_end_of_another_so_that_two_prefixes_never_make_the_same() {
        let topics: Vec<&str> =
            TopicName::ALL.map(TopicName::as_str).into_iter().chain([REBUILT_TOPIC]).collect();
        let groups = Component::STAGES.map(Component::as_str).to_vec();
        for names in [topics, groups] {
            for one in &names {
                let ends: Vec<_> = names.iter().filter(|other| other.ends_with(one)).collect();
                assert_eq!(ends, [one]);
            }
        }
    }
}
