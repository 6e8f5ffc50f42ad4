//! `cargo xtask`: the testbed, the test tiers and the benchmarks from one command line.

mod cli;
mod deploy;
mod engine;
mod forward;
mod images;
mod instance;
mod kafka;
mod packages;
mod page;
mod process;
mod steps;
mod tiers;
mod tools;
mod up;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
