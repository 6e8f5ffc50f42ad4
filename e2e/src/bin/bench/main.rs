//! Benchmarks on a real broker. Figures only; nothing here passes or fails by a time.

mod pipeline;

use clap::{Parser, Subcommand};

/// Benchmarks of kpay on a real broker.
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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Pipeline(args) => pipeline::run(&args),
    }
}
