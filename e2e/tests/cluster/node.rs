//! The processes of the pods, as the node sees them.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The process whose environment holds all of `variables` (`NAME=value`), if there is one.
pub(crate) fn process_with(variables: &[String]) -> Option<Pid> {
    let processes = std::fs::read_dir("/proc").ok()?;
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        let has = |wanted: &String| environment.split(|b| *b == 0).any(|v| v == wanted.as_bytes());
        if variables.iter().all(has) {
            return Some(Pid::from_raw(pid));
        }
    }
    None
}

/// The process of a pod, waited for.
pub(crate) fn pod_process(variables: &[String]) -> anyhow::Result<Pid> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(pid) = process_with(variables) {
            return Ok(pid);
        }
        if Instant::now() > deadline {
            bail!("no process has {variables:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn signal(pid: Pid, signal: Signal) -> anyhow::Result<()> {
    kill(pid, signal).with_context(|| format!("{signal} to {pid}"))
}
