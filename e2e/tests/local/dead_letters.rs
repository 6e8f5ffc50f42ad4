//! Dead letters by REST: list, show, replay.

use kpay::names::TopicName;
use kpay_domain::{Command, Intake};
use serde_json::json;

use super::*;

/// A payment of 250 from alice to bob.
fn debit() -> anyhow::Result<Vec<u8>> {
    let body = payment("p-1", "alice", "bob", 250).to_string();
    let intake = kpay_domain::intake::payment_from_json(body.as_bytes(), None)?;
    let Intake::Payment(payment) = intake else { anyhow::bail!("{intake:?} is no payment") };
    let mut bytes = Vec::new();
    Command::Debit { payment, accepted_at_ms: 1 }.encode(&mut bytes);
    Ok(bytes)
}

#[test]
fn a_dead_letter_is_shown_and_replayed_once_and_one_that_fails_again_has_its_history() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("letters", binary()?, MANIFEST)?;
    local.start()?;
    local.stop()?;
    local.append(TopicName::Incoming, "k", &[("content-type", "application/json")], b"{no json")?;
    local.start()?;
    let letters = local.rest.dead_letters(1)?;
    let id = letters[0]["id"].as_str().context("an id")?;
    let shown = local.rest.get(&format!("/v1/dead-letters/{id}"))?.body;
    assert_eq!((&shown["code"], &shown["stage"]), (&json!("json_invalid"), &json!("inflight")), "{shown}");
    assert_eq!(shown["source"]["topic"], "default.payments.payment.incoming");
    assert_eq!((&shown["value"]["text"], &shown["key"]), (&json!("{no json"), &json!("k")));
    assert_eq!(local.rest.replay(id)?, "replayed");
    assert_eq!(local.rest.replay(id)?, "already_replayed");
    let letters = local.rest.dead_letters(2)?;
    let again = letters[0]["id"].as_str().context("an id")?;
    local.kill();
    local.start()?;
    assert_eq!(local.rest.replay(id)?, "already_replayed", "over a restart");
    let shown = local.rest.get(&format!("/v1/dead-letters/{again}"))?.body;
    assert_eq!((&shown["replays"], &shown["code"]), (&json!(1), &json!("json_invalid")), "{shown}");
    assert_eq!((&shown["history"][0]["letter"], &shown["headers"]), (&json!(id), &letters_headers()));
    assert_eq!(shown["history"][0]["replayed"]["by"], "tester");
    local.stop()?;
    let report = local.audit(&Expected::new(&[], []))?;
    assert_eq!(report.letters, [("json_invalid".to_owned(), 2)].into());
    Ok(())
}

fn letters_headers() -> serde_json::Value {
    json!([{"name": "content-type", "text": "application/json"}])
}

#[test]
fn a_step_inside_the_pipeline_that_is_replayed_twice_moves_the_money_once() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = Local::create("steps", binary()?, MANIFEST)?;
    local.start()?;
    local.rest.open("alice", 1_000)?;
    local.rest.open("bob", 0)?;
    local.stop()?;
    // As if an older release could not read it.
    let letter = [
        ("kpay-dlq-code", "enum_unknown"),
        ("kpay-dlq-stage", "account"),
        ("kpay-dlq-topic", "default.payments.payment.inflight"),
    ];
    local.append(TopicName::Dlq, "alice", &letter, &debit()?)?;
    local.start()?;
    let letters = local.rest.dead_letters(1)?;
    let id = letters[0]["id"].as_str().context("an id")?;
    assert_eq!(local.rest.replay(id)?, "replayed");
    wait_for_outcome(&local.rest, "p-1")?;
    local.kill();
    local.start()?;
    assert_eq!(local.rest.replay(id)?, "already_replayed");
    let all = local.rest.post("/v1/dead-letters/replay", &json!({"by": "t", "reason": "r"}), None)?;
    assert_eq!((all.status, &all.body["replayed"]), (200, &json!([])), "{all:?}");
    local.rest.open("carol", 0)?;
    let balances = local.rest.balances(&["alice".to_owned(), "bob".to_owned()])?;
    assert_eq!(balances, [("alice".to_owned(), 750), ("bob".to_owned(), 250)].into());
    Ok(())
}
