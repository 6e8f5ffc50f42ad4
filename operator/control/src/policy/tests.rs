//! What of a spec is followed live, and what each refusal says.

use kpay_domain::policy::{HOLD_EXPIRY_MS, WAITING_DEBITS_MAX};
use serde_json::{Value, json};

use super::*;

fn spec(extra: Value) -> PaymentPipelineSpec {
    let mut spec = json!({"kafka": {"bootstrapServers": "kafka:9092"}});
    if let (Some(target), Value::Object(extra)) = (spec.as_object_mut(), extra) {
        target.extend(extra);
    }
    serde_json::from_value(spec).expect("a spec")
}

#[test]
fn the_defaults_of_the_resource_are_those_of_the_domain() {
    let terms = terms(&spec(json!({}))).expect("valid");
    assert_eq!(terms.policy, Policy::new(Currency::new("USD").expect("USD")));
    assert_eq!(terms.policy.hold_expiry_ms, HOLD_EXPIRY_MS);
    assert_eq!(terms.policy.limits.waiting_debits_max, WAITING_DEBITS_MAX);
    assert_eq!((terms.intake_per_second, terms.slow_start_ms), (None, 4_000));
}

#[test]
fn every_field_reaches_the_policy() {
    let terms = terms(&spec(json!({
        "accounts": {"currency": "EUR", "overdraftFloor": -500, "holdExpiry": "2h"},
        "limits": {
            "perPayment": 1, "perAccountPerDay": 2, "paymentsPerAccountPerDay": 3, "lowestBalance": 4,
            "serialDebits": true, "waitingDebitsMax": 5, "intakePerSecond": 6, "slowStart": "0s",
        },
        "rules": [{"name": "large", "when": "payment.amount > 7", "action": "Hold", "message": "later"}],
    })))
    .expect("valid");
    let limits = Limits {
        per_payment_minor: Some(1),
        daily_outflow_minor: Some(2),
        daily_count: Some(3),
        lowest_balance_minor: Some(4),
        overdraft_minor: 500,
        serial_debits: true,
        waiting_debits_max: 5,
    };
    assert_eq!(terms.policy.limits, limits);
    assert_eq!((terms.policy.hold_expiry_ms, terms.intake_per_second), (7_200_000, Some(6)));
    assert_eq!(terms.slow_start_ms, 0, "off");
    assert_eq!(terms.policy.default_currency.as_str(), "EUR");
    let rule = terms.policy.rules.sources().first().expect("a rule");
    assert_eq!((rule.name.as_str(), rule.action), ("large", RuleAction::Hold));
    assert_eq!(rule.message.as_deref(), Some("later"));
}

#[test]
fn each_refusal_names_the_field_and_what_would_be_right() {
    let rule = |when| json!({"name": "large", "when": when, "action": "Reject"});
    for (extra, field, right) in [
        (json!({"accounts": {"currency": "usd"}}), "spec.accounts.currency", "such as USD"),
        (json!({"accounts": {"holdExpiry": "soon"}}), "spec.accounts.holdExpiry", "such as 5m"),
        (json!({"limits": {"slowStart": "slowly"}}), "spec.limits.slowStart", "such as 5m"),
        (json!({"accounts": {"overdraftFloor": 5}}), "spec.accounts.overdraftFloor", "such as -50000"),
        (json!({"accounts": {"overdraftFloor": i64::MIN}}), "spec.accounts.overdraftFloor", "lowest balance"),
        (json!({"limits": {"perPayment": 0}}), "spec.limits.perPayment", "1 or more"),
        (json!({"limits": {"perAccountPerDay": -1}}), "spec.limits.perAccountPerDay", "1 or more"),
        (json!({"limits": {"lowestBalance": -1}}), "spec.limits.lowestBalance", "0 or more"),
        (json!({"limits": {"intakePerSecond": 0}}), "spec.limits.intakePerSecond", "left out"),
        (json!({"limits": {"waitingDebitsMax": 0}}), "spec.limits.waitingDebitsMax", "1 or more"),
        (
            json!({"rules": [rule("payment.amount > 1"), {"name": "b", "when": "payee > 1", "action": "Hold"}]}),
            "spec.rules[1].when: rule \"b\" at 1:1",
            "unknown variable \"payee\"",
        ),
        (
            json!({"rules": [rule("payment.amount >")]}),
            "spec.rules[0].when: rule \"large\" at 1:17",
            "Syntax",
        ),
    ] {
        let refused = terms(&spec(extra)).expect_err(field);
        assert_eq!(refused.len(), 1, "{refused:?}");
        let text = refused[0].to_string();
        assert!(text.starts_with(field) && text.contains(right), "{text}");
    }
}
