//! `/v1/pipeline`.

use super::*;

fn controls(json: &Value) -> Controls {
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
}

fn wish(desired: DesiredPhase, holder: Option<&str>, reason: Option<&str>) -> Wish {
    Wish { desired, holder: holder.map(str::to_owned), reason: reason.map(str::to_owned) }
}

#[tokio::test]
async fn a_pause_is_a_wish_with_who_and_why_and_a_resume_is_one_too() {
    let gateway = gateway();
    let body = r#"{"reason":"month's end","holder":"alice"}"#;
    let got = gateway.post("/v1/pipeline/pause", body).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    assert_eq!((&got.json()["phase"], &got.json()["desiredPhase"]), (&json!("Running"), &json!("Paused")));
    let bare = Request::post("/v1/pipeline/pause").body(Body::empty()).unwrap();
    assert_eq!(gateway.send(bare).await.status, StatusCode::ACCEPTED, "a body is not needed");
    let got = gateway.post("/v1/pipeline/resume", "").await;
    assert_eq!((got.status, &got.json()["desiredPhase"]), (StatusCode::ACCEPTED, &json!("Running")));
    let expected = [
        wish(DesiredPhase::Paused, Some("alice"), Some("month's end")),
        wish(DesiredPhase::Paused, None, None),
        wish(DesiredPhase::Running, None, None),
    ];
    assert_eq!(gateway.twin.lock().wishes, expected);
}

#[tokio::test]
async fn a_pause_that_cannot_be_read_names_the_field_and_wishes_nothing() {
    let gateway = gateway();
    for (body, code, field) in [
        ("{".to_owned(), "json_invalid", "body"),
        ("[]".to_owned(), "json_invalid", "body"),
        (r#"{"expiresIn":"1h"}"#.to_owned(), "field_unknown", "expiresIn"),
        (r#"{"reason":1}"#.to_owned(), "field_type", "reason"),
        (format!(r#"{{"reason":"{}"}}"#, "x".repeat(257)), "text_too_long", "reason"),
        (format!(r#"{{"holder":"{}"}}"#, "x".repeat(65)), "text_too_long", "holder"),
    ] {
        gateway.post("/v1/pipeline/pause", body).await.assert_problem(400, code, Some(field));
    }
    gateway.post("/v1/pipeline/resume", r#"{"reason":"x"}"#).await.assert_problem(
        400,
        "field_unknown",
        Some("reason"),
    );
    let request = Request::post("/v1/pipeline/pause").body(Body::from("{}")).unwrap();
    gateway.send(request).await.assert_problem(415, "content_type_unknown", Some("content-type"));
    assert_eq!(gateway.twin.lock().wishes, []);
}

#[tokio::test]
async fn a_wish_that_nobody_keeps_is_refused() {
    let gateway = gateway();
    gateway.twin.lock().wish_fails = Some(WishError::Fixed);
    gateway.post("/v1/pipeline/pause", "").await.assert_problem(409, "phase_fixed", None);
    gateway.twin.lock().wish_fails = Some(WishError::File(std::io::Error::other("full")));
    gateway.post("/v1/pipeline/pause", "").await.assert_problem(503, "wish_unavailable", None);
    assert_eq!(gateway.twin.lock().wishes, []);
}
