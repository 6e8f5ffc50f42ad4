//! `/v1/generator`.

use super::*;

#[tokio::test]
async fn a_load_runs_to_its_end_and_is_counted() {
    let gateway = gateway();
    let idle = gateway.get("/v1/generator").await;
    assert_eq!(idle.json()["running"], false, "{}", idle.text);
    let body = r#"{"rate": 5000, "accounts": 2, "funding": 5, "count": 20, "run": "t"}"#;
    let got = gateway.post("/v1/generator", body).await;
    assert_eq!((got.status, got.json()["running"].as_bool()), (StatusCode::OK, Some(true)), "{}", got.text);
    let ended = ended(&gateway).await;
    assert_eq!(ended["counts"], json!({"taken": 22, "refused": 0, "failed": 0}));
    let appended = gateway.appended();
    assert_eq!(appended.len(), 22);
    assert!(
        appended.contains(&"open:acct-000001:5USD".to_owned())
            && appended.contains(&"t-000000019".to_owned())
    );
}

#[tokio::test]
async fn a_load_waits_for_the_intake_and_ends_when_it_is_stopped() {
    let gateway = gateway();
    gateway.phase.send_replace(Some(learned(Phase::Paused)));
    gateway.post("/v1/generator", r#"{"rate": 5000}"#).await;
    // At 5,000/s a hundred would be due by then.
    while gateway.get("/v1/generator").await.json()["elapsedMs"].as_u64() < Some(20) {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.appended().len(), 0, "while paused");
    gateway.phase.send_replace(Some(learned(Phase::Running)));
    while gateway.appended().is_empty() {
        tokio::task::yield_now().await;
    }
    let request = Request::delete("/v1/generator").body(Body::empty()).unwrap();
    assert_eq!(gateway.send(request).await.status, StatusCode::OK);
    ended(&gateway).await;
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_by_the_field() {
    let gateway = gateway();
    for (body, code, field) in [
        (r#"{"rate": 50001}"#, "generator_invalid", "rate"),
        (r#"{"burst": "60000:1s/2s"}"#, "generator_invalid", "rate"),
        (r#"{"accounts": 100001}"#, "generator_invalid", "accounts"),
        (r#"{"duration": "25h"}"#, "generator_invalid", "duration"),
        (r#"{"invalid": "lots"}"#, "generator_invalid", "invalid"),
        (r#"{"rat": 5}"#, "json_invalid", "body"),
        ("5", "json_invalid", "body"),
    ] {
        gateway.post("/v1/generator", body).await.assert_problem(400, code, Some(field));
    }
    assert_eq!(gateway.get("/v1/generator").await.json()["running"], false);
}

#[tokio::test]
async fn without_the_setting_there_is_none() {
    let gateway = gateway_without_generator();
    gateway.post("/v1/generator", "{}").await.assert_problem(403, "generator_off", None);
    gateway.get("/v1/generator").await.assert_problem(403, "generator_off", None);
}

async fn ended(gateway: &Gateway) -> Value {
    loop {
        let view = gateway.get("/v1/generator").await.json();
        if view["running"] == false {
            return view;
        }
        tokio::task::yield_now().await;
    }
}
