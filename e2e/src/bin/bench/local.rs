//! `bench local`: the whole pipeline in one process on the embedded log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use kpay_e2e::figures::{machine, publish};
use kpay_e2e::load;
use kpay_e2e::local::{Local, fill};
use kpay_e2e::process::{binary, usage};
use kpay_e2e::rest::{Rest, as_json};
use serde::Serialize;

use crate::disk;

const MANIFEST: &str = include_str!("../../../../manifests/payments.yaml");
const FUNDING: i64 = 1_000_000_000;
const CALLERS: u64 = 16;
/// How long the disk is looked at, before the latency is measured and again after it.
const DISK_SECONDS: u64 = 10;
const POLL: Duration = Duration::from_millis(20);

/// What is measured, and where the figures go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Payments of the backlog that is drained.
    #[arg(long, default_value_t = 1_000_000)]
    payments: u64,
    /// Accounts that they are spread over.
    #[arg(long, default_value_t = 100_000)]
    accounts: u64,
    /// Payments per second by REST while latency is measured.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// How long latency is measured, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long that rate runs before, in seconds.
    #[arg(long, default_value_t = 5)]
    warmup_seconds: u64,
    /// The `kpay` to run; the release build beside this program by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Figures {
    payments_per_second: f64,
    latency_ms: BTreeMap<&'static str, f64>,
    /// Of the disk alone, at the same rate: no latency is below it.
    disk_sync_ms: BTreeMap<&'static str, f64>,
    cpu_seconds_per_million: f64,
    log_bytes_per_payment: f64,
    start_ms: BTreeMap<&'static str, f64>,
    rss_mib: BTreeMap<&'static str, f64>,
    conditions: BTreeMap<&'static str, String>,
}

/// Runs it.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let binary = args.binary.clone().map_or_else(binary, Ok)?;
    let mut local = Local::create("bench", binary, MANIFEST)?;
    let empty = started(&mut local)?;
    let idle = rss_mib(&local)?;
    local.stop()?;
    open_accounts(&mut local, args)?;

    let before = dir_bytes(&local)?;
    let payments = (0..args.payments).map(|number| load::payment("d", number, args.accounts));
    fill(&local.store()?, payments)?;
    let began = Instant::now();
    let restored = started(&mut local)?;
    let cpu = |local: &Local| Ok::<_, anyhow::Error>(usage(local.pid().context("not running")?)?.cpu_seconds);
    let cpu_before = cpu(&local)?;
    wait_for(&local, args.payments)?;
    let drained = began.elapsed().as_secs_f64();
    let cpu_used = cpu(&local)? - cpu_before;
    let written = dir_bytes(&local)? - before;
    eprintln!("{:.0} payments/s drained", args.payments as f64 / drained);
    // The backlog was a gigabyte in seconds; what follows is to find a disk that is not still writing it.
    nix::unistd::sync();

    let mut syncs = Histogram::new(3)?;
    disk::syncs(&local.home, args.rate, DISK_SECONDS, &mut syncs)?;
    let latencies = latency(&local, args)?;
    disk::syncs(&local.home, args.rate, DISK_SECONDS, &mut syncs)?;
    let ms = |of: &Histogram<u64>| {
        [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)]
            .map(|(name, quantile)| (name, of.value_at_quantile(quantile) as f64 / 1000.0))
            .into()
    };
    let peak = usage(local.pid().context("not running")?)?.peak_rss_mib;
    let mut conditions = machine();
    conditions.extend([
        ("payments", args.payments.to_string()),
        ("accounts", args.accounts.to_string()),
        ("partitions", "8".to_owned()),
        ("latency", format!("{} payments/s by REST, each until its outcome is answered", args.rate)),
        ("latency_seconds", format!("{} after {} of warm-up", args.seconds, args.warmup_seconds)),
        ("shared_with", "the load on the same cores".to_owned()),
        ("disk", "synced between the drain and the latency".to_owned()),
        (
            "disk_sync",
            format!("fdatasync of 1 KiB, one after the other, {DISK_SECONDS} s before the latency and after"),
        ),
    ]);
    let figures = Figures {
        payments_per_second: args.payments as f64 / drained,
        latency_ms: ms(&latencies),
        disk_sync_ms: ms(&syncs),
        cpu_seconds_per_million: cpu_used / args.payments as f64 * 1e6,
        log_bytes_per_payment: written as f64 / args.payments as f64,
        start_ms: [("empty", empty), ("accounts", restored)].into(),
        rss_mib: [("idle", idle), ("peak", peak)].into(),
        conditions,
    };
    publish(&figures, args.json.as_deref())
}

/// From the start of the process to its first answer as a running pipeline, in milliseconds.
fn started(local: &mut Local) -> anyhow::Result<f64> {
    let began = Instant::now();
    local.start()?;
    local.wait_for_phase("Running", |phase| phase == "Running")?;
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}

fn open_accounts(local: &mut Local, args: &Args) -> anyhow::Result<()> {
    fill(&local.store()?, (0..args.accounts).map(|number| load::open(number, FUNDING)))?;
    local.start()?;
    for number in 0..args.accounts {
        let path = format!("/v1/accounts/{}", load::account(number)?.as_str());
        while local.rest.get_patiently(&path)?.status != 200 {
            std::thread::sleep(POLL);
        }
    }
    local.stop()
}

fn wait_for(local: &Local, payments: u64) -> anyhow::Result<()> {
    let (mut seen, mut moved) = (0, Instant::now());
    while seen < payments {
        let now = local.confirmed_today()?;
        if now != seen {
            (seen, moved) = (now, Instant::now());
        }
        ensure!(moved.elapsed() < Duration::from_mins(1), "{seen} of {payments} confirmed, and no more");
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// From the moment when a payment is due to the answer with its outcome, in microseconds.
fn latency(local: &Local, args: &Args) -> anyhow::Result<Histogram<u64>> {
    let (base, began) = (format!("http://{}", local.address), Instant::now());
    let warmup = args.rate * args.warmup_seconds;
    let total = warmup + args.rate * args.seconds;
    let call = |caller: u64| -> anyhow::Result<Histogram<u64>> {
        let rest = Rest::new(&base)?;
        let mut histogram = Histogram::new(3)?;
        for number in (0..total).filter(|number| number % CALLERS == caller) {
            let due = began + Duration::from_nanos(number * 1_000_000_000 / args.rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let body = as_json(&load::payment("l", number, args.accounts)?)?;
            let answer = rest.post("/v1/payments", &body, Some(30))?;
            ensure!(answer.text("status") == "confirmed", "{answer:?}");
            if number >= warmup {
                histogram.record(u64::try_from(due.elapsed().as_micros())?)?;
            }
        }
        Ok(histogram)
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(move || call(caller))).collect();
        let mut all = Histogram::new(3)?;
        for caller in callers {
            all.add(caller.join().map_err(|_| anyhow::anyhow!("a caller has panicked"))??)?;
        }
        Ok(all)
    })
}

fn rss_mib(local: &Local) -> anyhow::Result<f64> {
    Ok(usage(local.pid().context("not running")?)?.peak_rss_mib)
}

fn dir_bytes(local: &Local) -> anyhow::Result<u64> {
    fn bytes(folder: &Path) -> std::io::Result<u64> {
        let mut sum = 0;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            sum += if entry.file_type()?.is_dir() {
                bytes(&entry.path())?
            } else {
                // A file may go between the listing and the look.
                entry.metadata().map_or(0, |found| found.len())
            };
        }
        Ok(sum)
    }
    Ok(bytes(&local.data())?)
}
