//! Rules, holds, limits, refunds and serial debits by REST, over kills of the process.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay_e2e::local::Local;
use kpay_e2e::process::binary;
use kpay_e2e::rest::{Answer, payment};
use serde_json::{Value, json};

use super::rest::whole_list;
use super::{MANIFEST, turn};

/// Payments above 500 are held, and those to the casino refused; an account pays at most 5 times a day.
const TERMS: &str = "
  rules:
    - {name: casino, when: 'payment.to == \"casino\"', action: Reject}
    - {name: big, when: payment.amount > 500, action: Hold, message: We look at it.}
  limits: {perPayment: 5000, paymentsPerAccountPerDay: 5}
";

fn local(name: &str, terms: &str, accounts: &[(&str, i64)]) -> anyhow::Result<Local> {
    let mut local = Local::create(name, binary()?, &format!("{}{terms}", MANIFEST.trim_end()))?;
    local.start()?;
    for (account, funding) in accounts {
        local.rest.open(account, *funding)?;
    }
    Ok(local)
}

/// Looks until it is so, for at most a minute.
fn wait_until(what: &str, so: impl Fn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !so()? {
        ensure!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn pay(local: &Local, id: &str, to: &str, minor: i64) -> anyhow::Result<Answer> {
    let answer = local.rest.post("/v1/payments", &payment(id, "alice", to, minor), Some(30))?;
    ensure!(answer.status == 200, "{answer:?}");
    Ok(answer)
}

fn balance(local: &Local, account: &str) -> anyhow::Result<i64> {
    let answer = local.rest.get(&format!("/v1/accounts/{account}"))?;
    answer.body.get("balance").and_then(Value::as_i64).with_context(|| format!("{answer:?}"))
}

/// The ids of the held payments, a page of one at a time.
fn holds(local: &Local) -> anyhow::Result<Vec<String>> {
    let holds = whole_list(&local.rest, "/v1/holds?limit=1", "holds")?;
    Ok(holds.iter().map(|hold| hold["id"].as_str().unwrap_or_default().to_owned()).collect())
}

fn ended(answer: &Answer) -> (&str, &str) {
    (answer.text("status"), answer.text("reason"))
}

#[test]
fn a_held_payment_waits_over_a_kill_and_is_released_or_refused_once() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = local("holds", TERMS, &[("alice", 10_000), ("bob", 0), ("casino", 0)])?;
    let refused = pay(&local, "p-casino", "casino", 5)?;
    assert_eq!((ended(&refused), refused.text("rule")), (("rejected", "rule_refused"), "casino"));
    for id in ["p-1", "p-2"] {
        let held = pay(&local, id, "bob", 600)?;
        assert_eq!((held.text("status"), held.text("rule")), ("held", "big"), "{held:?}");
    }
    assert_eq!(balance(&local, "alice")?, 10_000, "what is held moves nothing");
    let in_flight = local.rest.get("/v1/pipeline")?;
    assert_eq!(in_flight.body.pointer("/inFlight/count"), Some(&json!(0)), "{in_flight:?}");
    local.kill();
    local.start()?;
    // The older one first.
    wait_until("both are listed", || Ok(holds(&local)? == ["p-1", "p-2"]))?;
    let listed = local.rest.get_patiently("/v1/holds")?;
    let first = listed.body.pointer("/holds/0").cloned().unwrap_or_default();
    let told = ["from", "to", "rule", "message"].map(|field| first[field].as_str().unwrap_or_default());
    assert_eq!(told, ["alice", "bob", "big", "We look at it."], "{listed:?}");
    assert_eq!(first["amount"], json!({"value": 600, "currency": "USD"}));
    assert!(first["heldAt"].as_str() < first["expiresAt"].as_str(), "{first}");
    let who = json!({"by": "carol", "why": "called the customer"});
    let unsaid = local.rest.post("/v1/payments/p-1/release", &json!({"by": "carol"}), None)?;
    assert_eq!((unsaid.status, unsaid.text("code")), (400, "field_missing"));
    for (id, verdict) in [("p-1", "release"), ("p-2", "refuse"), ("p-1", "release")] {
        let path = format!("/v1/payments/{id}/{verdict}");
        let answer = local.rest.post(&path, &who, Some(30))?;
        assert_eq!((answer.status, answer.text("status")), (200, "confirmed"), "{answer:?}");
    }
    wait_until("none is listed", || Ok(holds(&local)?.is_empty()))?;
    let late = local.rest.post("/v1/payments/p-2/release", &who, Some(30))?;
    assert_eq!(ended(&late), ("rejected", "hold_unknown"));
    let paid = local.rest.get("/v1/payments/p-1")?;
    assert_eq!((paid.text("status"), paid.body.pointer("/hold/by")), ("confirmed", Some(&json!("carol"))));
    assert_eq!(ended(&local.rest.get("/v1/payments/p-2")?), ("rejected", "hold_refused"));
    assert_eq!((balance(&local, "alice")?, balance(&local, "bob")?), (9_400, 600));
    let not_held = local.rest.post("/v1/payments/p-casino/release", &who, None)?;
    assert_eq!((not_held.status, not_held.text("code")), (409, "payment_not_held"));
    local.stop()
}

#[test]
fn a_hold_that_nobody_decides_ends_by_its_age() -> anyhow::Result<()> {
    let _turn = turn();
    let terms = TERMS.replace("\n  rules", "\n    holdExpiry: 1s\n  rules");
    let mut local = local("expiry", &terms, &[("alice", 10_000), ("bob", 0)])?;
    assert_eq!(pay(&local, "p-1", "bob", 600)?.text("status"), "held");
    wait_until("the hold ends", || Ok(local.rest.get("/v1/payments/p-1")?.text("reason") == "hold_expired"))?;
    assert_eq!(balance(&local, "alice")?, 10_000);
    local.stop()
}

#[test]
fn limits_are_met_exactly_and_an_account_may_have_its_own() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = local("limits", TERMS, &[("alice", 10_000), ("bob", 0)])?;
    let over = pay(&local, "p-over", "bob", 5_001)?;
    assert_eq!((ended(&over), over.text("limit")), (("rejected", "limit_exceeded"), "per_payment"));
    for number in 0..5 {
        assert_eq!(pay(&local, &format!("p-{number}"), "bob", 10)?.text("status"), "confirmed");
    }
    let sixth = pay(&local, "p-5", "bob", 10)?;
    assert_eq!((ended(&sixth), sixth.text("limit")), (("rejected", "limit_exceeded"), "daily_count"));
    local.kill();
    local.start()?;
    let limits = json!({"limits": {"dailyCount": 100, "dailyOutflow": 150, "overdraft": 0}});
    let set = local.rest.post("/v1/accounts/alice/limits", &limits, Some(30))?;
    assert_eq!((set.text("status"), set.text("kind")), ("confirmed", "account_limited"), "{set:?}");
    let account = local.rest.get("/v1/accounts/alice")?;
    assert_eq!(account.body.get("limits"), limits.get("limits"), "{account:?}");
    assert_eq!(pay(&local, "p-6", "bob", 100)?.text("status"), "confirmed");
    let more = pay(&local, "p-7", "bob", 1)?;
    assert_eq!((ended(&more), more.text("limit")), (("rejected", "limit_exceeded"), "daily_outflow"));
    local.stop()
}

#[test]
fn a_payment_is_given_back_in_parts_and_never_more_than_it_was() -> anyhow::Result<()> {
    let _turn = turn();
    let mut local = local("refunds", TERMS, &[("alice", 1_000), ("bob", 1_000)])?;
    assert_eq!(pay(&local, "p-1", "bob", 300)?.text("status"), "confirmed");
    let refund = |local: &Local, id: &str, minor: i64| {
        let body = json!({"id": id, "amount": {"value": minor}});
        local.rest.post("/v1/payments/p-1/refund", &body, Some(30))
    };
    let first = refund(&local, "r-1", 200)?;
    assert_eq!((first.text("status"), first.text("refundOf")), ("confirmed", "p-1"), "{first:?}");
    assert_eq!(refund(&local, "r-1", 200)?.text("status"), "confirmed", "a copy");
    local.kill();
    local.start()?;
    assert_eq!(ended(&refund(&local, "r-2", 101)?), ("rejected", "refund_exceeds_payment"));
    assert_eq!(refund(&local, "r-3", 100)?.text("status"), "confirmed");
    assert_eq!((balance(&local, "alice")?, balance(&local, "bob")?), (1_000, 1_000));
    let of_refund = local.rest.post("/v1/payments/r-1/refund", &json!({}), None)?;
    assert_eq!((of_refund.status, of_refund.text("code")), (409, "payment_not_refundable"));
    let unknown = local.rest.post("/v1/payments/p-nobody/refund", &json!({}), None)?;
    assert_eq!((unknown.status, unknown.text("code")), (404, "payment_unknown"));
    local.stop()
}

#[test]
fn serial_debits_of_one_account_are_confirmed_in_their_order() -> anyhow::Result<()> {
    let _turn = turn();
    let terms = "\n  limits: {serialDebits: true}\n";
    let mut local = local("serial", terms, &[("alice", 1_000), ("bob", 0), ("carol", 0)])?;
    for number in 0..40 {
        let to = if number % 2 == 0 { "bob" } else { "carol" };
        let body = payment(&format!("p-{number:02}"), "alice", to, 10);
        let answer = local.rest.post("/v1/payments", &body, None)?;
        ensure!(answer.status == 202, "{answer:?}");
        if number == 20 {
            local.kill();
            local.start()?;
        }
    }
    wait_until("all are paid", || Ok(balance(&local, "alice")? == 600))?;
    assert_eq!((balance(&local, "bob")?, balance(&local, "carol")?), (200, 200));
    local.stop()
}
