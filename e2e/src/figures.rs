//! What a benchmark ran on, and where its figures go. Only I/O.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// The machine and the build, for the figures' `conditions`.
pub fn machine() -> BTreeMap<&'static str, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
    BTreeMap::from([
        ("cores", cores.to_string()),
        ("cpu", model.trim_start_matches(['\t', ' ', ':']).to_owned()),
        ("load_average_at_end", read("/proc/loadavg").trim().to_owned()),
        ("kpay", env!("CARGO_PKG_VERSION").to_owned()),
    ])
}

/// Prints the figures as JSON, and writes them to the file if one was named.
pub fn publish(figures: &impl Serialize, file: Option<&Path>) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(figures)?;
    println!("{json}");
    if let Some(path) = file {
        std::fs::write(path, json + "\n").with_context(|| path.display().to_string())?;
    }
    Ok(())
}
