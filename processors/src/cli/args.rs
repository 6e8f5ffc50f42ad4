//! The flags of the commands that ask a gateway: what all share, and by what they are about. Pure.

mod accounts;
mod letters;
mod operations;
mod payments;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kpay_control::duration::parse_ms;

pub use self::accounts::{AccountCommand, ChangeArgs, Format, ImportArgs};
pub use self::letters::{DlqCommand, ReplayArgs};
pub use self::operations::{
    During, FollowArgs, NewOperationArgs, OperationCommand, RestartArgs, UpgradeCommand, WipeArgs,
};
pub use self::payments::{AmountArgs, HoldArgs, PayArgs, PaymentCommand};
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
}
