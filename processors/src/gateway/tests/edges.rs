//! What is the same for every route.

use super::*;

const BODY: &str = r#"{"id":"p-1","from":"a","to":"b","amount":{"value":1,"currency":"USD"}}"#;

#[tokio::test]
async fn a_large_body_is_413_and_the_next_payment_passes() {
    let gateway = gateway();
    let large = BODY.replace("p-1", &"p".repeat(2 * 1024 * 1024));
    gateway.post("/v1/payments", large).await.assert_problem(413, "body_too_large", Some("body"));
    let just_over = BODY.replace('{', &format!("{{{}", " ".repeat(256 * 1024)));
    gateway.post("/v1/accounts", just_over).await.assert_problem(413, "body_too_large", Some("body"));
    assert_eq!(gateway.post("/v1/payments", BODY).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_body_without_an_end_is_given_up() {
    let gateway = gateway();
    let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
    let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
    let got = gateway.post("/v1/payments", Body::from_stream(endless)).await;
    got.assert_problem(413, "body_too_large", Some("body"));
    let broken = futures::stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
    let got = gateway.post("/v1/payments", Body::from_stream(broken)).await;
    got.assert_problem(400, "body_incomplete", Some("body"));
}

#[tokio::test]
async fn only_plain_json_is_read() {
    let gateway = gateway();
    let request = || Request::post("/v1/payments");
    let requests = [
        request(),
        request().header("content-type", "application/x-www-form-urlencoded"),
        request().header("content-type", "text/json"),
        request().header("content-type", "application/json").header("content-encoding", "gzip"),
    ];
    for request in requests {
        let got = gateway.send(request.body(Body::from(BODY)).unwrap()).await;
        got.assert_problem(415, "content_type_unknown", Some("content-type"));
    }
    let request = request().header("content-type", "Application/JSON; charset=utf-8");
    let got = gateway.send(request.body(Body::from(BODY)).unwrap()).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let gateway = gateway();
    for path in ["/v1", "/v1/nothing", "/v2/payments", "/v1/payments/", "/internal/v1/payments/p-1"] {
        gateway.get(path).await.assert_problem(404, "route_unknown", None);
    }
    let got = gateway.get("/v1/payments").await;
    got.assert_problem(405, "method_not_allowed", None);
    assert_eq!(got.header("allow"), Some("POST"));
    let request = Request::delete("/v1/payments/p-1").body(Body::empty()).unwrap();
    gateway.send(request).await.assert_problem(405, "method_not_allowed", None);
}

#[tokio::test]
async fn the_root_says_what_is_served() {
    assert!(gateway().get("/").await.text.contains("/openapi.json"));
}

#[tokio::test]
async fn requests_are_counted_by_template_and_status() {
    let gateway = gateway();
    gateway.get("/v1/payments/p-1").await;
    gateway.get("/v1/payments/p-2").await;
    gateway.get("/nowhere").await;
    gateway.get("/v1/payments").await;
    let mut registry = prometheus_client::registry::Registry::with_prefix("kpay");
    gateway.status.metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        r#"kpay_gateway_requests_total{method="GET",route="/v1/payments/{id}",status="404"} 2"#,
        r#"kpay_gateway_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"kpay_gateway_requests_total{method="GET",route="/v1/payments",status="405"} 1"#,
        r#"kpay_gateway_request_duration_seconds_count{method="GET",route="/v1/payments/{id}"} 2"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("p-1"));
}

#[test]
fn every_operation_has_a_name_of_its_own() {
    let described: serde_json::Value = serde_json::from_str(&crate::gateway::openapi_json()).unwrap();
    let mut names = Vec::new();
    for (_, operations) in described["paths"].as_object().unwrap() {
        names.extend(operations.as_object().unwrap().values().map(|o| o["operationId"].as_str().unwrap()));
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), count), (count, 28), "{names:?}");
}

#[tokio::test]
async fn the_schema_of_what_is_published_is_served() {
    let served = gateway().get("/schemas/payment.confirmed.json").await;
    assert_eq!(served.header("content-type"), Some("application/schema+json"));
    assert!(served.json()["$id"].as_str().unwrap().ends_with("/schemas/payment.confirmed.json"));
}

/// `docs/openapi.json` is what the code says; `KPAY_BLESS=1` writes it anew.
#[tokio::test]
async fn openapi_in_the_docs_is_fresh_and_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let made = crate::gateway::openapi_json();
    if std::env::var_os("KPAY_BLESS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "docs/openapi.json is stale: KPAY_BLESS=1 cargo test -p kpay openapi");
    let served = gateway().get("/openapi.json").await;
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.text, made);
    let document = served.json();
    assert_eq!(document["openapi"], "3.1.0");
    for path in [
        "/v1/payments",
        "/v1/payments/{id}",
        "/v1/holds",
        "/v1/accounts",
        "/v1/accounts/{id}",
        "/v1/accounts/{id}/fund",
        "/v1/pipeline",
        "/v1/pipeline/pause",
        "/v1/pipeline/resume",
        "/v1/dead-letters",
        "/v1/dead-letters/{id}/replay",
        "/v1/events",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(document["components"]["schemas"]["Problem"].is_object());
}

#[tokio::test]
async fn every_json_answer_ends_with_a_newline() {
    let gateway = gateway();
    let posted = gateway.post("/v1/payments", BODY).await;
    gateway.answers(StageName::Confirmed, "p-2", Ok(found(&json!({"id": "p-2"}))));
    let mut texts = vec![posted.text];
    for path in ["/v1/payments/p-1", "/v1/payments/p-2", "/v1/pipeline", "/v1/nothing", "/openapi.json"] {
        texts.push(gateway.get(path).await.text);
    }
    for text in texts {
        assert!(text.ends_with("}\n") && !text.ends_with("\n\n"), "{text:?}");
    }
}
