//! Flags of what is done to a pipeline in a cluster: `kpay upgrade`, `kpay restart`, `kpay wipe` and `kpay operation`. Pure.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use kpay_crds::RestartDuring;

use super::duration;

/// Until when to follow.
#[derive(Debug, Clone, Copy, Args)]
pub struct FollowArgs {
    /// Stop following after so long, with exit code 3; what was begun goes on.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub deadline: Duration,
}

/// What to do with the change of the pods.
#[derive(Debug, Clone, Subcommand)]
pub enum UpgradeCommand {
    /// Follow the change that is under way, each step as it ends. Exit code 0: the pods are as declared; 1: it was taken
    /// back, or the spec cannot be served; 3: still under way at the deadline.
    Watch(FollowArgs),
}

/// An operation that is made.
#[derive(Debug, Clone, Args)]
pub struct NewOperationArgs {
    /// Its name: given again, the operation that has it is followed, and no other is made [default: a new one, which is told]
    #[arg(long)]
    pub name: Option<String>,
    /// Who asks for it, for the record [default: the operation's name]
    #[arg(long)]
    pub by: Option<String>,
    /// Only make it.
    #[arg(long)]
    pub no_wait: bool,
    /// Until when to follow it.
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// A restart.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// Why, for the record.
    #[arg(long)]
    pub reason: String,
    /// What goes on while pods are replaced.
    #[arg(long, value_enum, default_value_t = During::Full)]
    pub during: During,
    /// With limited-intake: at most so many payments a second.
    #[arg(long, value_name = "COUNT", required_if_eq("during", "limited-intake"),
        value_parser = clap::value_parser!(i32).range(1..=10_000_000))]
    pub intake_per_second: Option<i32>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// The operation.
    #[command(flatten)]
    pub operation: NewOperationArgs,
}

/// What goes on during a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum During {
    /// Everything.
    Full,
    /// Everything, with fewer payments.
    LimitedIntake,
    /// No payments: the pipeline is Paused.
    QueriesOnly,
}

impl From<During> for RestartDuring {
    fn from(during: During) -> Self {
        match during {
            During::Full => Self::Full,
            During::LimitedIntake => Self::LimitedIntake,
            During::QueriesOnly => Self::QueriesOnly,
        }
    }
}

/// A wipe: first a dry run, then what it has listed.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dry_run", "confirm"]))]
pub struct WipeArgs {
    /// List what would go and what stays, and the confirmation that stands for it.
    #[arg(long)]
    pub dry_run: bool,
    /// Carry out what a dry run has listed: its confirmation.
    #[arg(long, value_name = "CONFIRMATION", requires = "reason", value_parser = confirmation)]
    pub confirm: Option<String>,
    /// Why, for the record.
    #[arg(long)]
    pub reason: Option<String>,
    /// The operation.
    #[command(flatten)]
    pub operation: NewOperationArgs,
}

fn confirmation(text: &str) -> Result<String, String> {
    let digits =
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    digits
        .then(|| text.to_owned())
        .ok_or_else(|| "is no confirmation of a dry run: hexadecimal digits".to_owned())
}

/// What to do with operations.
#[derive(Debug, Clone, Subcommand)]
pub enum OperationCommand {
    /// List the operations of the pipeline, the oldest first.
    List,
    /// Look at an operation.
    Get {
        /// Its name.
        name: String,
    },
    /// Follow an operation to its end. Exit code 0: it succeeded; 1: it failed; 3: still under way at the deadline.
    Watch {
        /// Its name.
        name: String,
        /// Until when.
        #[command(flatten)]
        follow: FollowArgs,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_is_what_a_dry_run_gives() {
        assert_eq!(confirmation("0123abcd"), Ok("0123abcd".to_owned()));
        for wrong in ["", "0123ABCD", "wipe", &"a".repeat(65)] {
            assert!(confirmation(wrong).is_err(), "{wrong}");
        }
    }
}
