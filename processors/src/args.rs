//! Flags and their environment variables; one table of them is in `docs/architecture.md`. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::cli::args::{
    AccountCommand, ClientArgs, DlqCommand, OperationCommand, PauseArgs, PayArgs, PaymentCommand,
    RestartArgs, ResumeArgs, UpgradeCommand, WipeArgs,
};
use crate::cli::exit;
use crate::cli::generate::GenerateArgs;
use crate::names::{Names, StageName};

/// The processors and the gateway of a kpay pipeline, and commands that ask a gateway.
#[derive(Debug, Parser)]
#[command(name = "kpay", version, about, after_help = exit::HELP)]
pub struct Cli {
    /// Which gateway a command asks.
    #[command(flatten)]
    pub client: ClientArgs,
    /// What to run.
    #[command(subcommand)]
    pub command: Command,
}

/// What a process is.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one stage of the pipeline.
    Run(RunArgs),
    /// Run the public REST API.
    Gateway(GatewayArgs),
    /// Run the load generator of a pipeline: what its `PaymentPipeline` asks for.
    Generator(PodArgs),
    /// Run a whole pipeline in this process, on a log of its own.
    Local(LocalArgs),
    /// Bring the accounts of a pipeline that stands still to other partitions: what the operator runs in a wipe.
    Rebuild(RebuildArgs),
    /// Ask a gateway.
    #[command(flatten)]
    Ask(Ask),
    /// Write the completions of a shell to stdout.
    Completions {
        /// Which one.
        shell: clap_complete::Shell,
    },
}

/// What is asked of a gateway.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Make a payment and wait for its outcome.
    Pay(PayArgs),
    /// Look at a payment, pay it back, decide on one that is held.
    #[command(subcommand)]
    Payment(PaymentCommand),
    /// Open, fund, freeze, close, list and import accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show the pipeline as a whole; in a cluster with its conditions, pods, the change under way and operations.
    Status,
    /// Pause the pipeline: the intake stops, what is in flight is finished.
    Pause(PauseArgs),
    /// Resume the pipeline.
    Resume(ResumeArgs),
    /// Follow a change of the pods; in a cluster.
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    /// Replace every pod, one workload after the other; in a cluster.
    Restart(RestartArgs),
    /// Give the accounts other partitions: look first, then confirm; in a cluster.
    Wipe(WipeArgs),
    /// List, look at and follow what is done once; in a cluster.
    #[command(subcommand)]
    Operation(OperationCommand),
    /// List dead letters and send them in again.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Send payments at a rate, to a gateway or straight to the topic.
    Generate(Box<GenerateArgs>),
}

/// The whole pipeline in one process.
#[derive(Debug, Clone, Args)]
pub struct LocalArgs {
    /// The REST API.
    #[arg(long, default_value = "127.0.0.1:8080", overrides_with = "listen")]
    pub listen: SocketAddr,
    /// Where payments and accounts are kept [default: `~/.local/share/kpay`]
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// A `PaymentPipeline` as YAML; editing its desiredPhase pauses and resumes, limits and rules are followed [default: everything at its default]
    #[arg(short, long)]
    pub file: Option<PathBuf>,
    /// Whether `/v1/generator` may send a load of its own.
    #[arg(long, env = "KPAY_GENERATOR", default_value_t = true, action = ArgAction::Set)]
    pub generator: bool,
    /// Filter of the log, as `info,kpay=debug`.
    #[arg(long, env = "KPAY_LOG", default_value = "info")]
    pub log: String,
}

/// What every process of a pipeline needs.
#[derive(Debug, Clone, Args)]
pub struct PodArgs {
    /// Kafka, as host:port[,host:port].
    #[arg(long, env = "KPAY_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: String,
    /// Before every topic, group and transactional id.
    #[arg(long, env = "KPAY_TOPIC_PREFIX")]
    pub topic_prefix: String,
    /// Stable name of this slot: transactional id and static membership hang on it.
    #[arg(long, env = "KPAY_POD_NAME")]
    pub pod_name: String,
    /// Where peers reach the control port of this process.
    #[arg(long, env = "KPAY_ADVERTISED_ADDRESS", default_value = "127.0.0.1:9090")]
    pub advertised_address: String,
    /// Control, health, metrics and interactive queries.
    #[arg(long, env = "KPAY_LISTEN", default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// The `PaymentPipeline` that this process belongs to, as namespace/name.
    #[arg(long, env = "KPAY_PIPELINE", default_value = "default/payments")]
    pub pipeline: PipelineRef,
    /// Where the phase is learned: `kubernetes`; without a cluster `static:Running`, or `file:PATH`: Running too, with
    /// the limits and rules of the `PaymentPipeline` in that file, as it is at the start.
    #[arg(long, env = "KPAY_PHASE_SOURCE", default_value = "static:Running")]
    pub phase_source: PhaseSource,
    /// Filter of the log, as `info,kpay=debug`.
    #[arg(long, env = "KPAY_LOG", default_value = "info")]
    pub log: String,
    /// Currency of an account that is opened without one.
    #[arg(long, env = "KPAY_CURRENCY", default_value = "USD")]
    pub currency: String,
}

impl PodArgs {
    /// The names of the pipeline.
    pub fn names(&self) -> Names {
        Names { prefix: self.topic_prefix.clone() }
    }
}

/// One stage.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Which one.
    #[arg(long, env = "KPAY_STAGE")]
    pub stage: StageName,
    /// Worker threads; each owns partitions, a consumer and a producer.
    #[arg(long, env = "KPAY_WORKERS", default_value_t = 1)]
    pub workers: u16,
    /// Commit at the latest after so many milliseconds while busy.
    #[arg(long, env = "KPAY_COMMIT_INTERVAL_MS", default_value_t = 20)]
    pub commit_interval_ms: u32,
    /// With nothing more waiting, hold a transaction open for so many milliseconds before it is committed.
    #[arg(long, env = "KPAY_COMMIT_LINGER_MS", default_value_t = 2)]
    pub commit_linger_ms: u32,
    /// Commit at the latest after so many records while busy.
    #[arg(long, env = "KPAY_COMMIT_RECORDS_MAX", default_value_t = 10_000)]
    pub commit_records_max: usize,
    /// How long a payment id is remembered, in seconds.
    #[arg(long, env = "KPAY_IDEMPOTENCY_WINDOW_SECONDS", default_value_t = 86_400)]
    pub idempotency_window_seconds: u32,
    /// Between two checkpoints of the changed accounts, in seconds.
    #[arg(long, env = "KPAY_CHECKPOINT_INTERVAL_SECONDS", default_value_t = 30)]
    pub checkpoint_interval_seconds: u32,
    /// What every process needs.
    #[command(flatten)]
    pub pod: PodArgs,
}

/// The gateway.
#[derive(Debug, Clone, Args)]
pub struct GatewayArgs {
    /// The public REST API.
    #[arg(long, env = "KPAY_GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub gateway_listen: SocketAddr,
    /// Let `/v1/generator` send a load of its own.
    #[arg(long, env = "KPAY_GENERATOR")]
    pub generator: bool,
    /// What every process needs.
    #[command(flatten)]
    pub pod: PodArgs,
}

/// The accounts of a pipeline that stands still.
#[derive(Debug, Clone, Args)]
pub struct RebuildArgs {
    /// What to do.
    pub task: RebuildTask,
    /// Kafka, as host:port[,host:port].
    #[arg(long, env = "KPAY_BOOTSTRAP_SERVERS")]
    pub bootstrap_servers: String,
    /// Before every topic, group and transactional id.
    #[arg(long, env = "KPAY_TOPIC_PREFIX")]
    pub topic_prefix: String,
    /// Where to write how it ended, as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Filter of the log, as `info,kpay=debug`.
    #[arg(long, env = "KPAY_LOG", default_value = "info")]
    pub log: String,
}

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RebuildTask {
    /// Read every account, compare it with the ledger, and copy it to account.checkpoints.rebuilt.
    Record,
    /// Copy from there to account.checkpoints, and read that back.
    Fill,
}

/// A resource by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl FromStr for PipelineRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(format!("{text:?} is not namespace/name")),
        }
    }
}

/// Where the phase is learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhaseSource {
    /// From the status of the resource.
    Kubernetes,
    /// Running from the start and for good.
    StaticRunning,
    /// As that, with the limits and rules of a file.
    File(PathBuf),
}

impl FromStr for PhaseSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "kubernetes" => Ok(Self::Kubernetes),
            "static:Running" => Ok(Self::StaticRunning),
            _ => match text.strip_prefix("file:") {
                Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
                _ => Err(format!("{text:?} is none of kubernetes, static:Running and file:PATH")),
            },
        }
    }
}
