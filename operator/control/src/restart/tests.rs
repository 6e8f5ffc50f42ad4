//! What a restart asks for, when it holds, and what becomes of it.

use serde_json::{Value, json};

use super::*;

fn release(restart: Option<&str>) -> Value {
    json!({"image": "k", "pullPolicy": "Never", "bootstrapServers": "k:9092", "currency": "USD",
        "idempotencyWindowSeconds": 1, "restart": restart})
}

/// A pipeline that was last restarted by `before`.
fn pipeline(annotation: Option<&str>, upgrade: &Value, more: &Value) -> PaymentPipeline {
    let mut resource = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "annotations": {"kpay.dev/restart": annotation.unwrap_or("before")}},
        "spec": {"kafka": {"bootstrapServers": "k:9092"}},
        "status": {"phase": "Running", "release": release(Some("before")), "upgrade": upgrade},
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        resource["status"][field] = value.clone();
    }
    serde_json::from_value(resource).expect("a resource")
}

fn up(text: &str, state: &str, first: &str) -> Value {
    let done = if first == "Passed" { json!("2026-11-26T12:00:00Z") } else { Value::Null };
    let steps = json!([{"workload": "confirmed", "state": first, "until": done}, {"workload": "account"}]);
    json!({"state": state, "to": release(Some(text)), "steps": steps, "failed": "account: slow"})
}

#[test]
fn an_annotation_says_what_goes_on() {
    for (function, text) in [
        (Function::Full, "u"),
        (Function::LimitedIntake(20), "u/LimitedIntake=20"),
        (Function::QueriesOnly, "u/QueriesOnly"),
    ] {
        assert_eq!(function.to_text("u"), text);
        assert_eq!(Function::from_text(text), function);
    }
    for unclear in [
        "",
        "Fri Nov 27 04:41:18 UTC 2026",
        "QueriesOnly",
        "u/LimitedIntake=0",
        "u/LimitedIntake=x",
        "u/More",
    ] {
        assert_eq!(Function::from_text(unclear), Function::Full, "{unclear}");
    }
}

#[test]
fn an_operation_asks_for_what_its_spec_says() {
    let of = |restart: Value| {
        let restart: Option<kpay_crds::Restart> = serde_json::from_value(restart).expect("a restart");
        Function::of(restart.as_ref())
    };
    assert_eq!(of(Value::Null), Function::Full);
    assert_eq!(of(json!({})), Function::Full);
    assert_eq!(of(json!({"during": "QueriesOnly"})), Function::QueriesOnly);
    assert_eq!(of(json!({"during": "LimitedIntake", "intakePerSecond": 7})), Function::LimitedIntake(7));
}

#[test]
fn the_intake_is_limited_just_while_the_restart_is_under_way() {
    let limited = |text: &str, state: &str, declared| {
        let pipeline = pipeline(None, &up(text, state, "Rolling"), &json!({}));
        intake_per_second(pipeline.status.as_ref(), declared)
    };
    for state in ["Rolling", "RollingBack"] {
        assert_eq!(limited("u/LimitedIntake=20", state, None), Some(20), "{state}");
        assert_eq!(limited("u/LimitedIntake=20", state, Some(500)), Some(20), "{state}");
        assert_eq!(limited("u/LimitedIntake=20", state, Some(5)), Some(5), "never more than declared");
        assert_eq!(limited("u", state, Some(500)), Some(500), "{state}");
        assert_eq!(limited("u/QueriesOnly", state, Some(500)), Some(500), "{state}");
    }
    for state in ["Succeeded", "RolledBack"] {
        assert_eq!(limited("u/LimitedIntake=20", state, Some(500)), Some(500), "{state}");
        assert_eq!(limited("u/LimitedIntake=20", state, None), None, "{state}");
    }
    assert_eq!(intake_per_second(None, Some(500)), Some(500));
}

#[test]
fn a_change_after_a_restart_is_not_restricted_by_it() {
    let mut pipeline = pipeline(None, &up("u/QueriesOnly", "Rolling", "Rolling"), &json!({}));
    let status = pipeline.status.as_mut().expect("a status");
    assert_eq!(function(status), Function::QueriesOnly);
    status.release.as_mut().expect("a release").restart = Some("u/QueriesOnly".to_owned());
    assert_eq!(function(status), Function::Full, "that was the restart before");
}

#[test]
fn a_restart_is_asked_for_once_and_ends_as_the_upgrade_does() {
    let none = json!({});
    let how_far = |text: &str, annotation: Option<&str>, upgrade: &Value| {
        how_far(text, &pipeline(annotation, upgrade, &none))
    };
    assert_eq!(how_far("u", None, &Value::Null), None, "nobody was told yet");
    assert_eq!(how_far("u", None, &up("another", "Succeeded", "Passed")), None);
    let waits = |text: &str| Some(Step::Waits(text.to_owned()));
    assert_eq!(how_far("u", Some("u"), &Value::Null), waits("waits for the change before it"));
    assert_eq!(how_far("u", Some("u"), &up("u", "Rolling", "Passed")), waits("1 of 2 workloads restarted"));
    let done = Some(Step::Done("2 workloads restarted".to_owned()));
    assert_eq!(how_far("u", Some("u"), &up("u", "Succeeded", "Passed")), done);
    let failed = Some(Step::Fails("the pods did not pass: account: slow".to_owned()));
    assert_eq!(how_far("u", Some("u"), &up("u", "RolledBack", "Passed")), failed);
}

#[test]
fn a_restart_that_waits_for_the_drain_says_so_and_ends_when_that_is_given_up() {
    let text = "u/QueriesOnly";
    let of = |more: Value| how_far(text, &pipeline(Some(text), &up(text, "Rolling", "Planned"), &more));
    let drained = json!([{"type": "Drained", "status": "False", "reason": "Draining", "message": "3 in flight",
        "lastTransitionTime": "2026-11-26T12:00:00Z"}]);
    let waits = "0 of 2 workloads restarted; the pipeline is Draining: 3 in flight".to_owned();
    assert_eq!(of(json!({"phase": "Draining", "conditions": drained})), Some(Step::Waits(waits)));
    let timed_out =
        |action| json!({"drainTimedOut": {"action": action, "generation": 1, "stuck": "3 in flight"}});
    let Some(Step::Fails(why)) = of(timed_out("Resume")) else {
        panic!("a drain that never comes is waited for")
    };
    assert!(why.starts_with("no pod was replaced") && why.ends_with("3 in flight"), "{why}");
    assert!(matches!(of(timed_out("Force")), Some(Step::Waits(_))));
}

#[test]
fn what_has_replaced_no_pod_is_taken_back_and_what_has_goes_on() {
    let text = "u/QueriesOnly";
    let leave = |annotation, upgrade: &Value| leaving(text, &pipeline(annotation, upgrade, &json!({})));
    let back = Leaving::TakesBack(Some("before".to_owned()));
    assert_eq!(leave(Some(text), &Value::Null), back, "the change before it is under way");
    assert_eq!(leave(Some(text), &up(text, "Rolling", "Planned")), back);
    for first in ["Rolling", "Verifying", "Passed", "Failed"] {
        assert_eq!(leave(Some(text), &up(text, "Rolling", first)), Leaving::GoesOn, "{first}");
        assert_eq!(leave(Some(text), &up(text, "RollingBack", first)), Leaving::GoesOn, "{first}");
    }
    assert_eq!(leave(Some(text), &up(text, "RolledBack", "Failed")), back, "not with the next change");
    assert_eq!(leave(None, &up(text, "RollingBack", "Planned")), Leaving::LetsGo, "taken back before");
    assert_eq!(leave(Some("another"), &up(text, "Rolling", "Planned")), Leaving::LetsGo);
    let mut done = pipeline(Some(text), &up(text, "Succeeded", "Passed"), &json!({}));
    done.status.as_mut().and_then(|s| s.release.as_mut()).expect("a release").restart = Some(text.to_owned());
    assert_eq!(leaving(text, &done), Leaving::LetsGo);
}
