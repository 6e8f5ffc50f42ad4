//! Who keeps a pipeline from running, and until when.

use kpay_crds::HOLDER_PATTERN;
use serde_json::{Value, json};

use super::*;
use crate::wipe::Mark;

fn at(second: i64) -> Time {
    Time(k8s_openapi::jiff::Timestamp::from_second(second).expect("a time"))
}

fn resource(spec: Value, status: &Value) -> PaymentPipeline {
    let mut all = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
    if let (Some(target), Value::Object(extra)) = (all.as_object_mut(), spec) {
        target.extend(extra);
    }
    serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"}, "spec": all, "status": status,
    }))
    .expect("a resource")
}

/// A pause that ends so many seconds after 1970, or never.
fn pause(holder: &str, until: Option<i64>) -> Value {
    json!({"holder": holder, "until": until.map(at)})
}

fn of(phase: &str, pauses: &[Value], now: i64) -> Wanted {
    Wanted::of(&resource(json!({"desiredPhase": phase, "pauses": pauses}), &Value::Null), &at(now))
}

#[test]
fn the_last_to_let_go_lets_it_run() {
    use DesiredPhase as D;
    let (alice, bob) = (pause("alice", None), pause("bob", Some(100)));
    for (phase, pauses, now, expected) in [
        ("Running", vec![], 0, D::Running),
        ("Running", vec![alice.clone(), bob.clone()], 0, D::Paused),
        ("Running", vec![bob.clone()], 99, D::Paused),
        ("Running", vec![bob.clone()], 100, D::Running),
        ("Running", vec![alice.clone(), bob.clone()], 100, D::Paused),
        ("Paused", vec![], 0, D::Paused),
        ("Paused", vec![bob.clone()], 100, D::Paused),
        ("Draining", vec![bob.clone()], 99, D::Paused),
        ("Draining", vec![bob.clone()], 100, D::Draining),
    ] {
        let wanted = of(phase, &pauses, now);
        assert_eq!(wanted.desired, expected, "{phase} {pauses:?} at {now}");
        assert_eq!(wanted.held.is_empty(), expected == D::Running, "{:?}", wanted.held);
        let spec = resource(json!({"desiredPhase": phase, "pauses": pauses}), &Value::Null).spec;
        assert_eq!(wish(&spec, &at(now)), expected);
    }
}

#[test]
fn it_is_told_who_holds_why_and_until_when_and_what_each_has_to_do() {
    let mut alice = pause("alice", Some(100));
    alice["reason"] = "month's end".into();
    let told = of("Paused", &[alice, pause("bob", None), pause("carol", Some(5))], 10).explains("so it is");
    assert_eq!(
        told,
        "so it is; held by alice until 1970-01-01T00:01:40Z (month's end), bob: each lets go by \
         `kpay resume --holder NAME`, or by taking its entry out of spec.pauses; spec.desiredPhase is Paused: set it to \
         Running to resume"
    );
    let many: Vec<Value> = (0..16).map(|number| pause(&format!("h{number}"), None)).collect();
    let told = of("Running", &many, 10).explains("");
    assert!(told.contains("h4, 11 more: each") && !told.contains("h5"), "{told}");
}

#[test]
fn it_is_looked_again_when_the_first_pause_ends_and_not_before() {
    let pauses = [pause("alice", Some(100)), pause("bob", Some(90)), pause("carol", None)];
    let ends_in = |now| of("Running", &pauses, now).ends_in(&at(now));
    assert_eq!(ends_in(30), Some(Duration::from_millis(60_001)));
    assert_eq!(ends_in(90), Some(Duration::from_millis(10_001)), "bob's has ended");
    assert_eq!(ends_in(100), None, "carol's has no end");
    let late = of("Running", &pauses, 89).ends_in(&at(95));
    assert_eq!(late, Some(Duration::from_millis(1)), "it has ended since it was looked");
}

#[test]
fn since_when_somebody_holds_stays_while_he_does() {
    let pauses = |now| of("Running", &[pause("alice", None), pause("bob", Some(100))], now).pauses;
    let first = holders(&pauses(10), &[], &at(10));
    let second = holders(&pauses(20), &first, &at(20));
    assert_eq!(second, first);
    let third = holders(&pauses(100), &second, &at(100));
    assert_eq!(third.iter().map(|holder| holder.holder.as_str()).collect::<Vec<_>>(), ["alice"]);
    let again = holders(&pauses(20), &third, &at(120));
    let since: Vec<_> = again.iter().filter_map(|holder| holder.since.clone()).collect();
    assert_eq!(since, [at(10), at(120)], "bob had let go");
}

#[test]
fn a_wipe_and_a_replacement_hold_it_whatever_else_is_wanted() {
    let upgrade = |state: &str| {
        json!({"upgrade": {"state": state, "to": {"image": "k", "pullPolicy": "Never",
            "bootstrapServers": "k:9092", "currency": "USD", "idempotencyWindowSeconds": 1}}})
    };
    let rolls = |strategy: &str, state: &str, pauses: &[Value]| {
        let spec = json!({"upgrade": {"strategy": strategy}, "pauses": pauses});
        let wanted = Wanted::of(&resource(spec, &upgrade(state)), &at(0));
        (wanted.desired, wanted.held.len())
    };
    for state in ["Rolling", "RollingBack"] {
        assert_eq!(rolls("DrainThenRoll", state, &[]), (DesiredPhase::Paused, 1), "{state}");
        assert_eq!(rolls("DrainThenRoll", state, &[pause("alice", None)]), (DesiredPhase::Paused, 2));
        assert_eq!(rolls("Rolling", state, &[]), (DesiredPhase::Running, 0), "{state}");
    }
    for state in ["Succeeded", "RolledBack"] {
        assert_eq!(rolls("DrainThenRoll", state, &[]), (DesiredPhase::Running, 0), "{state}");
        assert_eq!(rolls("DrainThenRoll", state, &[pause("alice", None)]), (DesiredPhase::Paused, 1));
    }
    let restarts = |state: &str| {
        let mut status = upgrade(state);
        status["upgrade"]["to"]["restart"] = "u/QueriesOnly".into();
        Wanted::of(&resource(json!({}), &status), &at(0)).desired
    };
    for (state, desired) in [
        ("Rolling", DesiredPhase::Paused),
        ("RollingBack", DesiredPhase::Paused),
        ("Succeeded", DesiredPhase::Running),
        ("RolledBack", DesiredPhase::Running),
    ] {
        assert_eq!(restarts(state), desired, "{state}");
    }
    let mut wiped = resource(json!({}), &Value::Null);
    for mark in [Mark::Drain, Mark::Stop] {
        wiped.annotations_mut().insert(WIPE_ANNOTATION.to_owned(), mark.to_text("u"));
        let wanted = Wanted::of(&wiped, &at(0));
        assert_eq!((wanted.desired, wanted.held.len()), (DesiredPhase::Paused, 1), "{mark:?}");
        assert_eq!(wish(&wiped.spec, &at(0)), DesiredPhase::Running, "what comes after it");
    }
}

#[test]
fn a_holder_has_a_name_that_can_be_typed() {
    assert_eq!(HOLDER_PATTERN, "^[a-zA-Z0-9]([-a-zA-Z0-9._:@/+]*[a-zA-Z0-9])?$", "as is_holder reads it");
    for good in ["a", "alice", "alice@example.com", "alerts/consumer-lag", "ci:42", &"x".repeat(64)] {
        assert!(is_holder(good), "{good}");
    }
    for bad in ["", "-a", "a-", " a", "a b", "a\n", "Jürgen", "a\"b", &"x".repeat(65)] {
        assert!(!is_holder(bad), "{bad}");
    }
}
