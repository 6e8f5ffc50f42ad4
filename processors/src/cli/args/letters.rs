//! Flags of `kpay dlq`. Pure.

use clap::{Args, Subcommand};

use super::ListArgs;

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
