//! That what an operation is described with is what it answers.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::Method;
use futures::stream;

use super::*;
use crate::gateway::codes::{CODES, of};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&crate::gateway::openapi_json()).unwrap());

/// Every operation: method, path and description.
fn operations() -> impl Iterator<Item = (Method, &'static str, &'static Value)> {
    let paths = DOCUMENT["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, described)| {
            (method.to_uppercase().parse().unwrap(), path.as_str(), described)
        })
    })
}

fn id(described: &Value) -> &str {
    described["operationId"].as_str().unwrap()
}

/// The operation that a request is for.
pub(super) fn operation(method: &Method, path: &str) -> Option<String> {
    let takes = |template: &str| {
        let (one, other) = (template.split('/'), path.split('/'));
        one.clone().count() == other.clone().count()
            && one.zip(other).all(|(part, given)| part == given || (part == "{id}" && !given.is_empty()))
    };
    let mut found: Vec<_> =
        operations().filter(|(of, template, _)| of == method && takes(template)).collect();
    // A path without a parameter goes first.
    found.sort_by_key(|(_, template, _)| template.contains('{'));
    found.first().map(|(.., described)| id(described).to_owned())
}

#[track_caller]
pub(super) fn assert_described(operation: Option<&str>, got: &Got) {
    if got.header("content-type") != Some("application/problem+json") {
        return;
    }
    let code = got.json()["code"].as_str().unwrap().to_owned();
    let Some(operation) = operation else {
        assert!(["route_unknown", "method_not_allowed"].contains(&code.as_str()), "{code}");
        return;
    };
    assert!(of(operation).any(|described| described == code), "{operation} answers {code}, undescribed");
    let status = CODES.iter().find(|(known, ..)| *known == code).map(|(_, status, _)| *status);
    assert_eq!(status, Some(got.status.as_u16()), "{code}");
}

/// The codes in the description, as a client reads them.
fn described_codes(described: &Value) -> BTreeSet<&str> {
    let responses = described["responses"].as_object().unwrap().values();
    let codes = responses.filter_map(|response| {
        let schema = &response["content"]["application/problem+json"]["schema"];
        schema["allOf"][1]["properties"]["code"]["enum"].as_array()
    });
    codes.flatten().map(|code| code.as_str().unwrap()).collect()
}

#[test]
fn every_operation_has_codes_and_every_code_an_operation() {
    let mut used = BTreeSet::new();
    for (_, path, described) in operations() {
        let codes: Vec<_> = of(id(described)).collect();
        assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len(), "{path}: one is there twice");
        assert_eq!(described_codes(described), codes.iter().copied().collect(), "{path}");
        used.extend(codes);
    }
    assert_eq!(used, CODES.iter().map(|(code, ..)| *code).collect::<BTreeSet<_>>());
    assert!(CODES.iter().map(|(code, status, _)| (status, code)).is_sorted());
}

/// The body that the description gives as an example; none for an operation without a body.
fn example(described: &Value) -> Option<Value> {
    let schema = described.pointer("/requestBody/content/application~1json/schema")?;
    let reference = schema["$ref"].as_str().or(schema["oneOf"][0]["$ref"].as_str())?;
    Some(DOCUMENT.pointer(reference.strip_prefix('#')?).unwrap()["example"].clone())
}

/// A gateway of which every operation gets to its end with the example: `p-1` is held, `p-2` paid, `alice` open.
fn ready() -> Gateway {
    let gateway = gateway();
    let paid = json!({
        "id": "p-2", "status": "confirmed", "from": "alice", "to": "bob",
        "amount": {"value": 500, "currency": "USD"}, "timeline": [],
    });
    let hold = json!({"rule": "big", "expiresAt": "2026-11-30T12:00:00.000Z"});
    let mut waits = paid.clone();
    waits["status"] = "held".into();
    waits["hold"] = hold;
    gateway.answers(StageName::Confirmed, "p-1", Ok(found(&waits)));
    gateway.answers(StageName::Confirmed, "p-2", Ok(found(&paid)));
    gateway.answers(StageName::Account, "alice", Ok(found(&json!({"id": "alice"}))));
    gateway
}

fn filled(path: &str, described: &Value) -> String {
    let of = match (id(described), path.split('/').nth(2)) {
        ("refund_payment", _) => "p-2",
        (_, Some("accounts")) => "alice",
        (_, Some("dead-letters")) => "0-0",
        _ => "p-1",
    };
    path.replace("{id}", of)
}

fn request(method: &Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method.clone()).uri(path);
    request.header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()
}

fn code(got: &Got) -> String {
    serde_json::from_str::<Value>(&got.text).map_or_else(|_| String::new(), |json| json["code"].to_string())
}

/// Sends what `make` makes of each operation that it makes anything of, and expects `expected` of those that are described
/// with it, and of no other.
async fn probe(
    expected: &str,
    prepare: impl Fn(&Gateway),
    make: impl Fn(&Method, &str, &Value) -> Option<Request<Body>>,
) {
    let mut answered = 0;
    for (method, path, described) in operations() {
        // It has no end.
        let Some(request) =
            make(&method, &filled(path, described), described).filter(|_| id(described) != "follow_pipeline")
        else {
            continue;
        };
        let gateway = ready();
        prepare(&gateway);
        let got = gateway.send(request).await;
        let is = code(&got) == format!("\"{expected}\"");
        answered += usize::from(is);
        let described_with = of(id(described)).any(|code| code == expected);
        assert_eq!(is, described_with, "{method} {path}, {expected}: {}", got.text);
    }
    assert!(answered > 0, "{expected}: nobody answers it");
}

/// An operation with a body, sent this one.
fn with_body(body: &'static str) -> impl Fn(&Method, &str, &Value) -> Option<Request<Body>> {
    move |method, path, described| {
        let takes = described.get("requestBody").is_some();
        takes.then(|| request(method, path, body))
    }
}

/// Any operation, sent its example.
#[allow(clippy::unnecessary_wraps)] // the form of a probe
fn as_it_should_be(method: &Method, path: &str, described: &Value) -> Option<Request<Body>> {
    let body = example(described).map_or_else(Body::empty, |example| Body::from(example.to_string()));
    Some(request(method, path, body))
}

fn nothing(_: &Gateway) {}

#[tokio::test]
async fn the_example_of_every_operation_is_taken() {
    for (method, path, described) in operations().filter(|(.., described)| id(described) != "follow_pipeline")
    {
        let gateway = ready();
        // Lists, figures and letters have nobody to ask here.
        let got = gateway.send(as_it_should_be(&method, &filled(path, described), described).unwrap()).await;
        let asks = ["owner_unavailable", "letter_unknown"].iter().any(|code| got.text.contains(code));
        assert!(got.status.is_success() || asks, "{method} {path}: {}", got.text);
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object() {
    probe("json_invalid", nothing, with_body("{")).await;
}

#[tokio::test]
async fn a_body_with_an_unknown_field() {
    // The generator's own reader calls it unreadable, and that of the dead letters passes it over.
    probe("field_unknown", nothing, with_body(r#"{"nonsense": 1}"#)).await;
}

#[tokio::test]
async fn a_body_of_no_bytes() {
    probe("record_empty", nothing, with_body("")).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_breaks_off_or_is_none_of_json() {
    let takes = |described: &Value| described.get("requestBody").is_some();
    probe("body_too_large", nothing, |method, path, described| {
        takes(described).then(|| request(method, path, vec![b' '; 300 * 1024]))
    })
    .await;
    probe("body_incomplete", nothing, |method, path, described| {
        let broken = stream::iter([Ok(Bytes::from("{")), Err(std::io::Error::other("gone"))]);
        takes(described).then(|| request(method, path, Body::from_stream(broken)))
    })
    .await;
    probe("content_type_unknown", nothing, |method, path, described| {
        let plain = Request::builder().method(method.clone()).uri(path).body(Body::from("{}"));
        takes(described).then(|| plain.unwrap())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end() {
    probe("timed_out", nothing, |method, path, described| {
        let endless = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        described.get("requestBody").map(|_| request(method, path, endless))
    })
    .await;
}

#[tokio::test]
async fn an_id_in_the_path_that_can_be_nobodys() {
    let of_path = |path: &str| path.replace("/p-1", "/%20").replace("/p-2", "/%20").replace("/alice", "/%20");
    probe("id_invalid", nothing, |method, path, described| {
        let wrong = of_path(path).replace("/0-0", "/%20");
        (wrong != *path).then(|| as_it_should_be(method, &wrong, described)).flatten()
    })
    .await;
}

#[tokio::test]
async fn parameters_that_are_unknown_or_wrong() {
    let get = |path: String| Request::get(path).body(Body::empty()).unwrap();
    let lists = |described: &Value| {
        described["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["in"] == "query"))
    };
    probe("parameter_invalid", nothing, |_, path, described| {
        let name = if id(described) == "get_throughput" { "windows" } else { "limit" };
        lists(described).then(|| get(format!("{path}?{name}=0")))
    })
    .await;
    probe("parameter_unknown", nothing, |_, path, described| {
        lists(described).then(|| get(format!("{path}?nonsense=0")))
    })
    .await;
}

#[tokio::test]
async fn a_log_that_takes_nothing_owners_that_do_not_answer_and_wishes_that_nobody_keeps() {
    probe("kafka_unavailable", |gateway| gateway.twin.lock().append_fails = true, as_it_should_be).await;
    let closed = |gateway: &Gateway| {
        let paused = Learned { rejects_while_closed: true, ..learned(Phase::Paused) };
        gateway.phase.send_replace(Some(paused));
    };
    probe("intake_closed", closed, as_it_should_be).await;
    probe("owner_unavailable", |gateway| gateway.twin.lock().unreachable = true, as_it_should_be).await;
    let fails =
        |error: fn() -> WishError| move |gateway: &Gateway| gateway.twin.lock().wish_fails = Some(error());
    probe("wish_unavailable", fails(|| WishError::File(std::io::Error::other("full"))), as_it_should_be)
        .await;
    probe("phase_fixed", fails(|| WishError::Fixed), as_it_should_be).await;
}

#[test]
#[should_panic(expected = "undescribed")]
fn a_code_that_is_not_described_is_found() {
    let headers = [(header::CONTENT_TYPE, "application/problem+json".parse().unwrap())].into_iter().collect();
    let text = "{\"code\": \"letter_unknown\"}\n".to_owned();
    assert_described(Some("get_payment"), &Got { status: StatusCode::NOT_FOUND, headers, text });
}
