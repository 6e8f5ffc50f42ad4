//! `kpay account`. Only I/O.

use serde_json::Value;

use super::args::{AccountCommand, ChangeArgs};
use super::client::percent;
use super::exit::{CliError, Exit};
use super::list::{List, show};
use super::payments::{command, money_json, read, read_amount};
use super::print::{Column, cell, left, money, right};
use super::{Context, amount, import, new_id, object};

const ACCOUNTS: &[Column] = &[left("ID"), right("BALANCE"), left("STATUS"), right("VERSION")];
const ENTRIES: &[Column] = &[
    right("VERSION"),
    left("AT"),
    left("KIND"),
    right("AMOUNT"),
    right("BALANCE"),
    left("COUNTERPARTY"),
    left("ID"),
];

/// Carries out a command.
pub(super) async fn run(context: &Context, what: &AccountCommand) -> Result<Exit, CliError> {
    match what {
        AccountCommand::Open { id, currency, funding, minor, wait } => {
            let funding = match funding {
                Some(text) => Some(read(text, currency.as_deref(), *minor)?),
                None => None,
            };
            let own = currency.as_deref().map(amount::currency).transpose()?;
            let currency = funding.map(|money| money.currency).or(own);
            let body = object([
                ("id", Some(id.clone().into())),
                ("currency", currency.map(|currency| currency.as_str().into())),
                ("funding", funding.map(|money| money.minor.into())),
            ]);
            command(context, "/v1/accounts", &body, None, wait.seconds()).await
        }
        AccountCommand::Fund { id, amount, command_id, wait } => {
            let own = command_id.clone().unwrap_or_else(new_id);
            let amount = money_json(read_amount(amount)?);
            let body = object([("id", Some(own.clone().into())), ("amount", Some(amount))]);
            let made = command_id.is_none().then_some(own.as_str());
            command(context, &format!("{}/fund", path(id)), &body, made, wait.seconds()).await
        }
        AccountCommand::Freeze(args) => change(context, args, "freeze").await,
        AccountCommand::Unfreeze(args) => change(context, args, "unfreeze").await,
        AccountCommand::Close(args) => change(context, args, "close").await,
        AccountCommand::Get { id } => get(context, id).await,
        AccountCommand::List(args) => {
            let list = List {
                path: "/v1/accounts".to_owned(),
                filter: Vec::new(),
                items: "accounts",
                columns: ACCOUNTS,
                row: &account,
            };
            show(context, args, &list).await
        }
        AccountCommand::Ledger { id, list } => ledger(context, id, list).await,
        AccountCommand::Import(args) => import::run(context, args).await,
    }
}

fn path(id: &str) -> String {
    format!("/v1/accounts/{}", percent(id))
}

async fn change(context: &Context, args: &ChangeArgs, to: &str) -> Result<Exit, CliError> {
    let own = args.command_id.clone().unwrap_or_else(new_id);
    let body = object([("id", Some(own.clone().into()))]);
    let made = args.command_id.is_none().then_some(own.as_str());
    command(context, &format!("{}/{to}", path(&args.id)), &body, made, args.wait.seconds()).await
}

async fn get(context: &Context, id: &str) -> Result<Exit, CliError> {
    let answer = context.gateway.get(&path(id), &[]).await?;
    let body = &answer.body;
    let fields = [
        ("id", cell(body, "id")),
        ("balance", balance(body)),
        ("status", cell(body, "status")),
        ("version", cell(body, "version")),
        ("command", cell(body, "commandId")),
        ("note", cell(body, "note")),
    ];
    context.printer.one(&answer.raw, &fields)?;
    // Its opening was accepted and is not done.
    Ok(if answer.status == 202 { Exit::Again } else { Exit::Done })
}

fn balance(account: &Value) -> String {
    money(account.get("balance"), account.get("currency").and_then(Value::as_str))
}

fn account(item: &Value) -> Vec<String> {
    vec![cell(item, "id"), balance(item), cell(item, "status"), cell(item, "version")]
}

async fn ledger(context: &Context, id: &str, args: &super::args::ListArgs) -> Result<Exit, CliError> {
    // The entries are in the account's currency and need not repeat it.
    let account = context.gateway.get(&path(id), &[]).await?;
    let currency = account.text("currency").to_owned();
    let currency = Some(currency.as_str()).filter(|currency| !currency.is_empty());
    let row = |item: &Value| {
        vec![
            cell(item, "version"),
            cell(item, "at"),
            cell(item, "kind"),
            money(item.get("amount"), currency),
            money(item.get("balance"), currency),
            cell(item, "counterparty"),
            cell(item, "id"),
        ]
    };
    let list = List {
        path: format!("{}/ledger", path(id)),
        filter: Vec::new(),
        items: "entries",
        columns: ENTRIES,
        row: &row,
    };
    show(context, args, &list).await
}
