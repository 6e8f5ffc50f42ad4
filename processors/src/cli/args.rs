//! The flags of the commands that ask a gateway. Pure.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use kpay_control::duration::parse_ms;

use super::cluster::SCHEME;

/// The longest wait that a gateway grants, in seconds.
const WAIT_MAX_S: u64 = 30;

/// Which gateway, and for whom its answers are written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Commands that ask a gateway")]
pub struct ClientArgs {
    /// The gateway: `http://host:port`, or `kube://namespace/pipeline` for one that the API server of a kubeconfig reaches
    /// [default as kubectl-kpay: kube://, the only pipeline of the namespace]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "KPAY_GATEWAY_URL",
        default_value = default_gateway()
    )]
    pub gateway: String,
    /// Namespace, where kube:// names none [default: that of the kubeconfig's context]
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Tables for people, or JSON: an answer, or an item of a list, a line.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// What is asked when nobody says: as a plugin of kubectl the pipeline of the cluster that kubectl talks to.
fn default_gateway() -> &'static str {
    let name = std::env::args_os().next().map(PathBuf::from);
    let name = name.as_deref().and_then(|path| path.file_name()?.to_str());
    if name == Some("kubectl-kpay") { SCHEME } else { "http://127.0.0.1:8080" }
}

/// For whom answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs, as the gateway gives it.
    Json,
}

/// How long to wait for an outcome.
#[derive(Debug, Clone, Copy, Args)]
pub struct WaitArgs {
    /// Wait so long for the outcome, at most 30s.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = wait, conflicts_with = "no_wait")]
    pub wait: u64,
    /// Only hand it in.
    #[arg(long)]
    pub no_wait: bool,
}

impl WaitArgs {
    /// In seconds.
    pub fn seconds(&self) -> Option<u64> {
        (!self.no_wait).then_some(self.wait)
    }
}

/// Reads a duration such as `500ms`, `5s` or `2m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_ms(text).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or_else(|| "is no duration such as 500ms, 5s or 2m".to_owned())
}

/// A duration as the gateway reads it.
fn lasting(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

fn wait(text: &str) -> Result<u64, String> {
    let wait = duration(text)?;
    let seconds = wait.as_secs();
    if wait.subsec_millis() != 0 || !(1..=WAIT_MAX_S).contains(&seconds) {
        return Err(format!("is from 1s to {WAIT_MAX_S}s, in whole seconds"));
    }
    Ok(seconds)
}

/// An amount that has to be given.
#[derive(Debug, Clone, Args)]
pub struct AmountArgs {
    /// In major units with all decimals of the currency: 12.34USD, 1234JPY, 1.500KWD.
    #[arg(long, allow_hyphen_values = true)]
    pub amount: String,
    /// Of ISO 4217, when the amount does not name it.
    #[arg(long)]
    pub currency: Option<String>,
    /// The amount is a whole number of minor units (cents for USD), as in the REST API.
    #[arg(long)]
    pub minor: bool,
}

/// A payment to be made.
#[derive(Debug, Clone, Args)]
pub struct PayArgs {
    /// The payer's account.
    #[arg(long)]
    pub from: String,
    /// The payee's account.
    #[arg(long)]
    pub to: String,
    /// What is paid.
    #[command(flatten)]
    pub amount: AmountArgs,
    /// The idempotency key: given again with the same payment, it pays once [default: a new one, which is told]
    #[arg(long)]
    pub id: Option<String>,
    /// Text for people.
    #[arg(long)]
    pub reference: Option<String>,
    /// A key and a value of your own; may be given 16 times.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    pub attributes: Vec<(String, String)>,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "is not key=value".to_owned())
}

/// What to do with a payment.
#[derive(Debug, Clone, Subcommand)]
pub enum PaymentCommand {
    /// Look at a payment or an account command.
    Get {
        /// Of the payment.
        id: String,
    },
    /// Pay a confirmed payment back, all of it or a part.
    Refund {
        /// Of the payment.
        id: String,
        /// The idempotency key of the refund [default: a new one, which is told]
        #[arg(long)]
        refund_id: Option<String>,
        /// A part, in major units with all decimals of the currency: 12.34USD [default: all of it]
        #[arg(long, allow_hyphen_values = true)]
        amount: Option<String>,
        /// Of ISO 4217, when the amount does not name it.
        #[arg(long, requires = "amount")]
        currency: Option<String>,
        /// The amount is a whole number of minor units.
        #[arg(long, requires = "amount")]
        minor: bool,
        /// How long to wait.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// List the payments that wait for somebody to release or refuse them, the oldest first.
    Holds(ListArgs),
    /// Let a held payment go on.
    Release(HoldArgs),
    /// Reject a held payment.
    Refuse(HoldArgs),
}

/// A decision on a held payment.
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    /// Of the payment.
    pub id: String,
    /// Who decides.
    #[arg(long)]
    pub by: String,
    /// The reason, for the record.
    #[arg(long)]
    pub why: String,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What to do with accounts.
#[derive(Debug, Clone, Subcommand)]
pub enum AccountCommand {
    /// Open an account.
    Open {
        /// Of the account.
        id: String,
        /// Of ISO 4217 [default: the pipeline's own, or that of the funding]
        #[arg(long)]
        currency: Option<String>,
        /// The balance to begin with, in major units with all decimals of the currency: 1000.00USD.
        #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
        funding: Option<String>,
        /// The funding is a whole number of minor units.
        #[arg(long, requires = "funding")]
        minor: bool,
        /// How long to wait.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Put money from outside into an account.
    Fund {
        /// Of the account.
        id: String,
        /// How much.
        #[command(flatten)]
        amount: AmountArgs,
        /// The idempotency key [default: a new one, which is told]
        #[arg(long)]
        command_id: Option<String>,
        /// How long to wait.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Freeze an account: it neither pays nor is paid.
    Freeze(ChangeArgs),
    /// Unfreeze an account.
    Unfreeze(ChangeArgs),
    /// Close an account for good; only one that holds nothing.
    Close(ChangeArgs),
    /// Look at an account.
    Get {
        /// Of the account.
        id: String,
    },
    /// List the accounts.
    List(ListArgs),
    /// List what moved an account's balance.
    Ledger {
        /// Of the account.
        id: String,
        /// How many.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Open the accounts of a file: CSV with a header, or JSON lines. May be repeated.
    Import(ImportArgs),
}

/// A change of whether an account takes part.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Of the account.
    pub id: String,
    /// The idempotency key [default: a new one, which is told]
    #[arg(long)]
    pub command_id: Option<String>,
    /// How long to wait.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// A part of a list.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// At most so many [default: all]
    #[arg(long)]
    pub limit: Option<u64>,
    /// Begin behind this cursor.
    #[arg(long)]
    pub after: Option<String>,
}

/// Accounts of a file.
#[derive(Debug, Clone, Args)]
#[command(long_about = "Open the accounts of a file: CSV with a header, or JSON lines.

CSV has the columns id, currency, funding, commandId, of which only id is needed; a JSON line is the body of \
POST /v1/accounts. The funding is a whole number of minor units in both (100000 are 1000.00 USD). The command that opens \
an account has the id open:<account> unless the line says another, so the file may be given again, after a failure too: \
what is open stays as it is and is counted as existing. Refused lines are reported with their number and the reason. \
Exit code 1: some were refused; 3: the gateway went away, give the file again.")]
pub struct ImportArgs {
    /// The file; `-` is the standard input.
    pub file: PathBuf,
    /// How the file is written [default: JSON lines when the first line begins with a brace, else CSV]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// So many requests at a time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// Read the file and report what cannot be read, without asking the gateway.
    #[arg(long)]
    pub dry_run: bool,
    /// Begin only when the BLAKE3 digest of the file begins with these hexadecimal digits, else exit with 3. The file is
    /// then read as a whole.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub digest: Option<String>,
    /// Write the counts, the first refused lines and what went wrong to this file: JSON of at most 4096 bytes.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Exit with 3 when the outcome of a line is not known within --wait.
    #[arg(long, conflicts_with_all = ["dry_run", "no_wait"])]
    pub require_outcome: bool,
    /// How long to wait for each account.
    #[command(flatten)]
    pub wait: WaitArgs,
}

fn digest(text: &str) -> Result<String, String> {
    let digits = (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| text.to_ascii_lowercase()).ok_or_else(|| "is not 8 to 64 hexadecimal digits".to_owned())
}

/// How a file of accounts is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns with a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub enum DlqCommand {
    /// List the dead letters.
    List {
        /// Only those with this code.
        #[arg(long)]
        code: Option<String>,
        /// How many.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Look at a dead letter.
    Show {
        /// As `list` shows it.
        id: String,
    },
    /// Send dead letters in again: one by its id, or those that a filter finds.
    Replay(ReplayArgs),
}

/// Which dead letters are sent in again, by whom and why.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["id", "code", "stage", "topic"]))]
pub struct ReplayArgs {
    /// As `list` shows it.
    #[arg(conflicts_with_all = ["code", "stage", "topic", "max"])]
    pub id: Option<String>,
    /// Those with this code.
    #[arg(long)]
    pub code: Option<String>,
    /// Those of this stage.
    #[arg(long)]
    pub stage: Option<String>,
    /// Those that came from this topic.
    #[arg(long)]
    pub topic: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    pub max: u32,
    /// Only say which.
    #[arg(long, conflicts_with = "id")]
    pub dry_run: bool,
    /// Who asks for it.
    #[arg(long)]
    pub by: String,
    /// The reason, for the record.
    #[arg(long)]
    pub reason: String,
}

/// A pause.
#[derive(Debug, Clone, Args)]
pub struct PauseArgs {
    /// The reason, for who finds the pipeline paused.
    #[arg(long)]
    pub reason: Option<String>,
    /// Who holds it; the last holder to let go lets it run. Without one the desired phase is set, which anybody may set
    /// back.
    #[arg(long)]
    pub holder: Option<String>,
    /// After how long it ends by itself, such as 30m; without this, when the holder lets go.
    #[arg(long = "for", value_name = "DURATION", requires = "holder", value_parser = lasting)]
    pub lasting: Option<String>,
}

/// The end of a pause.
#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// Who lets go of what it holds. Without one the desired phase is set to Running.
    #[arg(long)]
    pub holder: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_whole_seconds_that_a_gateway_grants() {
        assert_eq!((wait("5s"), wait("30s"), wait("1000ms")), (Ok(5), Ok(30), Ok(1)));
        for wrong in ["0s", "31s", "1m", "5", "1500ms", "soon", ""] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pause_lasts_for_a_duration() {
        assert_eq!(lasting("30m"), Ok("30m".to_owned()));
        for wrong in ["", "30", "soon", "0s", "1h30m"] {
            assert!(lasting(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_told_by_enough_digits() {
        assert_eq!(digest("AF1349b9f5"), Ok("af1349b9f5".to_owned()));
        for wrong in ["", "af1349b", "af1349bg", &"a".repeat(65)] {
            assert!(digest(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_attribute_is_a_key_and_a_value() {
        assert_eq!(attribute("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(attribute("a="), Ok(("a".to_owned(), String::new())));
        assert!(attribute("=b").is_err() && attribute("a").is_err());
    }
}
