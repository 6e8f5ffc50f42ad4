//! Runs seeds: one, a range, over threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use kpay::stage::figures::Figures;

use crate::check::Violation;
use crate::plant::Plant;
use crate::trace::Trace;
use crate::world::{Stats, World};

/// How many of the last events are told of a seed that failed.
const TRACE_LINES: usize = 60;

/// A seed that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub seed: u64,
    /// What does not hold.
    pub violation: Violation,
    /// The last events.
    pub trace: Vec<String>,
}

/// Runs one seed.
pub fn seed(seed: u64, plant: Option<Plant>, figures: &Arc<Figures>) -> Result<Stats, Box<Finding>> {
    traced(seed, plant, figures, 0).or_else(|_| traced(seed, plant, figures, TRACE_LINES))
}

/// Runs one seed and keeps so many of its last events.
pub fn traced(
    seed: u64,
    plant: Option<Plant>,
    figures: &Arc<Figures>,
    lines: usize,
) -> Result<Stats, Box<Finding>> {
    let mut world = World::new(seed, plant, Arc::clone(figures), Trace::new(lines));
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match result {
        Ok(Ok(stats)) => return Ok(stats),
        Ok(Err(violation)) => violation,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Violation { checker: "panic", detail: text.unwrap_or_default() }
        }
    };
    Err(Box::new(Finding { seed, violation, trace: world.trace().lines().cloned().collect() }))
}

/// Runs `count` seeds from `first` on `threads` threads; ends early with the first that fails.
pub fn seeds(first: u64, count: u64, plant: Option<Plant>, threads: usize) -> Result<Stats, Box<Finding>> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let work = || {
        let figures = Arc::<Figures>::default();
        let mut sum = Stats::default();
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            match seed(first + number, plant, &figures) {
                Ok(stats) => sum.add(&stats),
                Err(finding) => {
                    stop.store(true, Ordering::Relaxed);
                    return Err(finding);
                }
            }
        }
        Ok(sum)
    };
    let results: Vec<Result<Stats, Box<Finding>>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().expect("a panic of a seed is caught within")).collect()
    });
    let mut sum = Stats::default();
    let mut findings: Vec<Box<Finding>> = Vec::new();
    for result in results {
        match result {
            Ok(stats) => sum.add(&stats),
            Err(finding) => findings.push(finding),
        }
    }
    // The same one whichever thread was quicker, as far as that can be.
    match findings.into_iter().min_by_key(|finding| finding.seed) {
        None => Ok(sum),
        Some(finding) => Err(finding),
    }
}

impl Stats {
    /// Adds another history.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.transactions += other.transactions;
        self.records += other.records;
        self.accepted += other.accepted;
        self.aborts += other.aborts;
        self.ends += other.ends;
        self.pauses += other.pauses;
        self.simulated_ms += other.simulated_ms;
    }
}

/// A finding for a person, with the command that shows it again.
pub fn tell(finding: &Finding, plant: Option<Plant>) -> String {
    let plant = plant.map(|plant| format!(" --plant {}", plant.name())).unwrap_or_default();
    let Finding { seed, violation, trace } = finding;
    format!(
        "{}\nseed {seed}: {}: {}\nagain: cargo xtask simulate --seed {seed}{plant}",
        trace.join("\n"),
        violation.checker,
        violation.detail
    )
}

/// What was done and how fast.
pub fn speed(count: u64, stats: &Stats, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let per_second = |n: u64| n as f64 / seconds;
    format!(
        "{count} seeds in {seconds:.1} s: {:.0} simulated seconds a second, {:.0} requests a second, {:.0} worker steps a \
         second\n{stats:?}",
        per_second(stats.simulated_ms / 1_000),
        per_second(stats.accepted),
        per_second(stats.steps),
    )
}
