//! The command line: what can be asked for, and nothing of how it is done.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::instance::Instance;
use crate::{forward, kafka, process, tiers, up};

/// The kpay testbed: a real Kubernetes and a real Kafka on this machine, and the tests that run on them.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    /// Where tools, Kafka, images and the cluster's state are kept [default: ~/.cache/kpay]
    #[arg(long, env = "KPAY_CACHE", global = true)]
    cache: Option<PathBuf>,
    /// A cluster of its own beside the usual one
    #[arg(long, global = true)]
    name: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring up a cluster with Kafka, the operator and an example pipeline; run it again to deploy a change
    ///
    /// With a container engine it is a kind cluster. Without one, and as root, the control plane is built from the
    /// public Go modules and runs in a network namespace of its own.
    Up(UpArgs),
    /// End the cluster and remove all that `up` made but the caches
    Down(DownArgs),
    /// Run the test tiers, in order; all of them, or those that are named
    Test(TestArgs),
    /// Build kpay and run a whole pipeline in one process, without Kafka or Kubernetes: `kpay local`
    Local {
        /// Passed on as they are: `--listen`, `--data-dir`, `--file`; `cargo xtask local -- --help` tells
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run seeds of the deterministic simulation: `cargo xtask simulate --seeds 100000 --from 10000`, or re-run one: `--seed 7`
    Simulate {
        /// Passed on as they are: `--seeds`, `--from`, `--seed`, `--planted`; `cargo xtask simulate -- --help` tells
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a benchmark: `cargo xtask bench pipeline --json out.json`
    Bench {
        /// Passed on as they are
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a tool of Kafka's against the testbed's broker: `cargo xtask kafka topics --list`
    Kafka {
        /// topics, console-consumer, console-producer, consumer-groups, configs, transactions, …
        tool: String,
        /// Passed on as they are; --bootstrap-server is filled in
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run a command inside the cluster's network, with KUBECONFIG and the rest set: `cargo xtask shell -- bash`
    Shell {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Carry 127.0.0.1 ports into the cluster's network (`up` starts this)
    #[command(hide = true)]
    Forward,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // independent switches of a command line
pub(crate) struct UpArgs {
    /// Only the cluster and Kafka
    #[arg(long)]
    pub(crate) no_deploy: bool,
    /// Where kpay and kpay-operator lie, built before; without it cargo builds them
    #[arg(long)]
    pub(crate) binaries: Option<PathBuf>,
    /// Do not make a kind cluster, even where a container engine runs
    #[arg(long)]
    pub(crate) no_engine: bool,
    /// An existing cluster: a context of your kubeconfig (with --kafka and --image-prefix)
    #[arg(long, requires_all = ["kafka", "image_prefix"])]
    pub(crate) context: Option<String>,
    /// Bootstrap servers that the pods of that cluster reach
    #[arg(long, requires = "context")]
    pub(crate) kafka: Option<String>,
    /// A registry that you may push to and that cluster may pull from, e.g. registry.example.com/team
    #[arg(long, requires = "context")]
    pub(crate) image_prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Every cluster that this cache knows
    #[arg(long)]
    pub(crate) all: bool,
    /// The caches too: the next `up` builds everything anew
    #[arg(long)]
    pub(crate) purge: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Only these tiers
    #[arg(long, value_delimiter = ',')]
    pub(crate) tier: Vec<String>,
    /// Say what the tiers are
    #[arg(long)]
    pub(crate) list: bool,
    /// Leave the cluster of a failed tier up, to look at it
    #[arg(long)]
    pub(crate) keep: bool,
    /// After `--`: passed on to the test programs, e.g. the name of one test
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

impl Cli {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = Instance::new(self.cache, self.name.as_deref())?;
        // These start nothing that takes long, or become what they start.
        if !matches!(self.command, Command::Kafka { .. } | Command::Shell { .. } | Command::Forward) {
            process::watch_for_interrupts()?;
        }
        match self.command {
            Command::Up(args) => up::up(&instance, &args)?,
            Command::Down(args) => up::down(&instance, &args)?,
            Command::Test(args) => return tiers::test(&instance, &args),
            Command::Local { args } => up::local(&instance, &args)?,
            Command::Simulate { args } => tiers::simulate(&instance, &args)?,
            Command::Bench { args } => tiers::bench(&instance, &args)?,
            Command::Kafka { tool, args } => kafka::tool(&instance, &tool, &args)?,
            Command::Shell { command } => instance.shell(&command)?,
            Command::Forward => forward::run(&instance)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
