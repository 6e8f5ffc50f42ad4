//! `kpay dlq`. Only I/O.

use serde_json::{Value, json};

use super::args::{DlqCommand, ReplayArgs};
use super::client::percent;
use super::exit::{CliError, Exit};
use super::list::{List, show};
use super::print::{Column, cell, left, right};
use super::{Context, object};

const COLUMNS: &[Column] = &[
    left("ID"),
    left("AT"),
    left("STAGE"),
    left("CODE"),
    left("TOPIC"),
    right("PARTITION"),
    right("OFFSET"),
];

/// Carries out a command.
pub(super) async fn run(context: &Context, what: &DlqCommand) -> Result<Exit, CliError> {
    match what {
        DlqCommand::List { code, list } => {
            let letters = List {
                path: "/v1/dead-letters".to_owned(),
                filter: code.iter().map(|code| ("code", code.clone())).collect(),
                items: "deadLetters",
                columns: COLUMNS,
                row: &row,
            };
            show(context, list, &letters).await
        }
        DlqCommand::Show { id } => {
            let answer = context.gateway.get(&path(id), &[]).await?;
            context.printer.one(&answer.raw, &fields(&answer.body))?;
            Ok(Exit::Done)
        }
        DlqCommand::Replay(args) => replay(context, args).await,
    }
}

fn path(id: &str) -> String {
    format!("/v1/dead-letters/{}", percent(id))
}

fn row(letter: &Value) -> Vec<String> {
    let source = letter.get("source").unwrap_or(&Value::Null);
    let own = ["id", "at", "stage", "code"].map(|field| cell(letter, field));
    let from = ["topic", "partition", "offset"].map(|field| cell(source, field));
    own.into_iter().chain(from).collect()
}

/// Every field that has a value of its own.
fn fields(body: &Value) -> Vec<(&str, String)> {
    let all = body.as_object().into_iter().flatten();
    all.map(|(name, value)| match value {
        Value::String(_) | Value::Null => (name.as_str(), cell(body, name)),
        other => (name.as_str(), other.to_string()),
    })
    .collect()
}

async fn replay(context: &Context, args: &ReplayArgs) -> Result<Exit, CliError> {
    let answer = if let Some(id) = &args.id {
        let body = json!({"by": args.by, "reason": args.reason});
        context.gateway.post_json(&format!("{}/replay", path(id)), &body, None).await?
    } else {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let filter =
            object([("code", text(&args.code)), ("stage", text(&args.stage)), ("topic", text(&args.topic))]);
        let body = json!({"filter": filter, "max": args.max, "dryRun": args.dry_run, "by": args.by, "reason": args.reason});
        context.gateway.post_json("/v1/dead-letters/replay", &body, None).await?
    };
    context.printer.one(&answer.raw, &replayed(&answer.body, args.dry_run))?;
    Ok(Exit::Done)
}

/// The answer to a replay; of one that was not meant the letters are those that would be.
fn replayed(body: &Value, dry_run: bool) -> Vec<(&str, String)> {
    let name = |name| if dry_run && name == "replayed" { "would be replayed" } else { name };
    fields(body).into_iter().map(|(field, value)| (name(field), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_shown_with_where_it_came_from() {
        let letter = json!({
            "id": "0-7", "at": "2026-11-24T12:00:00.000Z", "code": "protobuf_invalid", "stage": "inflight",
            "source": {"topic": "payment.incoming", "partition": 3},
        });
        let shown =
            ["0-7", "2026-11-24T12:00:00.000Z", "inflight", "protobuf_invalid", "payment.incoming", "3", ""];
        assert_eq!(row(&letter), shown);
    }

    #[test]
    fn what_is_only_tried_is_not_told_as_done() {
        let body = json!({"replayed": ["0-7"], "skipped": []});
        let told = |dry_run| replayed(&body, dry_run).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(told(true), ["would be replayed", "skipped"]);
        assert_eq!(told(false), ["replayed", "skipped"]);
    }
}
