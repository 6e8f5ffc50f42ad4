//! What a benchmark ran on. Only I/O.

use std::collections::BTreeMap;

/// The machine and the build, for the figures' `conditions`.
pub(crate) fn machine() -> BTreeMap<&'static str, String> {
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
