//! What is accepted, and what each refusal says.

use serde_json::{Value, json};

use super::*;

fn image() -> DefaultImage {
    DefaultImage { repository: "kpay".into(), tag: "1".into(), pull_policy: PullPolicy::IfNotPresent }
}

fn pipeline(extra: Value) -> PaymentPipeline {
    let mut spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
    if let (Some(target), Value::Object(extra)) = (spec.as_object_mut(), extra) {
        target.extend(extra);
    }
    serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"}, "spec": spec,
    }))
    .expect("a resource")
}

#[test]
fn minimal_resource_is_served_with_the_defaults() {
    let valid = validate(&pipeline(json!({})), &image()).expect("valid");
    assert_eq!(valid.topic_prefix, "default.payments.");
    assert_eq!(valid.release.image, "kpay:1");
    assert_eq!(valid.topics[&TopicName::Ledger].config["retention.ms"], "-1");
    assert_eq!(valid.topics[&TopicName::Checkpoints].config["cleanup.policy"], "compact");
    assert_eq!(valid.topics[&TopicName::Incoming].config["message.timestamp.type"], "LogAppendTime");
    assert_eq!(valid.drain_timeout_ms, 300_000);
    assert_eq!(valid.idempotency_window_seconds, 86_400);
}

#[test]
fn dead_letters_may_be_larger_than_what_they_tell_of() {
    let valid = validate(&pipeline(json!({})), &image()).expect("valid");
    assert_eq!(valid.topics[&TopicName::Dlq].config["max.message.bytes"], "2097152");
    let own = json!({"topics": {"dlq": {"config": {"max.message.bytes": "4194304"}}}});
    let valid = validate(&pipeline(own), &image()).expect("valid");
    assert_eq!(valid.topics[&TopicName::Dlq].config["max.message.bytes"], "4194304");
}

#[test]
fn window_is_rounded_up_to_whole_seconds() {
    for (window, seconds) in [("500ms", 1), ("1500ms", 2), ("24h", 86_400)] {
        let valid = validate(&pipeline(json!({"accounts": {"idempotencyWindow": window}})), &image());
        assert_eq!(valid.expect("valid").idempotency_window_seconds, seconds, "{window}");
    }
}

#[test]
fn ledger_and_checkpoints_have_the_partitions_of_inflight() {
    let valid =
        validate(&pipeline(json!({"topics": {"inflight": {"partitions": 3}}})), &image()).expect("valid");
    for topic in [TopicName::Inflight, TopicName::Ledger, TopicName::Checkpoints] {
        assert_eq!(valid.topics[&topic].partitions, 3);
    }
}

#[test]
fn digest_is_written_with_an_at_sign() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let valid = validate(&pipeline(json!({"image": {"tag": digest}})), &image()).expect("valid");
    assert_eq!(valid.release.image, format!("kpay@{digest}"));
}

#[test]
fn a_generator_is_a_workload_only_where_it_is_asked_for() {
    let without = validate(&pipeline(json!({})), &image()).expect("valid");
    assert_eq!(without.workloads.keys().copied().collect::<Vec<_>>(), Component::REQUIRED);
    let generator = json!({"replicas": 3, "resources": {"limits": {"memory": "1Gi"}}});
    let with = validate(&pipeline(json!({"processors": {"generator": generator}})), &image()).expect("valid");
    assert_eq!(with.replicas(Component::Generator), 3);
    assert_eq!(with.generator.as_ref().expect("a generator").resources.limits["memory"].0, "1Gi");
}

#[test]
fn each_refusal_names_the_field_and_what_would_be_right() {
    for (extra, field, right) in [
        (json!({"drain": {"timeout": "soon"}}), "spec.drain.timeout", "such as 5m"),
        (json!({"topics": {"ledger": {"retention": "x"}}}), "spec.topics.ledger.retention", "unlimited"),
        (
            json!({"topics": {"incoming": {"startFrom": "0:1"}}}),
            "spec.topics.incoming.startFrom",
            "partition 1",
        ),
        (json!({"topics": {"incoming": {"retention": "1h"}}}), "spec.topics.incoming.retention", "at least"),
        (
            json!({"topics": {"dlq": {"config": {"retention.ms": "1"}}}}),
            "spec.topics.dlq.config",
            "remove it",
        ),
        (
            json!({"topics": {"confirmed": {"partitions": 2}}}),
            "spec.topics.confirmed.partitions",
            "must equal",
        ),
        (
            json!({"processors": {"generator": {"amounts": "5..1"}}}),
            "spec.processors.generator.amounts",
            "1..500",
        ),
    ] {
        let refused = validate(&pipeline(extra), &image()).expect_err(field);
        assert_eq!(refused.len(), 1, "{refused:?}");
        let text = refused[0].to_string();
        assert!(text.starts_with(field) && text.contains(right), "{text}");
    }
}

#[test]
fn a_restart_with_restricted_function_limits_the_intake_while_it_is_under_way() {
    let of = |restart: &str, state: &str| {
        let resource = pipeline(json!({"limits": {"intakePerSecond": 500}, "autoscaling": {}}));
        let release = |restart: Value| {
            json!({"image": "k", "pullPolicy": "Never", "bootstrapServers": "k:9092", "currency": "USD",
                "idempotencyWindowSeconds": 1, "restart": restart})
        };
        let status = json!({"release": release(Value::Null), "upgrade": {"state": state, "to": release(json!(restart))}});
        let valid = validate(&resource, &image()).expect("valid");
        let valid = valid.rolled(&serde_json::from_value(status).expect("a status"));
        let scaling = valid.autoscaling.and_then(|settings| settings.intake_per_second).expect("a limit");
        (valid.terms.intake_per_second, format!("{scaling}"))
    };
    let as_ever = (Some(500), "500".to_owned());
    for state in ["Rolling", "RollingBack"] {
        let limited = (Some(20), "20".to_owned());
        assert_eq!(of("u/LimitedIntake=20", state), limited, "{state}");
        assert_eq!(of("u", state), as_ever, "{state}");
    }
    for state in ["Succeeded", "RolledBack"] {
        assert_eq!(of("u/QueriesOnly", state), as_ever, "{state}");
        assert_eq!(of("u/LimitedIntake=20", state), as_ever, "{state}");
    }
}
