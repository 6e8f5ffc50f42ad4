//! The table: requests in the order in which they are sent, each with how it ends. The accounts are made by it as well.

use anyhow::Context;
use kpay_domain::account::BALANCE_MAX;
use serde_json::{Value, json};

/// A request as JSON for payment.incoming, and how it ends.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// The header `kpay-kind`.
    pub(super) kind: &'static str,
    pub(super) body: Value,
    /// The status, the code, and the limit or the rule that the code speaks of.
    pub(super) ends: [&'static str; 3],
}

impl Case {
    /// Of the payment or of the command.
    pub(super) fn id(&self) -> anyhow::Result<String> {
        let id = self.body.get("commandId").or_else(|| self.body.get("id")).and_then(Value::as_str);
        Ok(id.with_context(|| format!("{self:?} has no id"))?.to_owned())
    }

    /// What it brings in from outside, in US dollars.
    pub(super) fn funds(&self) -> i128 {
        let minor = match self.kind {
            "account.open" => self.body.get("funding"),
            "account.fund" => self.body.pointer("/amount/value"),
            _ => None,
        };
        let confirmed = self.ends[0] == "confirmed";
        minor.and_then(Value::as_i64).filter(|_| confirmed).map_or(0, i128::from)
    }
}

const CONFIRMED: [&str; 3] = ["confirmed", "", ""];
const HELD: [&str; 3] = ["held", "", ""];

const fn rejected(code: &'static str) -> [&'static str; 3] {
    ["rejected", code, ""]
}

const fn reversed(code: &'static str) -> [&'static str; 3] {
    ["reversed", code, ""]
}

/// All cases, with accounts and ids of their own for each prefix.
pub(super) fn cases(prefix: &str) -> Vec<Case> {
    let all = [accounts(prefix), commands(prefix), payments(prefix), holds(prefix), refunds(prefix)];
    all.into_iter().flatten().collect()
}

fn open(prefix: &str, account: &str, currency: &str, funding: i64, ends: [&'static str; 3]) -> Case {
    let id = format!("{prefix}-open-{account}-{}", ends[1]);
    let body = json!({
        "id": format!("{prefix}-{account}"), "currency": currency, "funding": funding, "commandId": id
    });
    Case { kind: "account.open", body, ends }
}

/// A command to an account, with more fields than the id and the account.
fn command(kind: &'static str, prefix: &str, account: &str, more: Value, ends: [&'static str; 3]) -> Case {
    let verb = kind.trim_start_matches("account.");
    let mut body = more;
    body["id"] = json!(format!("{prefix}-{verb}-{account}-{}", ends[1]));
    body["account"] = json!(format!("{prefix}-{account}"));
    Case { kind, body, ends }
}

fn pay(prefix: &str, id: &str, [from, to]: [&str; 2], minor: i64, ends: [&'static str; 3]) -> Case {
    let body = json!({
        "id": format!("{prefix}-{id}"), "from": format!("{prefix}-{from}"), "to": format!("{prefix}-{to}"),
        "amount": {"value": minor, "currency": "USD"}
    });
    Case { kind: "payment", body, ends }
}

fn accounts(p: &str) -> Vec<Case> {
    let limits = |limits: Value| json!({"limits": limits});
    vec![
        open(p, "alice", "USD", 100_000, CONFIRMED),
        open(p, "bob", "USD", 0, CONFIRMED),
        open(p, "poor", "USD", 5, CONFIRMED),
        open(p, "full", "USD", BALANCE_MAX, CONFIRMED),
        open(p, "euro", "EUR", 0, CONFIRMED),
        open(p, "frozen", "USD", 100, CONFIRMED),
        open(p, "closed", "USD", 0, CONFIRMED),
        open(p, "outflow", "USD", 100, CONFIRMED),
        open(p, "count", "USD", 100, CONFIRMED),
        open(p, "lowest", "USD", 100, CONFIRMED),
        command("account.freeze", p, "bob", json!({}), CONFIRMED),
        command("account.unfreeze", p, "bob", json!({}), CONFIRMED),
        command("account.freeze", p, "frozen", json!({}), CONFIRMED),
        command("account.close", p, "closed", json!({}), CONFIRMED),
        command("account.limits", p, "outflow", limits(json!({"dailyOutflow": 50})), CONFIRMED),
        command("account.limits", p, "count", limits(json!({"dailyCount": 1})), CONFIRMED),
        command("account.limits", p, "lowest", limits(json!({"lowestBalance": 90})), CONFIRMED),
    ]
}

fn commands(p: &str) -> Vec<Case> {
    let fund = |minor: i64, currency: &str| json!({"amount": {"value": minor, "currency": currency}});
    let none = || json!({});
    vec![
        command("account.fund", p, "bob", fund(7, "USD"), CONFIRMED),
        command("account.fund", p, "bob", fund(0, "USD"), rejected("amount_not_positive")),
        command("account.fund", p, "bob", fund(1, "EUR"), rejected("currency_mismatch")),
        command("account.fund", p, "full", fund(1, "USD"), rejected("balance_overflow")),
        command("account.fund", p, "nobody", fund(1, "USD"), rejected("unknown_account")),
        open(p, "alice", "USD", 1, rejected("account_exists")),
        open(p, "new", "ZZZ", 1, rejected("currency_unknown")),
        command("account.freeze", p, "frozen", none(), rejected("account_frozen")),
        command("account.unfreeze", p, "alice", none(), rejected("account_not_frozen")),
        command("account.unfreeze", p, "closed", none(), rejected("account_closed")),
        command("account.close", p, "alice", none(), rejected("balance_not_zero")),
    ]
}

fn payments(p: &str) -> Vec<Case> {
    let pay = |id, between, minor, ends| pay(p, id, between, minor, ends);
    let exceeded = |limit| ["rejected", "limit_exceeded", limit];
    let with = |mut case: Case, path: &str, value: Value| {
        let (parent, name) = path.rsplit_once('/').expect("a path has a name");
        case.body.pointer_mut(parent).expect("the parent is there")[name] = value;
        case
    };
    vec![
        pay("paid", ["alice", "bob"], 100, CONFIRMED),
        pay("zero", ["alice", "bob"], 0, rejected("amount_not_positive")),
        pay("self", ["alice", "alice"], 1, rejected("same_account")),
        with(
            pay("unlisted", ["alice", "bob"], 1, rejected("currency_unknown")),
            "/amount/currency",
            json!("ZZZ"),
        ),
        pay("too-large", ["alice", "bob"], 5_001, exceeded("per_payment")),
        pay("from-nobody", ["nobody", "bob"], 1, rejected("unknown_account")),
        pay("from-closed", ["closed", "bob"], 1, rejected("account_closed")),
        pay("from-frozen", ["frozen", "bob"], 1, rejected("account_frozen")),
        with(
            pay("from-other", ["alice", "bob"], 1, rejected("currency_mismatch")),
            "/amount/currency",
            json!("EUR"),
        ),
        pay("from-poor", ["poor", "bob"], 6, rejected("insufficient_funds")),
        pay("from-lowest", ["lowest", "bob"], 11, exceeded("lowest_balance")),
        pay("from-outflow", ["outflow", "bob"], 51, exceeded("daily_outflow")),
        pay("from-count-1", ["count", "bob"], 1, CONFIRMED),
        pay("from-count-2", ["count", "bob"], 1, exceeded("daily_count")),
        with(
            pay("rule", ["alice", "bob"], 1, ["rejected", "rule_refused", "refused"]),
            "/attributes",
            json!({"rule": "refuse"}),
        ),
        pay("to-nobody", ["alice", "nobody"], 1, reversed("unknown_account")),
        pay("to-closed", ["alice", "closed"], 1, reversed("account_closed")),
        pay("to-frozen", ["alice", "frozen"], 1, reversed("account_frozen")),
        pay("to-euro", ["alice", "euro"], 1, reversed("currency_mismatch")),
        pay("to-full", ["alice", "full"], 1, reversed("balance_overflow")),
    ]
}

fn holds(p: &str) -> Vec<Case> {
    let hold = |id| {
        let mut case = pay(p, id, ["alice", "bob"], 10, HELD);
        case.body["attributes"] = json!({"rule": "hold"});
        case
    };
    let decide = |kind: &'static str, payment: &str, ends: [&'static str; 3]| {
        let id = format!("{p}-{}-{payment}", kind.replace("payment.", ""));
        let payment = format!("{p}-{payment}");
        let body = json!({
            "id": id, "account": format!("{p}-alice"), "payment": payment, "by": "carol", "why": "asked the customer"
        });
        Case { kind, body, ends }
    };
    vec![
        hold("expired"),
        decide("payment.expire", "expired", rejected("hold_not_expired")),
        hold("released"),
        decide("payment.release", "released", CONFIRMED),
        decide("payment.refuse", "released", rejected("hold_unknown")),
        hold("refused"),
        decide("payment.refuse", "refused", CONFIRMED),
    ]
}

/// Of `paid`, which moved 100 from alice to bob.
fn refunds(p: &str) -> Vec<Case> {
    let refund = |id, minor, ends| {
        let mut case = pay(p, id, ["bob", "alice"], minor, ends);
        case.body["refund"] = json!({"of": format!("{p}-paid"), "amount": 100});
        case
    };
    vec![
        refund("part", 60, CONFIRMED),
        refund("more", 41, rejected("refund_exceeds_payment")),
        refund("rest", 40, CONFIRMED),
    ]
}
