//! `/v1/pipeline` and `/v1/metrics`.

use jiff::Timestamp;
use kpay_crds::{Holder, Pause};

use super::*;

pub(super) fn controls(json: &Value) -> Controls {
    let pod = serde_json::from_value(json.clone()).unwrap();
    Controls { partitions: 1, pods: vec![pod] }
}

#[tokio::test]
async fn the_pipeline_shows_live_sums_and_null_for_what_is_unknown() {
    let gateway = gateway();
    let got = gateway.get("/v1/pipeline").await;
    let unknown = json!({
        "phase": "Running", "desiredPhase": "Running", "epoch": 7, "inFlight": null, "confirmedToday": null,
    });
    assert_eq!((got.status, got.json()), (StatusCode::OK, unknown));
    let pod = |count, usd| {
        json!({
            "partitions": [{"partition": 0, "state": "running", "count": count, "value": {"USD": usd}}],
            "figures": {"perSecond": 1.0, "latencyP99Ms": 1.0, "today": {"count": 2, "value": {"USD": 30}}},
        })
    };
    gateway.twin.lock().controls.insert(StageName::Inflight, controls(&pod(5, 100)));
    gateway.twin.lock().controls.insert(StageName::Confirmed, controls(&pod(3, 60)));
    gateway.phase.send_replace(None);
    let known = json!({
        "phase": null, "desiredPhase": null, "epoch": null,
        "inFlight": {"count": 2, "value": {"USD": 40}}, "confirmedToday": {"count": 2, "value": {"USD": 30}},
    });
    assert_eq!(gateway.get("/v1/pipeline").await.json(), known);
    let totals = json!({
        "inFlight": {"count": 2, "value": {"USD": 40}}, "confirmedToday": {"count": 2, "value": {"USD": 30}},
        "accepted": {"count": 5, "value": {"USD": 100}}, "finished": {"count": 3, "value": {"USD": 60}},
    });
    assert_eq!(gateway.get("/v1/metrics/totals").await.json(), totals);
}

#[tokio::test]
async fn a_pause_is_told_with_who_why_and_since_when_and_only_while_it_is_wanted() {
    let gateway = gateway();
    let (by, reason) = (Some("kubectl-patch".to_owned()), Some("month's end".to_owned()));
    let since = Some("2026-11-23T12:00:00Z".parse().unwrap());
    let by_phase = Some(ByPhase { by, reason, since });
    gateway.pause.send_replace(Arc::new(Pauses { by_phase, holders: vec![] }));
    let told = |got: &Got| ["pausedBy", "reason", "since"].map(|field| got.json().get(field).cloned());
    assert_eq!(told(&gateway.get("/v1/pipeline").await), [None, None, None], "it shall run again");
    gateway.phase.send_replace(Some(Learned { desired: DesiredPhase::Paused, ..learned(Phase::Draining) }));
    let all = ["kubectl-patch", "month's end", "2026-11-23T12:00:00.000Z"].map(|text| Some(json!(text)));
    assert_eq!(told(&gateway.get("/v1/pipeline").await), all);
    gateway.pause.send_replace(Arc::default());
    assert_eq!(told(&gateway.get("/v1/pipeline").await), [None, None, None], "nobody said");
}

fn pause(holder: &str, reason: Option<&str>, until: Option<&str>) -> Pause {
    let until = until.map(|at| at.parse::<Timestamp>().unwrap().into());
    Pause { holder: holder.to_owned(), reason: reason.map(str::to_owned), until }
}

#[tokio::test]
async fn who_holds_is_told_until_the_pause_ends_and_it_is_wanted_to_pause_meanwhile() {
    let gateway = gateway();
    let since: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let alice = pause("alice", Some("books"), Some("2999-01-01T00:00:00Z"));
    let over = held(&pause("bob", None, Some("2026-01-01T00:00:00Z")));
    let holders = vec![over.clone(), Holder { since: Some(since.into()), ..held(&alice) }];
    gateway.pause.send_replace(Arc::new(Pauses { by_phase: None, holders }));
    let got = gateway.get("/v1/pipeline").await.json();
    let expected = json!([{
        "holder": "alice", "reason": "books", "since": "2026-11-23T12:00:00.000Z", "until": "2999-01-01T00:00:00.000Z",
    }]);
    assert_eq!((&got["desiredPhase"], &got["holders"]), (&json!("Paused"), &expected));
    gateway.pause.send_replace(Arc::new(Pauses { by_phase: None, holders: vec![over] }));
    let got = gateway.get("/v1/pipeline").await.json();
    assert_eq!((&got["desiredPhase"], got.get("holders")), (&json!("Running"), None));
}

fn phase(desired: DesiredPhase, reason: Option<&str>) -> Wish {
    Wish::Phase(desired, reason.map(str::to_owned))
}

#[tokio::test]
async fn a_pause_without_a_holder_is_a_wish_for_the_phase_and_so_is_a_resume() {
    let gateway = gateway();
    let got = gateway.post("/v1/pipeline/pause", r#"{"reason":"month's end"}"#).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    assert_eq!((&got.json()["phase"], &got.json()["desiredPhase"]), (&json!("Running"), &json!("Paused")));
    assert_eq!((got.json().get("pausedBy"), &got.json()["reason"]), (None, &json!("month's end")));
    assert_eq!(got.json()["since"], json!("2026-11-23T12:00:00.000Z"), "as it is kept");
    let bare = Request::post("/v1/pipeline/pause").body(Body::empty()).unwrap();
    assert_eq!(gateway.send(bare).await.status, StatusCode::ACCEPTED, "a body is not needed");
    let got = gateway.post("/v1/pipeline/resume", "").await;
    assert_eq!((got.status, &got.json()["desiredPhase"]), (StatusCode::ACCEPTED, &json!("Running")));
    assert!(got.json().get("reason").is_none() && got.json().get("since").is_none(), "{}", got.text);
    let expected = [
        phase(DesiredPhase::Paused, Some("month's end")),
        phase(DesiredPhase::Paused, None),
        phase(DesiredPhase::Running, None),
    ];
    assert_eq!(gateway.twin.lock().wishes, expected);
}

#[tokio::test]
async fn a_holder_pauses_for_as_long_as_it_says_and_lets_go_of_its_own() {
    let gateway = gateway();
    let before = Timestamp::now();
    let body = r#"{"holder":"alerts/lag","expiresIn":"30m"}"#;
    let got = gateway.post("/v1/pipeline/pause", body).await;
    assert_eq!((got.status, &got.json()["desiredPhase"]), (StatusCode::ACCEPTED, &json!("Paused")));
    assert_eq!(got.json()["holders"][0]["holder"], "alerts/lag");
    let until: Timestamp = got.json()["holders"][0]["until"].as_str().unwrap().parse().unwrap();
    let seconds = until.as_second() - before.as_second();
    assert!((1800..1800 + 60).contains(&seconds), "in half an hour: {seconds} s");
    let got = gateway.post("/v1/pipeline/pause", r#"{"holder":"alice","reason":"books"}"#).await;
    assert_eq!(got.json()["holders"], json!([{"holder": "alice", "reason": "books"}]));
    let got = gateway.post("/v1/pipeline/resume", r#"{"holder":"alice"}"#).await;
    assert_eq!((got.status, &got.json()["desiredPhase"]), (StatusCode::ACCEPTED, &json!("Running")));
    let wishes = gateway.twin.lock().wishes.clone();
    let Wish::Hold(of_alerts) = &wishes[0] else { panic!("{wishes:?}") };
    assert_eq!(of_alerts.until.as_ref().map(|time| time.0), Some(until));
    let rest = [Wish::Hold(pause("alice", Some("books"), None)), Wish::LetGo("alice".to_owned())];
    assert_eq!(wishes[1..], rest);
}

#[tokio::test]
async fn a_pause_that_cannot_be_read_names_the_field_and_wishes_nothing() {
    let gateway = gateway();
    for (body, code, field) in [
        ("{".to_owned(), "json_invalid", "body"),
        ("[]".to_owned(), "json_invalid", "body"),
        (r#"{"until":"1h"}"#.to_owned(), "field_unknown", "until"),
        (r#"{"reason":1}"#.to_owned(), "field_type", "reason"),
        (format!(r#"{{"reason":"{}"}}"#, "x".repeat(257)), "text_too_long", "reason"),
        (format!(r#"{{"holder":"{}"}}"#, "x".repeat(65)), "text_too_long", "holder"),
        (r#"{"holder":"al ice"}"#.to_owned(), "holder_invalid", "holder"),
        (r#"{"holder":"alice","expiresIn":"soon"}"#.to_owned(), "duration_invalid", "expiresIn"),
        (r#"{"holder":"alice","expiresIn":"0s"}"#.to_owned(), "duration_invalid", "expiresIn"),
        (r#"{"holder":"alice","expiresIn":"9999999d"}"#.to_owned(), "duration_invalid", "expiresIn"),
        (r#"{"expiresIn":"1h"}"#.to_owned(), "field_missing", "holder"),
    ] {
        gateway.post("/v1/pipeline/pause", body).await.assert_problem(400, code, Some(field));
    }
    for (body, code, field) in
        [(r#"{"reason":"x"}"#, "field_unknown", "reason"), (r#"{"holder":"-"}"#, "holder_invalid", "holder")]
    {
        gateway.post("/v1/pipeline/resume", body).await.assert_problem(400, code, Some(field));
    }
    let request = Request::post("/v1/pipeline/pause").body(Body::from("{}")).unwrap();
    gateway.send(request).await.assert_problem(415, "content_type_unknown", Some("content-type"));
    assert_eq!(gateway.twin.lock().wishes, []);
}

#[tokio::test]
async fn a_wish_that_nobody_keeps_is_refused() {
    let gateway = gateway();
    gateway.twin.lock().wish_fails = Some(WishError::Fixed);
    gateway.post("/v1/pipeline/pause", "").await.assert_problem(409, "phase_fixed", None);
    gateway.twin.lock().wish_fails = Some(WishError::Full);
    gateway.post("/v1/pipeline/pause", "").await.assert_problem(409, "holders_too_many", Some("holder"));
    gateway.twin.lock().wish_fails = Some(WishError::File(std::io::Error::other("full")));
    gateway.post("/v1/pipeline/pause", "").await.assert_problem(503, "wish_unavailable", None);
    assert_eq!(gateway.twin.lock().wishes, []);
}

#[tokio::test]
async fn the_throughput_has_every_minute_and_the_pods_of_one_minute_added() {
    let gateway = gateway();
    gateway.get("/v1/metrics/throughput").await.assert_problem(503, "owner_unavailable", None);
    let newest = kpay_streams::clock::now_ms() / 60_000;
    let minute = |minute, latencies: &[(u64, u64)]| Minute {
        minute,
        count: latencies.iter().map(|(_, count)| count).sum(),
        value: [("USD".to_owned(), 5)].into(),
        latencies: latencies.to_vec(),
        largest: None,
    };
    // Ahead of this clock by two minutes, which stand for what may pass within the test as well.
    let told =
        vec![minute(newest - 5, &[(10, 1)]), minute(newest - 5, &[(20, 99)]), minute(newest + 2, &[(7, 1)])];
    gateway.twin.lock().minutes = Some(told);
    let got = gateway.get("/v1/metrics/throughput?windows=10").await.json();
    let windows = got["windows"].as_array().unwrap();
    assert_eq!(windows.len(), 10);
    let busy: Vec<&Value> = windows.iter().filter(|window| window["count"] != 0).collect();
    assert_eq!(
        (&busy[0]["count"], &busy[0]["value"], &busy[0]["seconds"]),
        (&json!(100), &json!({"USD": 10}), &json!(60))
    );
    assert_eq!(busy[0]["latencyMs"], json!({"p50": 20, "p99": 20, "p999": 20}));
    assert_eq!((busy.len(), &busy[1]["count"], busy[1]), (2, &json!(1), &windows[9]), "it counts as now");
    assert!(windows[0].get("latencyMs").is_none());
    for wrong in ["windows=0", "windows=61", "windows=x"] {
        let path = format!("/v1/metrics/throughput?{wrong}");
        gateway.get(&path).await.assert_problem(400, "parameter_invalid", Some("windows"));
    }
}
