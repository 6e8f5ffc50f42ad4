//! The simulation over seeds, and the planted mistakes that its checks have to find.
//!
//! `KPAY_SIM_SEEDS=<count>` runs another number of seeds; `cargo xtask simulate` runs more, and re-runs one.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use kpay_simulation::plant::Plant;
use kpay_simulation::run;

const SEEDS: u64 = 10_000;
/// Within so many seeds each planted mistake has to be found.
const PLANTED_SEEDS: u64 = 2_000;

fn threads() -> usize {
    available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_seed_breaks_a_promise() {
    let seeds =
        std::env::var("KPAY_SIM_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number of seeds"));
    let began = Instant::now();
    let stats = run::seeds(0, seeds, None, threads())
        .unwrap_or_else(|finding| panic!("{}", run::tell(&finding, None)));
    println!("{}", run::speed(seeds, &stats, began.elapsed()));
    let occurred = stats.aborts > 0 && stats.ends > 0 && stats.pauses > 0 && stats.accepted > 0;
    assert!(seeds < 100 || occurred, "the faults have to occur: {stats:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let figures = Arc::default();
    for seed in 0..25 {
        let run = || run::seed(seed, None, &figures);
        assert_eq!(run(), run(), "seed {seed}");
    }
}

#[test]
fn each_planted_mistake_is_found() {
    let mut missed = Vec::new();
    for plant in Plant::all() {
        match run::seeds(0, PLANTED_SEEDS, Some(plant), threads()) {
            Err(finding) => {
                println!("{}: seed {}, by {}", plant.name(), finding.seed, finding.violation.checker);
            }
            Ok(_) => missed.push(plant.name()),
        }
    }
    assert!(missed.is_empty(), "not found within {PLANTED_SEEDS} seeds: {missed:?}");
}
