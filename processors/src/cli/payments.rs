//! `kpay pay` and `kpay payment`. Only I/O.

use kpay_domain::Money;
use serde_json::{Value, json};

use super::args::{AmountArgs, HoldArgs, PayArgs, PaymentCommand};
use super::client::{Answer, percent};
use super::exit::{CliError, Exit};
use super::list::{self, List};
use super::print::{Column, cell, left, money, right};
use super::{Context, amount, new_id, object};

const HOLDS: &[Column] =
    &[left("ID"), left("FROM"), left("TO"), right("AMOUNT"), left("RULE"), left("HELD"), left("EXPIRES")];

/// Makes a payment.
pub(super) async fn pay(context: &Context, args: &PayArgs) -> Result<Exit, CliError> {
    let amount = read_amount(&args.amount)?;
    let id = args.id.clone().unwrap_or_else(new_id);
    let attributes: serde_json::Map<String, Value> =
        args.attributes.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    let body = object([
        ("id", Some(id.clone().into())),
        ("from", Some(args.from.clone().into())),
        ("to", Some(args.to.clone().into())),
        ("amount", Some(money_json(amount))),
        ("reference", args.reference.clone().map(Value::from)),
        ("attributes", (!attributes.is_empty()).then_some(Value::Object(attributes))),
    ]);
    let made = args.id.is_none().then_some(id.as_str());
    command(context, "/v1/payments", &body, made, args.wait.seconds()).await
}

/// Looks at a payment, or decides on it.
pub(super) async fn run(context: &Context, command_: &PaymentCommand) -> Result<Exit, CliError> {
    match command_ {
        PaymentCommand::Get { id } => {
            let answer = context.gateway.get(&path(id), &[]).await?;
            show(context, &answer)?;
            Ok(Exit::Done)
        }
        PaymentCommand::Refund { id, refund_id, amount: part, currency, minor, wait } => {
            let part = match part {
                Some(text) => Some(read(text, currency.as_deref(), *minor)?),
                None => None,
            };
            let own = refund_id.clone().unwrap_or_else(new_id);
            let body = object([("id", Some(own.clone().into())), ("amount", part.map(money_json))]);
            let made = refund_id.is_none().then_some(own.as_str());
            command(context, &format!("{}/refund", path(id)), &body, made, wait.seconds()).await
        }
        PaymentCommand::Holds(args) => {
            let list = List {
                path: "/v1/holds".to_owned(),
                filter: Vec::new(),
                items: "holds",
                columns: HOLDS,
                row: &hold_row,
            };
            list::show(context, args, &list).await
        }
        PaymentCommand::Release(hold) => decide(context, hold, "release").await,
        PaymentCommand::Refuse(hold) => decide(context, hold, "refuse").await,
    }
}

fn hold_row(hold: &Value) -> Vec<String> {
    let text = |field| cell(hold, field);
    let amount = money(hold.get("amount"), None);
    vec![text("id"), text("from"), text("to"), amount, text("rule"), text("heldAt"), text("expiresAt")]
}

async fn decide(context: &Context, hold: &HoldArgs, to: &str) -> Result<Exit, CliError> {
    let body = json!({"by": hold.by, "why": hold.why});
    let path = format!("{}/{to}", path(&hold.id));
    let answer = context.gateway.post_json(&path, &body, hold.wait.seconds()).await?;
    show(context, &answer)?;
    // A payment that is refused ends rejected: here that is what was asked for.
    let asked = to == "refuse" && answer.text("status") == "rejected";
    Ok(if asked { Exit::Done } else { exit(&answer, hold.wait.seconds()) })
}

fn path(id: &str) -> String {
    format!("/v1/payments/{}", percent(id))
}

/// Posts what has an id and an outcome. `made` is an id that the caller does not know yet.
pub(super) async fn command(
    context: &Context,
    path: &str,
    body: &Value,
    made: Option<&str>,
    wait_s: Option<u64>,
) -> Result<Exit, CliError> {
    let sent = context.gateway.post_json(path, body, wait_s).await;
    if let (Err(error), Some(id)) = (&sent, made)
        && error.may_pass()
    {
        // Whether it was taken in is not known: with the id it can be asked again without doing it twice.
        eprintln!("the id was {id}: give it with the same command again");
    }
    let answer = sent?;
    show(context, &answer)?;
    Ok(exit(&answer, wait_s))
}

/// Taken in is enough for who does not wait.
pub(super) fn exit(answer: &Answer, wait_s: Option<u64>) -> Exit {
    match Exit::of_outcome(answer.text("status")) {
        Exit::Again if wait_s.is_none() => Exit::Done,
        exit => exit,
    }
}

/// Shows a payment or an account command.
pub(super) fn show(context: &Context, answer: &Answer) -> Result<(), CliError> {
    let body = &answer.body;
    let mut fields = vec![
        ("id", cell(body, "id")),
        ("kind", cell(body, "kind")),
        ("status", cell(body, "status")),
        ("reason", cell(body, "reason")),
        ("from", cell(body, "from")),
        ("to", cell(body, "to")),
        ("account", cell(body, "account")),
        ("amount", money(body.get("amount"), None)),
        ("reference", cell(body, "reference")),
        ("command", cell(body, "commandId")),
        ("note", cell(body, "note")),
    ];
    let pairs = body.get("attributes").and_then(Value::as_object).into_iter().flatten();
    fields.extend(
        pairs.map(|(key, value)| ("attribute", format!("{key}={}", value.as_str().unwrap_or_default()))),
    );
    let steps = body.get("timeline").and_then(Value::as_array).into_iter().flatten();
    fields.extend(steps.map(|step| ("at", format!("{} {}", cell(step, "at"), cell(step, "step")))));
    Ok(context.printer.one(&answer.raw, &fields)?)
}

/// The amount of `--amount`, `--currency` and `--minor`.
pub(super) fn read_amount(args: &AmountArgs) -> Result<Money, CliError> {
    read(&args.amount, args.currency.as_deref(), args.minor)
}

/// An amount with the currency of an option.
pub(super) fn read(text: &str, currency: Option<&str>, minor: bool) -> Result<Money, CliError> {
    let currency = currency.map(amount::currency).transpose()?;
    Ok(amount::parse(text, currency, minor)?)
}

/// As the API has it.
pub(super) fn money_json(money: Money) -> Value {
    json!({"value": money.minor, "currency": money.currency.as_str()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_a_row_with_who_pays_whom_and_why_it_waits() {
        let hold = json!({
            "id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 1234, "currency": "USD"},
            "rule": "big", "heldAt": "2026-11-23T12:00:00.000Z", "expiresAt": "2026-11-30T12:00:00.000Z",
        });
        let [since, expires] = ["2026-11-23T12:00:00.000Z", "2026-11-30T12:00:00.000Z"];
        assert_eq!(hold_row(&hold), ["p-1", "alice", "bob", "12.34 USD", "big", since, expires]);
        assert_eq!(hold_row(&hold).len(), HOLDS.len());
    }
}
