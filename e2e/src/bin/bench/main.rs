//! Benchmarks on a real broker, and of `kpay local`. Figures only; nothing here passes or fails by a time.

mod disk;
mod local;
mod operator;
mod pipeline;
mod restore;

use clap::{Parser, Subcommand};

/// Benchmarks of kpay.
#[derive(Debug, Parser)]
#[command(name = "bench", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Throughput of a drain, latency at a steady rate, CPU, memory, appends and bytes a payment.
    Pipeline(pipeline::Args),
    /// `kpay local`: throughput of a drain, latency by REST, start, memory.
    Local(local::Args),
    /// Memory of many accounts and known ids, and the time to be ready again after a SIGKILL.
    Restore(restore::Args),
    /// The operator with many pipelines: memory, writes at rest, the time to be ready again.
    Operator(operator::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Pipeline(args) => pipeline::run(&args),
        Command::Local(args) => local::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Operator(args) => operator::run(&args),
    }
}
