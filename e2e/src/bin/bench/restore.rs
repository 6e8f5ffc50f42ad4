//! `bench restore`: what many accounts and many known ids cost in memory, and how long their stages take to be ready again
//! after a SIGKILL.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use kpay::names::{StageName, TopicName};
use kpay_e2e::broker::Broker;
use kpay_e2e::figures::{machine, publish};
use kpay_e2e::flow::Flow;
use kpay_e2e::load::{self, Appender};
use kpay_e2e::process::{self, usage};
use serde::Serialize;

/// MiB by stage.
type Memory = BTreeMap<&'static str, f64>;

/// Of [`Flow::pods`]: one process a stage.
const STAGES: [usize; 3] = [0, 1, 3];
/// The part of the accounts that is opened before it is measured what each one adds: by then the clients have their buffers.
const WARM_UP: u64 = 10;
/// What a process has freed goes back to the machine within ten seconds.
const AT_REST: Duration = Duration::from_secs(15);

/// What is measured, and where the figures go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Accounts that are opened, each by a command with an id of its own.
    #[arg(long, default_value_t = 1_000_000)]
    accounts: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// The `kpay` to run; the release build beside this program by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Figures {
    /// At rest after a tenth of the accounts, after all of them, and the highest until then.
    warm_rss_mib: Memory,
    rss_mib: Memory,
    peak_rss_mib: Memory,
    /// What an account adds to the account stage, and an id to the inflight stage, after that tenth.
    bytes_each: BTreeMap<&'static str, f64>,
    /// From the start of the process to ready, after a SIGKILL.
    restore_seconds: BTreeMap<&'static str, f64>,
    /// At rest after that.
    restored_rss_mib: Memory,
    restored_peak_rss_mib: Memory,
    conditions: BTreeMap<&'static str, String>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let binary = args.binary.clone().map_or_else(process::binary, Ok)?;
    let broker = Broker::start("bench")?;
    let mut flow = Flow::create(&broker, "restore.", args.partitions, binary)?;
    for number in STAGES {
        flow.start(number)?;
    }
    flow.wait_ready()?;
    let topic = flow.names.topic(TopicName::Incoming);
    let mut appender = Appender::open(&broker.connection("bench"), topic, args.partitions, 5)?;
    let first = args.accounts / WARM_UP;
    let mut open = |accounts: Range<u64>| {
        let until = accounts.end;
        for number in accounts {
            appender.append(&load::open(number, 1_000_000)?)?;
        }
        appender.flush()?;
        flow.wait_finished(until, Duration::from_mins(10))?;
        std::thread::sleep(AT_REST);
        memory(&flow)
    };
    let (warm, _) = open(0..first)?;
    let (full, peak) = open(first..args.accounts)?;
    eprintln!("{} accounts are open", args.accounts);

    let mut restore = BTreeMap::new();
    for number in STAGES {
        flow.kill(number)?;
        let began = Instant::now();
        flow.start(number)?;
        flow.wait_ready()?;
        let stage = flow.pods.get(number).and_then(|pod| pod.stage).context("a stage")?;
        restore.insert(stage.as_str(), began.elapsed().as_secs_f64());
    }
    std::thread::sleep(AT_REST);
    let (restored, restored_peak) = memory(&flow)?;
    let grown = |stage: StageName| {
        let of = |figures: &BTreeMap<&str, f64>| figures.get(stage.as_str()).copied().unwrap_or_default();
        (of(&full) - of(&warm)) * 1024.0 * 1024.0 / count(args.accounts - first)
    };
    let bytes_each = [("account", grown(StageName::Account)), ("id", grown(StageName::Inflight))].into();
    let mut conditions = machine();
    conditions.extend([
        ("accounts", args.accounts.to_string()),
        ("partitions", args.partitions.to_string()),
        ("processes", "1 inflight, 1 account, 1 confirmed, 1 worker each".to_owned()),
        ("shared_with", "broker and load on the same cores".to_owned()),
    ]);
    let figures = Figures {
        warm_rss_mib: warm,
        rss_mib: full,
        peak_rss_mib: peak,
        bytes_each,
        restore_seconds: restore,
        restored_rss_mib: restored,
        restored_peak_rss_mib: restored_peak,
        conditions,
    };
    publish(&figures, args.json.as_deref())
}

#[allow(clippy::cast_precision_loss)] // counts far below 2^53
fn count(accounts: u64) -> f64 {
    accounts as f64
}

/// Resident memory of each stage: now, and the highest.
fn memory(flow: &Flow) -> anyhow::Result<(Memory, Memory)> {
    let (mut now, mut peak) = (BTreeMap::new(), BTreeMap::new());
    for pod in &flow.pods {
        if let (Some(stage), Some(process)) = (pod.stage, pod.process()) {
            let usage = usage(process.pid())?;
            now.insert(stage.as_str(), usage.rss_mib);
            peak.insert(stage.as_str(), usage.peak_rss_mib);
        }
    }
    Ok((now, peak))
}
