//! The worker against the simulated log: many seeds, every fault, and planted mistakes that have to be found.
//!
//! `KPAY_SIM_SEED=<seed>` re-runs one seed of `the_worker_is_exactly_once`, `KPAY_SIM_SEEDS=<count>` runs more.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod gate;
mod handover;
mod harness;
mod own;
mod planted;
mod rate;
mod stage;

use std::time::Instant;

use harness::run;
use planted::Plant;

const COMMAND: &str = "cargo test -p kpay-streams --test worker_sim exactly_once";

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
fn the_worker_is_exactly_once() {
    let seeds = match from_env("KPAY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("KPAY_SIM_SEEDS").unwrap_or(500),
    };
    let began = Instant::now();
    let (mut steps, mut commits, mut aborts, mut failures) = (0, 0, 0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let stats = run(seed, Plant::None)
            .unwrap_or_else(|e| panic!("seed {seed}: {e}\nre-run: KPAY_SIM_SEED={seed} {COMMAND}"));
        steps += stats.steps;
        commits += stats.commits;
        aborts += stats.aborts;
        failures += stats.failures;
    }
    println!(
        "{count} seeds in {:?}: {steps} steps, {commits} commits, {aborts} aborts, {failures} ends of a worker",
        began.elapsed()
    );
    assert!(count < 100 || (commits > 0 && aborts > 0 && failures > 0), "the faults have to occur");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..10 {
        assert_eq!(run(seed, Plant::None), run(seed, Plant::None), "seed {seed}");
    }
}

#[test]
fn each_planted_mistake_is_found() {
    const SEEDS: u64 = 200;
    let mut missed = Vec::new();
    for plant in Plant::MISTAKES {
        match (0..SEEDS).find_map(|seed| run(seed, plant).err().map(|e| (seed, e))) {
            Some((seed, error)) => {
                println!("{plant:?}: seed {seed}: {}", error.lines().next().unwrap_or_default());
            }
            None => missed.push(plant),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
