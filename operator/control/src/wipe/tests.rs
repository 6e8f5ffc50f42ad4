//! What goes and what stays, the consent to it, and the order of the steps.

use k8s_openapi::jiff::Timestamp;
use kpay_crds::{PaymentPipelineStatus, PullPolicy, TopicOrigin};
use serde_json::Value;

use super::*;
use crate::validate::{DefaultImage, validate};

fn pipeline(spec: &Value) -> ValidatedPipeline {
    let mut resource = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "topics": spec},
    });
    resource["metadata"]["annotations"] = json!({});
    let resource = serde_json::from_value(resource).expect("a resource");
    let image = DefaultImage { repository: "k".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
    validate(&resource, &image).expect("valid")
}

/// The topics that a pipeline has made.
fn topics(of: &ValidatedPipeline) -> BTreeMap<String, TopicState> {
    let state = |partitions| TopicState { partitions, ..TopicState::default() };
    of.topics.iter().map(|(name, desired)| (of.topic(*name), state(desired.partitions))).collect()
}

fn inventory(
    pipeline: &ValidatedPipeline,
    actual: &BTreeMap<String, TopicState>,
) -> Result<WipeInventory, WipeRefusal> {
    super::inventory(pipeline, &own(), actual)
}

fn own() -> Claims {
    TopicName::ALL.map(|name| (name, TopicOrigin::Created)).into()
}

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a time"))
}

fn wiped(topic: &str, partitions: i32, becomes: i32) -> WipedTopic {
    WipedTopic { topic: format!("default.payments.{topic}"), partitions, becomes }
}

#[test]
fn what_is_derived_goes_the_ledger_grows_and_the_rest_stays() {
    let actual = topics(&pipeline(&json!({"inflight": {"partitions": 4}})));
    let found = inventory(&pipeline(&json!({"inflight": {"partitions": 8}})), &actual).expect("can be done");
    assert_eq!(found.deleted, [wiped("payment.inflight", 4, 8), wiped("account.checkpoints", 4, 8)]);
    assert_eq!(found.grown, [wiped("account.ledger", 4, 8)]);
    let kept = ["payment.incoming", "payment.complete", "payment.confirmed", "ops.dlq"];
    assert_eq!(found.kept, kept.map(|topic| format!("default.payments.{topic}")));
    assert_eq!(found.groups, ["default.payments.account on default.payments.payment.inflight"]);
    assert_eq!(found.stopped, ["payments-inflight", "payments-account", "payments-confirmed"]);
}

#[test]
fn fewer_partitions_leave_the_ledger_as_it_is() {
    let actual = topics(&pipeline(&json!({"inflight": {"partitions": 8}})));
    let found = inventory(&pipeline(&json!({"inflight": {"partitions": 4}})), &actual).expect("can be done");
    assert_eq!(found.deleted, [wiped("payment.inflight", 8, 4), wiped("account.checkpoints", 8, 4)]);
    assert!(found.grown.is_empty() && found.kept.contains(&"default.payments.account.ledger".to_owned()));
}

#[test]
fn what_is_not_derived_is_refused() {
    let actual = topics(&pipeline(&json!({})));
    let other = pipeline(&json!({"incoming": {"partitions": 16}, "inflight": {"partitions": 16}}));
    let refused = inventory(&other, &actual).expect_err("incoming cannot change").to_string();
    assert!(
        refused.contains("spec.topics.incoming.partitions") && refused.contains("set it to 8"),
        "{refused}"
    );
    let mut less = actual;
    less.remove("default.payments.account.ledger");
    let missing = WipeRefusal::Missing("default.payments.account.ledger".to_owned());
    assert_eq!(inventory(&pipeline(&json!({})), &less), Err(missing));
}

#[test]
fn topics_that_others_manage_are_not_wiped() {
    let pipeline = pipeline(&json!({"existing": "CheckOnly"}));
    let actual = topics(&pipeline);
    let mut claims = own();
    claims.insert(TopicName::Incoming, TopicOrigin::Unmanaged);
    assert!(super::inventory(&pipeline, &claims, &actual).is_ok(), "it is not touched");
    claims.insert(TopicName::Ledger, TopicOrigin::Unmanaged);
    let refused = super::inventory(&pipeline, &claims, &actual);
    assert_eq!(refused, Err(WipeRefusal::Unmanaged("default.payments.account.ledger".to_owned())));
}

#[test]
fn dead_letters_get_more_partitions_without_a_wipe() {
    let actual = topics(&pipeline(&json!({})));
    let found = inventory(&pipeline(&json!({"dlq": {"partitions": 16}})), &actual).expect("can be done");
    assert!(found.grown.is_empty(), "{:?}", found.grown);
}

#[test]
fn a_confirmation_is_for_one_inventory_of_one_pipeline() {
    let pipeline = pipeline(&json!({"inflight": {"partitions": 8}}));
    let mut actual = topics(&pipeline);
    let of = |uid: &str, actual: &BTreeMap<String, TopicState>| {
        confirmation(uid, &inventory(&pipeline, actual).expect("can be done"))
    };
    let first = of("a", &actual);
    assert_eq!(first, of("a", &actual));
    assert_ne!(first, of("b", &actual));
    actual.get_mut("default.payments.payment.inflight").expect("a topic").partitions = 4;
    assert_ne!(first, of("a", &actual));
}

#[test]
fn a_step_is_written_as_begun_before_it_is_done_and_there_is_a_line() {
    let mut status = PipelineOperationStatus { phase: Some(OperationPhase::Running), ..Default::default() };
    assert!(is_safe(&status), "nothing is planned yet");
    status.wipe = Some(begin(WipeInventory::default(), "c".to_owned(), &at(0)));
    for (second, stage) in (1..).zip(WipeStage::ALL) {
        assert_eq!(current(&status), Some(stage));
        let before = status.wipe.clone().expect("a wipe");
        let step = |wipe: &WipeStatus| wipe.steps.iter().find(|step| step.step == stage).cloned();
        assert!(step(&before).is_some_and(|step| step.since.is_some() && step.until.is_none()), "{stage:?}");
        let safe = matches!(stage, WipeStage::Drain | WipeStage::Stop | WipeStage::Record);
        assert_eq!(is_safe(&status), safe, "{stage:?}");
        let waits = after(before.clone(), Look::Waits("w".to_owned()), &at(second));
        assert_eq!(step(&waits).map(|step| (step.evidence, step.until)), Some(("w".to_owned(), None)));
        status.wipe = Some(after(waits, Look::Done("d".to_owned()), &at(second)));
    }
    assert_eq!(current(&status), None);
    assert!(
        status.wipe.expect("a wipe").steps.iter().all(|step| step.since.is_some() && step.until.is_some())
    );
}

#[test]
fn a_drain_counts_only_when_it_was_asked_for_and_is_proven() {
    let status = |phase: &str, proof: &str| -> PaymentPipelineStatus {
        serde_json::from_value(json!({"phase": phase, "epoch": 7, "conditions": [
            {"type": "Drained", "status": proof, "reason": "R", "message": "m",
             "lastTransitionTime": "2026-07-25T12:00:00Z"}]}))
        .expect("a status")
    };
    let done = |asked, status: &PaymentPipelineStatus| matches!(drained(asked, status), Look::Done(_));
    assert!(done(true, &status("Paused", "True")));
    assert!(!done(false, &status("Paused", "True")), "it may be resuming by now");
    assert!(!done(true, &status("Paused", "False")), "forced, without a proof");
    assert!(!done(true, &status("Draining", "True")));
    assert!(!done(true, &PaymentPipelineStatus::default()));
}

#[test]
fn a_drain_that_was_not_waited_for_ends_the_wipe_and_says_what_is_stuck() {
    for action in ["Resume", "Force"] {
        let status: PaymentPipelineStatus = serde_json::from_value(json!({"phase": "Running", "epoch": 7,
            "drainTimedOut": {"action": action, "stuck": "payments-account-0 does not answer"},
            "conditions": [{"type": "Drained", "status": "False", "reason": "R", "message": "m",
             "lastTransitionTime": "2026-07-25T12:00:00Z"}]}))
        .expect("a status");
        let told = |look| match look {
            Look::Fails(why) => why,
            other => panic!("{other:?}"),
        };
        let why = told(drained(true, &status));
        assert!(why.contains("payments-account-0") && why.contains("spec.drain.onTimeout"), "{why}");
        assert!(matches!(drained(false, &status), Look::Waits(_)), "it may be of the drain before");
    }
}

#[test]
fn a_wipe_without_its_pipeline_fails_waits_or_is_through_by_its_step() {
    let mut status = PipelineOperationStatus { phase: Some(OperationPhase::Running), ..Default::default() };
    let ends = |status: &PipelineOperationStatus| gone(status, "none".to_owned(), &at(9));
    assert!(matches!(ends(&status), Step::Fails(_)), "nothing is planned yet");
    status.wipe = Some(begin(WipeInventory::default(), "c".to_owned(), &at(0)));
    for stage in WipeStage::ALL {
        match (stage, ends(&status)) {
            (WipeStage::Drain | WipeStage::Stop | WipeStage::Record, Step::Fails(why))
            | (WipeStage::Delete | WipeStage::Create | WipeStage::Rebuild, Step::Waits(why)) => {
                assert_eq!(why, "none");
            }
            (WipeStage::Resume, Step::Wipes(wipe)) => {
                assert!(wipe.steps.iter().all(|step| step.until.is_some()));
            }
            (stage, step) => panic!("{stage:?}: {step:?}"),
        }
        status.wipe = status.wipe.map(|wipe| after(wipe, Look::Done("d".to_owned()), &at(1)));
    }
}

#[test]
fn nothing_goes_on_with_accounts_that_differ() {
    let recorded = |minor| RecordedAccounts {
        accounts: 2,
        balances: BTreeMap::from([("USD".to_owned(), minor)]),
        notes: 1,
        digest: "d".to_owned(),
    };
    assert!(matches!(compared(Some(&recorded(5)), &recorded(5)), Look::Done(_)));
    for other in [
        recorded(6),
        RecordedAccounts { notes: 0, ..recorded(5) },
        RecordedAccounts { digest: "e".to_owned(), ..recorded(5) },
        RecordedAccounts { accounts: 3, ..recorded(5) },
    ] {
        assert!(matches!(compared(Some(&recorded(5)), &other), Look::Waits(_)));
    }
    assert!(matches!(compared(None, &recorded(5)), Look::Waits(_)));
}

#[test]
fn a_mark_says_whether_the_stages_have_pods() {
    assert_eq!(Mark::from_text(&Mark::Stop.to_text("u")), Mark::Stop);
    assert_eq!(Mark::from_text(&Mark::Drain.to_text("u")), Mark::Drain);
    let mut resource: kpay_crds::PaymentPipeline = serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}},
    }))
    .expect("a resource");
    let image = DefaultImage { repository: "k".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
    let of = |resource: &_| validate(resource, &image).expect("valid").stopped();
    assert_eq!((of(&resource).wipe, of(&resource).replicas(Component::Account)), (None, 2));
    for (mark, pods) in [(Mark::Drain, 2), (Mark::Stop, 0)] {
        let annotations = BTreeMap::from([(crate::names::WIPE_ANNOTATION.to_owned(), mark.to_text("u"))]);
        resource.metadata.annotations = Some(annotations);
        let pipeline = of(&resource);
        assert_eq!(pipeline.replicas(Component::Account), pods, "{mark:?}");
        assert!(pipeline.replicas(Component::Gateway) > 0, "what it takes is paid afterwards");
    }
}

#[test]
fn a_report_is_read_as_it_was_written() {
    let accounts = RecordedAccounts { accounts: 3, digest: "d".to_owned(), ..RecordedAccounts::default() };
    let report = RebuildReport { accounts, error: None };
    assert_eq!(RebuildReport::from_text(&report.to_text()), Some(report));
    let failed = RebuildReport::failed(&"x".repeat(9_000));
    assert!(failed.to_text().len() < 1_000);
    assert_eq!(RebuildReport::from_text("panicked"), None);
}
