//! Each thing is told once, in its order, and the end is the end.

use super::*;

fn release(restart: Option<&str>) -> Value {
    json!({"image": "k", "pullPolicy": "Never", "bootstrapServers": "k:9092", "currency": "USD",
        "idempotencyWindowSeconds": 1, "restart": restart})
}

fn pipeline(observed: i64, upgrade: &Value, conditions: &Value) -> PaymentPipeline {
    serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "shop", "generation": 2},
        "spec": {"kafka": {"bootstrapServers": "k:9092"}},
        "status": {"observedGeneration": observed, "upgrade": upgrade, "conditions": conditions},
    }))
    .unwrap()
}

fn up(state: &str, first: &str, second: &str) -> Value {
    let step = |workload: &str, state: &str, minute: u8| {
        let until =
            ["Passed", "Failed"].contains(&state).then(|| format!("2026-11-27T12:{:02}:00Z", minute + 1));
        json!({"workload": workload, "state": state, "since": format!("2026-11-27T12:{minute:02}:00Z"),
            "until": until, "evidence": format!("seen of {workload}")})
    };
    let until = (state != "Rolling" && state != "RollingBack").then_some("2026-11-27T12:09:00Z");
    json!({"state": state, "to": release(Some("u/QueriesOnly")), "since": "2026-11-27T12:00:00Z", "until": until,
        "changes": ["image: 1 → 2"], "failed": (state == "RolledBack").then_some("account: slow"),
        "steps": [step("confirmed", first, 1), step("account", second, 2)]})
}

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::line).collect()
}

#[test]
fn each_step_is_told_once_as_it_ends() {
    let mut progress = UpgradeProgress::default();
    let mut see = |upgrade: &Value| lines(&progress.see(&pipeline(2, upgrade, &json!([]))));
    let begun = "12:00:00Z  has begun: confirmed → account; image: 1 → 2";
    assert_eq!(see(&up("Rolling", "Rolling", "Planned")), [begun]);
    assert_eq!(see(&up("Rolling", "Verifying", "Planned")), [""; 0]);
    let passed = "12:02:00Z  confirmed passed after 1m00s: seen of confirmed";
    assert_eq!(see(&up("Rolling", "Passed", "Rolling")), [passed]);
    let expected =
        ["12:03:00Z  account passed after 1m00s: seen of account", "12:09:00Z  the pods are as declared"];
    assert_eq!(see(&up("Succeeded", "Passed", "Passed")), expected);
    assert_eq!(see(&up("Succeeded", "Passed", "Passed")), [""; 0]);
    let mut next = up("Rolling", "Planned", "Planned");
    next["since"] = "2026-11-27T13:00:00Z".into();
    assert_eq!(see(&next), ["13:00:00Z  has begun: confirmed → account; image: 1 → 2"], "another change");
}

#[test]
fn a_change_that_is_taken_back_says_why_also_to_who_came_late() {
    let mut late = UpgradeProgress::default();
    let told = lines(&late.see(&pipeline(2, &up("RolledBack", "Passed", "Failed"), &json!([]))));
    assert_eq!(told.last().unwrap(), "12:09:00Z  the pods are as before: account: slow");
    assert_eq!(told.len(), 4, "begun, two steps, the end: {told:?}");
}

#[test]
fn the_change_before_is_not_told_while_a_newer_spec_was_not_looked_at() {
    let mut progress = UpgradeProgress::default();
    assert!(progress.see(&pipeline(1, &up("Succeeded", "Passed", "Passed"), &json!([]))).is_empty());
    assert_eq!(progress.see(&pipeline(2, &up("Rolling", "Rolling", "Planned"), &json!([]))).len(), 1);
}

#[test]
fn a_restart_is_followed_by_the_uid_of_its_operation() {
    let at = pipeline(2, &up("Rolling", "Passed", "Planned"), &json!([]));
    assert_eq!(UpgradeProgress::of_restart("u").see(&at).len(), 2);
    assert_eq!(UpgradeProgress::of_restart("another").see(&at).len(), 0);
}

#[test]
fn programs_get_an_object_an_event() {
    let events =
        UpgradeProgress::default().see(&pipeline(2, &up("Rolling", "Passed", "Planned"), &json!([])));
    let all: Vec<Value> = events.iter().map(|event| serde_json::from_str(&event.json()).unwrap()).collect();
    assert_eq!((&all[0]["event"], &all[0]["workloads"][1]), (&json!("begun"), &json!("account")));
    let step = (&all[1]["event"], &all[1]["state"], &all[1]["evidence"], &all[1]["at"]);
    let expected =
        (&json!("step"), &json!("Passed"), &json!("seen of confirmed"), &json!("2026-11-27T12:02:00Z"));
    assert_eq!(step, expected);
}

#[test]
fn an_upgrade_is_over_when_the_newest_spec_has_led_to_an_end() {
    let ended = |observed, upgrade: &Value, conditions: Value| {
        upgrade_ended(&pipeline(observed, upgrade, &conditions)).map(|(Ended(exit), _)| exit)
    };
    let invalid = json!([{"type": "Degraded", "status": "True", "reason": "SpecInvalid", "message": "spec.drain",
        "lastTransitionTime": "2026-11-27T12:00:00Z"}]);
    let none = || json!([]);
    for (exit, observed, upgrade, conditions) in [
        (None, 1, up("Succeeded", "Passed", "Passed"), none()),
        (None, 2, up("Rolling", "Passed", "Planned"), none()),
        (None, 2, up("RollingBack", "Passed", "Failed"), none()),
        (Some(Exit::Done), 2, up("Succeeded", "Passed", "Passed"), none()),
        (Some(Exit::Refused), 2, up("RolledBack", "Passed", "Failed"), none()),
        (Some(Exit::Done), 2, Value::Null, none()),
        (Some(Exit::Refused), 2, Value::Null, invalid),
    ] {
        assert_eq!(ended(observed, &upgrade, conditions), exit, "{observed} {upgrade}");
    }
}

fn operation(status: &Value) -> PipelineOperation {
    serde_json::from_value(json!({"apiVersion": "kpay.dev/v1alpha1", "kind": "PipelineOperation",
        "metadata": {"name": "wipe", "namespace": "shop"},
        "spec": {"pipeline": "payments", "type": "WipeAndUpdate", "reason": "more"}, "status": status}))
    .unwrap()
}

#[test]
fn a_wipe_is_told_step_by_step_and_what_it_waits_for_once() {
    let mut progress = OperationProgress::default();
    let mut see = |status: Value| lines(&progress.see(&operation(&status)));
    let pending = json!({"phase": "Pending", "message": "waits until the pipeline is Running"});
    assert_eq!(see(Value::Null), [""; 0]);
    assert_eq!(see(pending.clone()), ["           waits until the pipeline is Running"]);
    assert_eq!(see(pending), [""; 0]);
    let started = "2026-11-27T12:00:00.000000Z";
    let begun = json!({"phase": "Running", "message": "has begun", "startedAt": started});
    assert_eq!(see(begun), ["12:00:00Z  WipeAndUpdate has begun: wipe"]);
    let drained = json!({"step": "Drain", "since": "2026-11-27T12:00:00Z", "until": "2026-11-27T12:00:03Z", "evidence": "proven"});
    let wipe = |steps: Value| json!({"inventory": {}, "confirmation": "c", "steps": steps});
    let one =
        json!({"phase": "Running", "startedAt": started, "wipe": wipe(json!([drained, {"step": "Stop"}]))});
    assert_eq!(see(one.clone()), ["12:00:03Z  Drain done after 3s: proven"]);
    assert_eq!(see(one), [""; 0]);
    let failed = json!({"phase": "Failed", "startedAt": started, "message": "nothing was deleted: why",
        "finishedAt": "2026-11-27T12:00:09Z", "wipe": wipe(json!([drained]))});
    assert_eq!(operation_ended(&operation(&failed)), Some(Ended(Exit::Refused)));
    assert_eq!(see(failed), ["12:00:09Z  Failed: nothing was deleted: why"]);
}
