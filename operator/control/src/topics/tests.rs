//! Which topics are made, changed, taken over and left alone, and what is said of them.

use kpay_crds::{PaymentPipelineStatus, PullPolicy};
use serde_json::{Value, json};

use super::*;
use crate::names::REBUILT_TOPIC;
use crate::validate::{DefaultImage, validate};

const PREFIX: &str = "default.payments.";

fn pipeline_with(topics: &Value) -> ValidatedPipeline {
    let resource = serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "topics": topics},
    }))
    .expect("a resource");
    let image = DefaultImage { repository: "k".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
    validate(&resource, &image).expect("valid")
}

fn pipeline() -> ValidatedPipeline {
    pipeline_with(&json!({}))
}

fn existing(word: &str) -> ValidatedPipeline {
    pipeline_with(&json!({"existing": word}))
}

fn all(origin: TopicOrigin) -> Claims {
    TopicName::ALL.map(|name| (name, origin)).into()
}

fn ours() -> Claims {
    all(TopicOrigin::Created)
}

fn as_declared(pipeline: &ValidatedPipeline) -> BTreeMap<String, TopicState> {
    let state = |d: &DesiredTopic| TopicState {
        partitions: d.partitions,
        replication: d.replication,
        config: d.config.clone(),
        inherited: BTreeMap::new(),
    };
    pipeline.topics.iter().map(|(name, desired)| (pipeline.topic(*name), state(desired))).collect()
}

fn at<'a>(actual: &'a mut BTreeMap<String, TopicState>, topic: &str) -> &'a mut TopicState {
    actual.get_mut(&format!("{PREFIX}{topic}")).expect("a topic")
}

/// The claims that the status has once the plan's reports are written.
fn written(plan: &TopicPlan) -> Claims {
    let topics = plan.reports.iter().map(|(name, report)| (name.as_str().to_owned(), report.clone()));
    claims(&PaymentPipelineStatus { topics: topics.collect(), ..PaymentPipelineStatus::default() })
}

fn reason(plan: &TopicPlan) -> (Option<bool>, &'static str) {
    let verdict = plan.verdict();
    (verdict.status, verdict.reason)
}

#[test]
fn missing_topics_are_written_down_first_and_then_created() {
    let pipeline = pipeline();
    let first = plan(&pipeline, &Claims::new(), &BTreeMap::new());
    assert!(first.changes.is_empty() && first.usable());
    assert_eq!((first.claimed.len(), reason(&first)), (TopicName::ALL.len(), (Some(false), "Creating")));
    let second = plan(&pipeline, &written(&first), &BTreeMap::new());
    assert_eq!(second.changes.len(), TopicName::ALL.len());
    assert!(second.changes.iter().all(|change| matches!(change, TopicChange::Create { .. })));
    assert!(second.claimed.is_empty());
    // The operator ended between the two, or in the middle.
    let half: BTreeMap<String, TopicState> = as_declared(&pipeline).into_iter().take(3).collect();
    assert_eq!(plan(&pipeline, &written(&first), &half).changes.len(), TopicName::ALL.len() - 3);
    let end = plan(&pipeline, &written(&first), &as_declared(&pipeline));
    assert_eq!((end.changes.len(), reason(&end)), (0, (Some(true), "AsDeclared")));
    assert!(
        end.reports.values().all(|r| r.state == Some(TopicReportState::AsDeclared) && r.message.is_none())
    );
}

#[test]
fn topics_under_a_longer_prefix_are_nobody_s_business() {
    let pipeline = pipeline();
    let others =
        as_declared(&pipeline).into_iter().map(|(name, state)| (format!("{PREFIX}eu.{name}"), state));
    let mut others: BTreeMap<String, TopicState> = others.collect();
    others.insert(format!("{PREFIX}{REBUILT_TOPIC}"), TopicState::default());
    let plan = plan(&pipeline, &Claims::new(), &others);
    assert!(plan.foreign.is_empty() && plan.usable());
    assert_eq!(plan.claimed.len(), TopicName::ALL.len());
}

#[test]
fn drifted_setting_is_set_back_alone() {
    let pipeline = pipeline();
    let mut actual = as_declared(&pipeline);
    let ledger = at(&mut actual, "account.ledger");
    ledger.config.insert("retention.ms".into(), "1000".into());
    ledger.config.insert("segment.bytes".into(), "1048576".into());
    let set = [("retention.ms".to_owned(), "-1".to_owned())].into();
    let plan = plan(&pipeline, &ours(), &actual);
    assert_eq!(plan.changes, [TopicChange::Alter { topic: format!("{PREFIX}account.ledger"), set }]);
    let report = &plan.reports[&TopicName::Ledger];
    assert_eq!(report.state, Some(TopicReportState::Drifted));
    assert_eq!(report.message.as_deref(), Some("retention.ms is 1000, declared -1"));
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
        ("payment.incoming", 7, "cannot change"),
        ("payment.complete", 7, "cannot change"),
        ("payment.confirmed", 7, "cannot change"),
        ("ops.dlq", 9, "cannot be taken away"),
    ] {
        let mut actual = as_declared(&pipeline);
        at(&mut actual, topic).partitions = actual_count;
        let plan = plan(&pipeline, &ours(), &actual);
        assert!(plan.changes.is_empty());
        assert_eq!(plan.refusals.len(), 1);
        let said = plan.refusals[0].to_string();
        assert!(said.contains(expected), "{said}");
        let report = plan.reports.values().find(|report| report.message.as_ref() == Some(&said));
        assert_eq!(report.and_then(|report| report.state), Some(TopicReportState::Refused), "{said}");
    }
}

#[test]
fn dead_letters_get_their_partitions_and_no_other_topic_does() {
    let pipeline = pipeline();
    let mut actual = as_declared(&pipeline);
    for state in actual.values_mut() {
        state.partitions = 7;
    }
    let plan = plan(&pipeline, &ours(), &actual);
    assert_eq!(plan.changes, [TopicChange::Grow { topic: format!("{PREFIX}ops.dlq"), partitions: 8 }]);
    let report = &plan.reports[&TopicName::Dlq];
    assert_eq!(report.message.as_deref(), Some("7 partitions, declared 8"));
}

#[test]
fn the_ledger_keeps_what_it_had_and_one_field_is_told_once() {
    let pipeline = pipeline();
    let mut actual = as_declared(&pipeline);
    at(&mut actual, "account.ledger").partitions = 16;
    for claims in [ours(), all(TopicOrigin::Unmanaged)] {
        let pipeline = existing("CheckOnly");
        assert_eq!(reason(&plan(&pipeline, &claims, &actual)), (Some(true), "AsDeclared"));
    }
    for topic in ["payment.inflight", "account.checkpoints", "account.ledger"] {
        at(&mut actual, topic).partitions = 4;
    }
    let plan = plan(&pipeline, &ours(), &actual);
    assert_eq!(plan.refusals.len(), 3);
    let told = told(&plan.refusals);
    assert_eq!(told.len(), 1);
    assert!(told[0].to_string().contains("payment.inflight has 4"), "{}", told[0]);
}

#[test]
fn topics_that_are_there_are_refused_named_and_left_alone() {
    let pipeline = pipeline();
    let mut actual = as_declared(&pipeline);
    actual.retain(|name, _| name.ends_with("ledger") || name.ends_with("incoming"));
    at(&mut actual, "account.ledger").config.clear();
    let plan = plan(&pipeline, &Claims::new(), &actual);
    assert!(plan.changes.is_empty() && !plan.usable());
    let verdict = plan.verdict();
    assert_eq!((verdict.status, verdict.reason), (Some(false), "TopicsExist"));
    for part in [
        "default.payments.account.ledger",
        "default.payments.payment.incoming",
        "spec.topics.existing",
        "Adopt",
    ] {
        assert!(verdict.message.contains(part), "{}", verdict.message);
    }
    assert!(!verdict.message.contains("ops.dlq"), "{}", verdict.message);
    assert_eq!(plan.reports[&TopicName::Ledger].origin, None);
    assert_eq!((written(&plan), plan.claimed), (Claims::new(), vec![]), "nor are the others made");
}

#[test]
fn topics_are_adopted_when_told_so_and_set_right_once_that_is_written() {
    let pipeline = existing("Adopt");
    let mut actual = as_declared(&pipeline);
    at(&mut actual, "payment.incoming").config.clear();
    let first = plan(&pipeline, &Claims::new(), &actual);
    assert!(first.changes.is_empty() && first.usable());
    assert_eq!(reason(&first), (Some(false), "Adopting"));
    let adopted = written(&first);
    assert_eq!(adopted, all(TopicOrigin::Adopted));
    let second = plan(&pipeline, &adopted, &actual);
    assert!(matches!(&second.changes[..], [TopicChange::Alter { .. }]), "{:?}", second.changes);
    // They stay its own, whatever the field says later.
    let later = plan(&existing("Refuse"), &adopted, &as_declared(&pipeline));
    assert_eq!(reason(&later), (Some(true), "AsDeclared"));
    assert!(later.reports.values().all(|report| report.origin == Some(TopicOrigin::Adopted)));
}

#[test]
fn a_topic_that_does_not_fit_is_not_adopted() {
    let pipeline = existing("Adopt");
    let mut actual = as_declared(&pipeline);
    for topic in ["payment.inflight", "payment.incoming"] {
        at(&mut actual, topic).partitions = 2;
        at(&mut actual, topic).config.clear();
    }
    let plan = plan(&pipeline, &Claims::new(), &actual);
    assert!(plan.changes.is_empty() && !plan.usable());
    let verdict = plan.verdict();
    assert_eq!(verdict.reason, "PartitionsRefused");
    assert_eq!(verdict.message.matches("set it to 2").count(), 2, "{}", verdict.message);
    assert_eq!((written(&plan), plan.claimed), (Claims::new(), vec![]), "nor are the others");
}

#[test]
fn what_others_manage_is_compared_and_never_changed() {
    let pipeline = existing("CheckOnly");
    let mut actual = as_declared(&pipeline);
    let confirmed = at(&mut actual, "payment.confirmed");
    // The broker's own settings count.
    confirmed.inherited = std::mem::take(&mut confirmed.config);
    confirmed.config.insert("retention.ms".to_owned(), "-1".to_owned());
    at(&mut actual, "ops.dlq").partitions = 3;
    let first = plan(&pipeline, &Claims::new(), &actual);
    assert!(first.changes.is_empty() && first.usable());
    let verdict = first.verdict();
    assert_eq!((verdict.status, verdict.reason), (Some(true), "OthersDiffer"));
    assert!(
        verdict.message.contains("payment.confirmed: retention.ms is -1, declared 2592000000"),
        "{verdict:?}"
    );
    assert_eq!(written(&first), all(TopicOrigin::Unmanaged));
    assert_eq!(plan(&pipeline, &written(&first), &actual), first);

    let gone = plan(&pipeline, &written(&first), &BTreeMap::new());
    assert!(gone.changes.is_empty(), "{:?}", gone.changes);
    assert_eq!(reason(&gone), (Some(false), "TopicsUnfit"));
    assert!(gone.reports.values().all(|report| report.state == Some(TopicReportState::Missing)));
    let taken_over = plan(&existing("Adopt"), &written(&first), &BTreeMap::new());
    assert_eq!(written(&taken_over), ours(), "they are made, by now as its own");
}

#[test]
fn what_payments_would_go_wrong_by_is_not_used() {
    for (topic, key, value, fits) in [
        ("payment.incoming", "message.timestamp.type", "CreateTime", false),
        ("payment.incoming", "retention.ms", "1000", false),
        ("payment.incoming", "retention.ms", "999999999999", true),
        ("account.ledger", "retention.ms", "999999999999", false),
        ("account.ledger", "cleanup.policy", "compact", false),
        ("account.checkpoints", "cleanup.policy", "delete", false),
        ("ops.dlq", "max.message.bytes", "1048588", false),
        ("ops.dlq", "max.message.bytes", "10485880", true),
        ("payment.complete", "segment.bytes", "1048576", true),
    ] {
        let pipeline = pipeline_with(&json!({
            "existing": "CheckOnly", "complete": {"config": {"segment.bytes": "2097152"}},
        }));
        let mut actual = as_declared(&pipeline);
        at(&mut actual, topic).config.insert(key.to_owned(), value.to_owned());
        let plan = plan(&pipeline, &Claims::new(), &actual);
        let verdict = plan.verdict();
        let expected = if fits { (Some(true), "OthersDiffer") } else { (Some(false), "TopicsUnfit") };
        assert_eq!((verdict.status, verdict.reason), expected, "{topic} {key} {value}");
        assert!(verdict.message.contains(&format!("{key} is {value}")), "{}", verdict.message);
    }
}

#[test]
fn what_the_broker_refuses_is_told_of_its_topic_in_its_words() {
    let pipeline = pipeline();
    let mut plan = plan(&pipeline, &ours(), &BTreeMap::new());
    let words = [(format!("{PREFIX}ops.dlq"), "InvalidConfig".to_owned())].into();
    plan.note_failures(&pipeline, &words);
    let verdict = plan.verdict();
    assert_eq!((verdict.status, verdict.reason), (Some(false), "BrokerRefused"));
    assert_eq!(verdict.message, "default.payments.ops.dlq: InvalidConfig");
    assert_eq!(plan.reports[&TopicName::Dlq].state, Some(TopicReportState::Refused));
    assert_eq!(written(&plan), ours(), "it stays the pipeline's own");
}

#[test]
fn topics_of_a_status_from_before_are_the_pipeline_s_own() {
    let status = |topics: Value| -> PaymentPipelineStatus {
        serde_json::from_value(json!({"topics": topics})).expect("a status")
    };
    // As in the middle of a wipe: it did not tell of those that were deleted.
    let before = json!({"account.ledger": {"partitions": 8, "replication": 1}});
    assert_eq!(claims(&status(before)), ours());
    assert_eq!(claims(&status(json!({}))), Claims::new());
    let refused = json!({"account.ledger": {"partitions": 8, "replication": 1, "state": "Refused"}});
    assert_eq!(claims(&status(refused)), Claims::new());
}

#[test]
fn what_a_wipe_has_deleted_stays_the_pipeline_s_own() {
    let pipeline = pipeline();
    let mut actual = as_declared(&pipeline);
    actual.remove(&pipeline.topic(TopicName::Checkpoints));
    for before in [ours(), Claims::new()] {
        let reports = while_wiped(&pipeline, &before, &actual);
        assert_eq!(reports[&TopicName::Checkpoints].state, Some(TopicReportState::Creating));
        assert_eq!(written(&TopicPlan { reports, ..TopicPlan::default() }), ours());
    }
}
