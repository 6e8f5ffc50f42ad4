//! Progress for people: one line a step, with its seconds.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Instant;

use anyhow::{Context as _, Result};

/// Runs a step and prints its line: how long it took, its name and what came of it.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<String>) -> Result<()> {
    making(name, || Ok(((), work()?)))
}

/// A step that makes something, and gives it.
pub(crate) fn making<T>(name: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
    let terminal = stdout().is_terminal();
    if terminal {
        print!("      …    {name}\r");
        let _ = stdout().flush(); // only a display
    }
    let started = Instant::now();
    let outcome = work();
    let seconds = started.elapsed().as_secs_f64();
    match &outcome {
        Ok((_, detail)) => println!("{seconds:>7.1} s  {name:<10} {detail}"),
        Err(_) => println!("{seconds:>7.1} s  {name:<10} FAILED"),
    }
    outcome.map(|(made, _)| made).with_context(|| format!("{name} failed"))
}

/// A line within a step, for those that take minutes.
pub(crate) fn note(text: &str) {
    println!("           {text}");
}
