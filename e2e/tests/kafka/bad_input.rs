//! What cannot be read, and what breaks a rule: each has its own clear answer, and the next payment passes.

use kpay_domain::{AccountId, Attributes, Currency, Intake, Money, Payment, PaymentId};
use kpay_e2e::auditor::books::Raw;
use kpay_e2e::auditor::record::Ending;
use kpay_e2e::load::{self, account};
use kpay_e2e::rest::payment;
use serde_json::json;

use crate::world::{World, broker, bytes, turn};

const ACCOUNTS: u64 = 10;
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The code of the dead letter, and the headers and the bytes of the record.
type Poison = (&'static str, &'static [(&'static str, &'static str)], Vec<u8>);

fn pay(id: &str, from: &str, to: &str, minor: i64, currency: &str) -> anyhow::Result<Intake> {
    Ok(Intake::Payment(Payment {
        id: PaymentId::new(id)?,
        from: AccountId::new(from)?,
        to: AccountId::new(to)?,
        amount: Money::new(minor, Currency::new(currency)?),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    }))
}

#[test]
fn a_record_that_cannot_be_read_is_one_dead_letter_and_the_next_payment_passes() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "poison.", ACCOUNTS)?;
    let a = account(0)?;
    let payment_json = |id: &str, amount: &str| {
        format!(
            r#"{{"id":"{id}","from":"{a}","to":"acct-000001","amount":{{"value":{amount},"currency":"USD"}}}}"#
        )
    };
    // Just below what the broker takes, and of bytes that do not compress.
    let large: Vec<u8> = (0..1_048_000_u64).map(|n| load::spread(n).to_le_bytes()[0]).collect();
    let first = pay("poison-first", a.as_str(), "acct-000001", 5, "USD")?;
    world.send(&first)?;
    world.finish()?;
    let other_body = bytes(&pay("poison-first", a.as_str(), "acct-000001", 6, "USD")?);
    let poisons: Vec<Poison> = vec![
        ("protobuf_invalid", &[], b"\x0a\xff\xff\xff\xff\x0f no protobuf".to_vec()),
        ("json_invalid", &JSON, br#"{"id": "x", "#.to_vec()),
        ("content_type_unknown", &[("content-type", "text/xml")], b"<payment/>".to_vec()),
        ("record_too_large", &[], large),
        ("record_empty", &[], Vec::new()),
        ("kind_unknown", &[JSON[0], ("kpay-kind", "refund")], b"{}".to_vec()),
        ("amount_out_of_range", &JSON, payment_json("over", "9223372036854775808").into_bytes()),
        ("amount_not_integer", &JSON, payment_json("half", "1.5").into_bytes()),
        ("id_invalid", &JSON, payment_json("no spaces please", "1").into_bytes()),
        ("idempotency_conflict", &[], other_body),
    ];
    for (number, (code, headers, value)) in (0..).zip(&poisons) {
        let next = load::payment("poison", number, ACCOUNTS)?;
        // In the partition of the payment that comes after it; a conflict where the first one lies.
        let id = if *code == "idempotency_conflict" { "poison-first" } else { next.id().as_str() };
        let partition = world.appender.partition_of(id);
        world.appender.append_raw(Some("poison"), Some(partition), headers, value)?;
        world.send(&next)?;
        world.finish()?;
    }
    world.audit_with_rest()?;
    let letters = world.letters()?;
    let found: Vec<&str> = letters.iter().filter_map(|l| l.header_text("kpay-dlq-code")).collect();
    let mut wanted: Vec<&str> = poisons.iter().map(|(code, _, _)| *code).collect();
    let mut sorted = found.clone();
    sorted.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted);
    for (code, headers, value) in &poisons {
        let of_code = |l: &&Raw| l.header_text("kpay-dlq-code") == Some(*code);
        let letter = letters.iter().find(of_code).expect("counted above");
        assert!(letter.value == *value, "{code}: the bytes are not those that came");
        assert!(letter.header_text("kpay-dlq-detail").is_some_and(|d| !d.is_empty()), "{code}");
        assert_eq!(letter.header_text("kpay-dlq-stage"), Some("inflight"), "{code}");
        for (name, header) in *headers {
            assert_eq!(letter.header_text(name), Some(*header), "{code}");
        }
    }
    Ok(())
}

#[test]
fn a_payment_that_breaks_a_rule_has_an_outcome_with_the_reason() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "rules.", ACCOUNTS)?;
    let (a, b) = ("acct-000000", "acct-000001");
    let cases = [
        ("wrong-currency", pay("wrong-currency", a, b, 5, "EUR")?, Ending::Rejected, "currency_mismatch"),
        ("no-payer", pay("no-payer", "nobody", b, 5, "USD")?, Ending::Rejected, "unknown_account"),
        ("no-payee", pay("no-payee", a, "nobody", 5, "USD")?, Ending::Reversed, "unknown_account"),
        ("zero", pay("zero", a, b, 0, "USD")?, Ending::Rejected, "amount_not_positive"),
        ("negative", pay("negative", a, b, -5, "USD")?, Ending::Rejected, "amount_not_positive"),
        ("smallest", pay("smallest", a, b, i64::MIN, "USD")?, Ending::Rejected, "amount_not_positive"),
        ("largest", pay("largest", a, b, i64::MAX, "USD")?, Ending::Rejected, "insufficient_funds"),
        ("self", pay("self", a, a, 5, "USD")?, Ending::Rejected, "same_account"),
        ("not-listed", pay("not-listed", a, b, 5, "ZZZ")?, Ending::Rejected, "currency_unknown"),
    ];
    for (_, intake, _, _) in &cases {
        world.send(intake)?;
    }
    let rest = world.rest()?;
    let fund = json!({"id": "overflow", "amount": {"value": i64::MAX, "currency": "USD"}});
    let answer = rest.post(&format!("/v1/accounts/{a}/fund"), &fund, Some(30))?;
    assert_eq!(
        (answer.text("status"), answer.text("reason")),
        ("rejected", "balance_overflow"),
        "{answer:?}"
    );
    world.send(&load::payment("after", 0, ACCOUNTS)?)?;
    let report = world.audit_with_rest()?;
    for (id, _, ending, reason) in cases {
        let outcome = &report.outcomes[id];
        assert_eq!((outcome.ending, outcome.reason.as_str()), (ending, reason), "{id}");
    }
    assert_eq!(report.outcomes["after-000000000"].ending, Ending::Confirmed);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}

#[test]
fn a_bad_request_has_its_own_status_and_code_and_the_next_payment_passes() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "requests.", ACCOUNTS)?;
    let rest = world.rest()?;
    let (a, b) = ("acct-000000", "acct-000001");
    let euro = |minor: i64, currency: &str| {
        let amount = json!({"value": minor, "currency": currency});
        json!({"id": "r", "from": a, "to": b, "amount": amount}).to_string().into_bytes()
    };
    let dollars = |minor: i64| payment("r", a, b, minor).to_string().into_bytes();
    let over = format!(
        r#"{{"id":"r","from":"{a}","to":"{b}","amount":{{"value":9223372036854775808,"currency":"USD"}}}}"#
    );
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (br#"{"id": "x", "#.to_vec(), 400, "json_invalid"),
        (b"{}".to_vec(), 400, "field_missing"),
        (over.into_bytes(), 400, "amount_out_of_range"),
        (euro(5, "usd"), 400, "currency_invalid"),
        (dollars(0), 422, "amount_not_positive"),
        (dollars(-5), 422, "amount_not_positive"),
        (euro(5, "ZZZ"), 422, "currency_unknown"),
        (payment("r", a, a, 5).to_string().into_bytes(), 422, "same_account"),
        (vec![b' '; 2 * 1024 * 1024], 413, "body_too_large"),
    ];
    for (body, status, code) in cases {
        let answer = rest.post_bytes("/v1/payments", body, None)?;
        assert_eq!((answer.status, answer.text("code")), (status, code), "{answer:?}");
    }
    assert_eq!(rest.get("/v1/payments/never-sent")?.status, 404);
    assert_eq!(rest.get("/v1/accounts/nobody")?.status, 404);
    let answer = rest.post("/v1/payments", &payment("good", a, b, 5), Some(30))?;
    assert_eq!((answer.status, answer.text("status")), (200, "confirmed"), "{answer:?}");
    // Nothing of what was refused has come in.
    world.ids.insert("good".to_owned());
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), usize::try_from(ACCOUNTS)? + 1);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}
