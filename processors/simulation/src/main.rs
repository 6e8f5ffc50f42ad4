//! `simulate`: runs seeds, re-runs one that failed, or shows that the planted mistakes are found.

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser;
use kpay_simulation::plant::Plant;
use kpay_simulation::run::{self, Finding};

/// The deterministic simulation of the whole pipeline
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only this one, with its last events whether it fails or not
    #[arg(long)]
    seed: Option<u64>,
    /// With this planted mistake
    #[arg(long)]
    plant: Option<String>,
    /// Each planted mistake, until it is found
    #[arg(long)]
    planted: bool,
    /// Threads [default: one a core]
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let threads = args.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
    let plant = match &args.plant {
        Some(name) => Some(Plant::parse(name).ok_or_else(|| anyhow::anyhow!("no plant is called {name}"))?),
        None => None,
    };
    if args.planted {
        return Ok(planted(args.seeds.min(2_000), threads));
    }
    let (first, count) = args.seed.map_or((args.from, args.seeds), |seed| (seed, 1));
    let began = Instant::now();
    match run::seeds(first, count, plant, threads) {
        Ok(stats) => {
            println!("{}", run::speed(count, &stats, began.elapsed()));
            Ok(ExitCode::SUCCESS)
        }
        Err(finding) => {
            println!("{}", run::tell(&finding, plant));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// One line for each planted mistake: at which seed it was found, and by which check.
fn planted(seeds: u64, threads: usize) -> ExitCode {
    let mut missed = 0;
    println!("| planted mistake | found at seed | by |\n|---|---|---|");
    for plant in Plant::all() {
        if let Err(finding) = run::seeds(0, seeds, Some(plant), threads) {
            let Finding { seed, violation, .. } = *finding;
            println!("| `{}` | {seed} | `{}` |", plant.name(), violation.checker);
        } else {
            missed += 1;
            println!("| `{}` | not within {seeds} | |", plant.name());
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
