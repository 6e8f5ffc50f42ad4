//! What cannot be read: a dead letter of the topic, a refusal of the gateway.

use kpay_e2e::rest::payment;
use serde_json::{Value, json};

use super::JSON;
use crate::world::World;

/// The code of the dead letter; the status and the code by REST, where the same can be sent; headers and bytes.
type Letter = (&'static str, Option<(u16, &'static str)>, Vec<(&'static str, &'static str)>, Vec<u8>);

fn letters() -> Vec<Letter> {
    let with = |path: &str, value: Value| {
        let mut body = payment("unreadable", "topic-alice", "topic-bob", 5);
        let (parent, name) = path.rsplit_once('/').expect("a path has a name");
        body.pointer_mut(parent).expect("the parent is there")[name] = value;
        body.to_string().into_bytes()
    };
    let json = |code, bytes: Vec<u8>| (code, Some((400, code)), vec![JSON], bytes);
    let many: serde_json::Map<String, Value> = (0..17).map(|n| (format!("k{n}"), json!("v"))).collect();
    let conflict = |payee: &str| payment("topic-paid", "topic-alice", payee, 99).to_string().into_bytes();
    vec![
        json("json_invalid", br#"{"id": "x", "#.to_vec()),
        json("field_missing", with("/to", Value::Null)),
        json("field_type", with("/to", json!(5))),
        json("id_invalid", with("/id", json!("no spaces please"))),
        json("currency_invalid", with("/amount/currency", json!("usd"))),
        json("amount_not_integer", with("/amount/value", json!(1.5))),
        json("amount_out_of_range", with("/amount/value", json!(9_223_372_036_854_775_808_u64))),
        json("text_too_long", with("/reference", json!("x".repeat(257)))),
        json("attributes_too_many", with("/attributes", Value::Object(many))),
        json("attribute_key_invalid", with("/attributes", json!({"": "v"}))),
        ("idempotency_conflict", Some((409, "idempotency_conflict")), vec![JSON], conflict("topic-bob")),
        ("record_too_large", Some((413, "body_too_large")), vec![JSON], vec![b' '; 300 * 1024]),
        // REST takes JSON alone, and the path says what it is.
        ("protobuf_invalid", None, vec![], b"\x0a\xff\xff\xff\xff\x0f no protobuf".to_vec()),
        ("content_type_unknown", None, vec![("content-type", "text/xml")], b"<payment/>".to_vec()),
        ("kind_unknown", None, vec![JSON, ("kpay-kind", "refund")], b"{}".to_vec()),
        ("record_empty", None, vec![], Vec::new()),
    ]
}

/// Sends them both ways, and returns the codes of the dead letters, each of which has to come once, in order.
pub(super) fn send(world: &mut World) -> anyhow::Result<Vec<&'static str>> {
    let mut codes = Vec::new();
    for (code, by_rest, headers, bytes) in letters() {
        if let Some(expected) = by_rest {
            let answer = world.rest.post_bytes("/v1/payments", bytes.clone(), None)?;
            assert_eq!((answer.status, answer.text("code")), expected, "{code}: {answer:?}");
        }
        // Under the id of the payment that it is in conflict with; where the others lie is all the same.
        world.appender.append_raw(Some("topic-paid"), None, &headers, &bytes)?;
        codes.push(code);
    }
    world.appender.flush()?;
    let letters = world.rest.dead_letters(codes.len())?;
    anyhow::ensure!(letters.len() == codes.len(), "{letters:?}");
    codes.sort_unstable();
    Ok(codes)
}
