//! What people read of a pipeline, word by word.

use super::*;

fn at(time: &str) -> Timestamp {
    format!("2026-11-27T{time}Z").parse().unwrap()
}

fn release(image: &str, restart: Option<&str>) -> Value {
    json!({"image": image, "pullPolicy": "Never", "bootstrapServers": "k:9092", "currency": "USD",
        "idempotencyWindowSeconds": 1, "restart": restart})
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-11-27T12:00:00Z"})
}

fn pipeline(spec: &Value, status: &Value) -> PaymentPipeline {
    serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "shop", "generation": 4},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

fn upgrading() -> PaymentPipeline {
    let status = json!({
        "phase": "Running", "epoch": 3, "phaseSince": "2026-11-27T09:00:00Z", "observedGeneration": 4,
        "version": "0.1.0", "perSecond": 498.5, "latencyP99Ms": 41.0,
        "inFlight": {"count": 2, "value": {"USD": 2468}}, "confirmedToday": {"count": 9000, "value": {"USD": 123_400}},
        "conditions": [
            condition("Ready", "True", "Running", "payments are taken in"),
            condition("UpgradeReady", "False", "Rolling", "2 of 4, account: payments are watched"),
        ],
        "processors": {"account": {"ready": 2, "desired": 2}, "gateway": {"ready": 1, "desired": 1}},
        "autoscaling": {"account": {"replicas": 2, "reason": "Steady", "message": "2 pods can take what comes"}},
        "release": release("kpay:1", None),
        "upgrade": {
            "state": "Rolling", "to": release("kpay:2", None), "since": "2026-11-27T12:00:00Z",
            "changes": ["image: \"kpay:1\" → \"kpay:2\""],
            "before": {"perSecond": 500.0, "rejectedPercent": 1.0, "latencyP99Ms": 40.0},
            "steps": [
                {"workload": "confirmed", "state": "Passed", "since": "2026-11-27T12:00:15Z",
                    "until": "2026-11-27T12:01:20Z", "evidence": "500/s, 1 % rejected"},
                {"workload": "account", "state": "Verifying", "since": "2026-11-27T12:01:20Z", "evidence": "ready 2/2"},
                {"workload": "inflight"}, {"workload": "gateway"},
            ],
        },
    });
    pipeline(&json!({"kafka": {"bootstrapServers": "k:9092"}}), &status)
}

fn operation(name: &str, spec: &Value, status: &Value) -> PipelineOperation {
    let mut resource = json!({"apiVersion": "kpay.dev/v1alpha1", "kind": "PipelineOperation",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"pipeline": "payments", "reason": "more partitions"}, "status": status});
    for (field, value) in spec.as_object().into_iter().flatten() {
        resource["spec"][field] = value.clone();
    }
    serde_json::from_value(resource).unwrap()
}

fn tree(pipeline: &PaymentPipeline, operations: &[PipelineOperation]) -> String {
    Overview { pipeline, operations, now: at("12:01:50") }.tree()
}

#[test]
fn a_change_is_shown_with_its_plan_and_its_steps() {
    let expected = r#"shop/payments: Running since 2026-11-27 09:00:00Z, epoch 3
├─ desired: Running
├─ payments: 2 (24.68 USD) in flight, 9000 (1234.00 USD) confirmed today, 498.5/s, p99 41 ms
├─ version: 0.1.0
├─ conditions
│  ├─ Ready: True, Running: payments are taken in
│  └─ UpgradeReady: False, Rolling: 2 of 4, account: payments are watched
├─ processors
│  ├─ account: 2/2 ready
│  │  └─ autoscaling: 2 pods, Steady: 2 pods can take what comes
│  └─ gateway: 1/1 ready
└─ upgrade: under way since 12:00:00Z (1m50s)
   ├─ change: image: "kpay:1" → "kpay:2"
   ├─ before: 500/s, 1 % rejected, p99 40 ms
   ├─ confirmed: passed 12:01:20Z (1m05s): 500/s, 1 % rejected
   ├─ account: payments are watched since 12:01:20Z (30s): ready 2/2
   ├─ inflight: planned
   └─ gateway: planned
"#;
    assert_eq!(tree(&upgrading(), &[]), expected);
}

#[test]
fn a_pause_has_its_reason_and_a_wipe_its_steps() {
    let held = json!([{"holder": "bob", "until": "2026-11-27T13:00:00Z", "reason": "a look"}, {"holder": "carol"},
        {"holder": "over", "until": "2026-11-27T11:00:00Z"}]);
    let spec = json!({"kafka": {"bootstrapServers": "k:9092"}, "desiredPhase": "Paused", "pauses": held});
    let mut paused = pipeline(&spec, &json!({"phase": "Paused", "epoch": 5, "observedGeneration": 3}));
    paused.metadata.annotations =
        Some([("kpay.dev/pause-reason".to_owned(), "month's end".to_owned())].into());
    let status = json!({
        "phase": "Running", "message": "2 of 3, Stop: pods are ending", "startedAt": "2026-11-27T12:01:00.000000Z",
        "wipe": {"inventory": {}, "confirmation": "c", "steps": [
            {"step": "Drain", "since": "2026-11-27T12:01:00Z", "until": "2026-11-27T12:01:03Z", "evidence": "nothing is in flight"},
            {"step": "Stop", "since": "2026-11-27T12:01:03Z", "evidence": "pods are ending"},
            {"step": "Record"},
        ]},
    });
    let wipe = operation("wipe", &json!({"type": "WipeAndUpdate", "by": "maria"}), &status);
    let expected = "shop/payments: Paused, epoch 5
├─ spec: generation 4 is not looked at yet, what follows is about 3
├─ desired: Paused: month's end
│  ├─ held by bob until 2026-11-27T13:00:00Z (a look)
│  └─ held by carol
├─ payments: not known yet
├─ conditions
├─ processors
└─ operation wipe: WipeAndUpdate, Running since 12:01:00Z (50s): 2 of 3, Stop: pods are ending
   ├─ reason: more partitions, by maria
   ├─ Drain: done 12:01:03Z (3s): nothing is in flight
   ├─ Stop: under way since 12:01:03Z (47s): pods are ending
   └─ Record: planned
";
    assert_eq!(tree(&paused, &[wipe]), expected);
}

#[test]
fn what_a_restart_restricts_is_told_while_it_does() {
    let mut restarting = upgrading();
    let up = restarting.status.as_mut().and_then(|status| status.upgrade.as_mut()).unwrap();
    up.to.restart = Some("u/LimitedIntake=20".to_owned());
    let told = "├─ meanwhile: at most 20 payments a second are taken in\n";
    assert!(tree(&restarting, &[]).contains(told), "{}", tree(&restarting, &[]));
    restarting.status.as_mut().and_then(|status| status.upgrade.as_mut()).unwrap().state =
        UpgradeState::Succeeded;
    assert!(!tree(&restarting, &[]).contains("meanwhile"));
}

#[test]
fn programs_get_the_status_as_it_is_and_what_is_wanted() {
    let restart = operation("r", &json!({"type": "Restart"}), &Value::Null);
    let all = Overview { pipeline: &upgrading(), operations: &[restart], now: at("12:00:00") }.json();
    assert_eq!(
        (&all["phase"], &all["desiredPhase"], &all["epoch"]),
        (&json!("Running"), &json!("Running"), &json!(3))
    );
    assert_eq!(
        (&all["namespace"], &all["name"], all.get("pausedBy")),
        (&json!("shop"), &json!("payments"), None)
    );
    assert_eq!(all["upgrade"]["steps"][0]["evidence"], "500/s, 1 % rejected");
    assert_eq!(
        (&all["operations"][0]["name"], &all["operations"][0]["spec"]["type"]),
        (&json!("r"), &json!("Restart"))
    );
}

#[test]
fn a_dry_run_lists_what_goes_and_what_stays() {
    let topic = |topic: &str| json!({"topic": topic, "partitions": 4, "becomes": 8});
    let wipe: WipeStatus = serde_json::from_value(json!({"confirmation": "0123", "inventory": {
        "deleted": [topic("p.payment.inflight")], "grown": [topic("p.account.ledger")], "kept": ["p.ops.dlq"],
        "groups": ["p.account on p.payment.inflight"], "stopped": [],
    }}))
    .unwrap();
    let expected = "a wipe would do this
├─ deleted and made anew
│  └─ p.payment.inflight: 4 → 8 partitions
├─ gets partitions, and keeps every record
│  └─ p.account.ledger: 4 → 8 partitions
├─ stays as it is
│  └─ p.ops.dlq
└─ begins anew
   └─ p.account on p.payment.inflight
";
    assert_eq!(inventory(&wipe), expected);
}
