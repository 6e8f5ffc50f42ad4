//! Flags of `kpay account`. Pure.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::payments::AmountArgs;
use super::{ListArgs, WaitArgs};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_told_by_enough_digits() {
        assert_eq!(digest("AF1349b9f5"), Ok("af1349b9f5".to_owned()));
        for wrong in ["", "af1349b", "af1349bg", &"a".repeat(65)] {
            assert!(digest(wrong).is_err(), "{wrong}");
        }
    }
}
