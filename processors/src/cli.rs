//! The commands that ask a gateway: `kpay pay`, `kpay account` and so on. Only wiring; what they decide is pure and in the
//! modules.
//!
//! | module | what it is |
//! |---|---|
//! | [`args`] | the flags |
//! | [`amount`] | amounts as people write them |
//! | [`exit`] | errors and exit codes |
//! | `client`, `cluster` | HTTP, by the API server of a cluster where it is asked so |
//! | `print` | tables, and JSON a line |
//! | `payments`, `accounts`, `pipeline`, `letters` | the commands |
//! | `overview`, `tree` | a pipeline of a cluster, as a tree |
//! | `follow`, `progress`, `operations` | what is done to a pipeline in a cluster, step by step |
//! | `import`, `lines` | accounts of a file |
//! | [`generate`] | load |

mod accounts;
pub mod amount;
pub mod args;
mod client;
mod cluster;
pub mod exit;
mod follow;
pub mod generate;
mod import;
mod letters;
mod lines;
mod list;
mod operations;
mod overview;
mod payments;
mod pipeline;
mod print;
mod progress;
mod tree;

use std::io::{self, Write};

use clap::CommandFactory;
use serde_json::{Value, json};

use self::args::{ClientArgs, Output, UpgradeCommand};
use self::client::Gateway;
use self::exit::{CliError, Exit};
use self::print::{Printer, plain};
use crate::args::{Ask, Cli, Command};

/// What a command works with.
struct Context {
    gateway: Gateway,
    printer: Printer,
}

/// Carries out a command that asks a gateway and says how it ended; `None` for the others.
pub async fn run(client: &ClientArgs, command: &Command) -> Option<Exit> {
    let ended = carry_out(client, command).await?;
    Some(ended.unwrap_or_else(|error| {
        let gone = matches!(&error, CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe);
        if !gone {
            tell(&error, client.output);
        }
        // Who stopped reading has seen enough.
        if gone { Exit::Done } else { error.exit() }
    }))
}

async fn carry_out(client: &ClientArgs, command: &Command) -> Option<Result<Exit, CliError>> {
    match command {
        Command::Run(_)
        | Command::Gateway(_)
        | Command::Generator(_)
        | Command::Local(_)
        | Command::Rebuild(_) => None,
        Command::Ask(asked) => Some(ask(client, asked).await),
        Command::Completions { shell } => {
            // Not to stdout: its end would be a panic there.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "kpay", &mut script);
            Some(io::stdout().write_all(&script).map(|()| Exit::Done).map_err(Into::into))
        }
    }
}

async fn ask(client: &ClientArgs, asked: &Ask) -> Result<Exit, CliError> {
    let gateway = Gateway::open(&client.gateway, client.namespace.as_deref()).await?;
    let context = Context { gateway, printer: Printer::new(client.output) };
    match asked {
        Ask::Pay(args) => payments::pay(&context, args).await,
        Ask::Payment(command) => payments::run(&context, command).await,
        Ask::Account(command) => accounts::run(&context, command).await,
        Ask::Status => pipeline::status(&context).await,
        Ask::Pause(args) => pipeline::pause(&context, args).await,
        Ask::Resume(args) => pipeline::resume(&context, args).await,
        Ask::Upgrade(UpgradeCommand::Watch(args)) => operations::upgrade(&context, *args).await,
        Ask::Restart(args) => operations::restart(&context, args).await,
        Ask::Wipe(args) => operations::wipe(&context, args).await,
        Ask::Operation(command) => operations::run(&context, command).await,
        Ask::Dlq(command) => letters::run(&context, command).await,
        Ask::Generate(args) => generate::run(&context, args).await,
    }
}

fn tell(error: &CliError, output: Output) {
    match error {
        CliError::Problem(problem) if output == Output::Json => {
            eprintln!("{}", serde_json::to_string(problem).unwrap_or_default());
        }
        _ if output == Output::Json => {
            eprintln!("{}", json!({"detail": error.to_string(), "exit": error.exit().code()}));
        }
        _ => eprintln!("error: {}", plain(&error.to_string())),
    }
}

/// A JSON object of what is there.
fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Option<Value>)>) -> Value {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}

/// A new idempotency key.
fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
