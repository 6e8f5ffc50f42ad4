//! `bench pipeline`: the whole flow on one machine, broker and load included.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use kpay::names::{StageName, TopicName};
use kpay_e2e::broker::Broker;
use kpay_e2e::figures::{machine, publish};
use kpay_e2e::flow::Flow;
use kpay_e2e::latency::{Latency, Load, fly, reader_at_end};
use kpay_e2e::load::{self, Appender};
use kpay_e2e::process::{Process, Usage, usage};
use kpay_kafka::config::Isolation;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;

const RULES: &str = include_str!("rules.yaml");

/// What is measured, and where the figures go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Payments of the backlog that is drained.
    #[arg(long, default_value_t = 1_000_000)]
    payments: u64,
    /// Accounts that they are spread over.
    #[arg(long, default_value_t = 100_000)]
    accounts: u64,
    /// Partitions of each topic.
    #[arg(long, default_value_t = 8)]
    partitions: i32,
    /// Payments per second while latency is measured.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// How long latency is measured, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long that rate runs before, in seconds: a broker that has just started is still being compiled.
    #[arg(long, default_value_t = 90)]
    warmup_seconds: u64,
    /// `linger.ms` of the load's producer while latency is measured; it counts as latency.
    #[arg(long, default_value_t = 1)]
    linger_ms: u32,
    /// Judge every payment by limits and five rules that let it pass.
    #[arg(long)]
    rules: bool,
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
    latency_ms: Latency,
    appends_per_payment: f64,
    log_bytes_per_payment: f64,
    cpu_seconds_per_million: BTreeMap<&'static str, f64>,
    peak_rss_mib: BTreeMap<&'static str, f64>,
    conditions: BTreeMap<&'static str, String>,
}

struct Drained {
    seconds: f64,
    cpu: BTreeMap<&'static str, f64>,
    appends: f64,
    bytes: f64,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => std::env::current_exe()?.with_file_name("kpay"),
    };
    anyhow::ensure!(binary.exists(), "{}: build it with cargo build --release -p kpay", binary.display());
    let broker = Broker::start("bench")?;
    eprintln!("broker at {}", broker.bootstrap);
    let mut flow = Flow::create(&broker, "bench.", args.partitions, binary)?;
    if args.rules {
        let file = broker.home().join("rules.yaml");
        std::fs::write(&file, RULES)?;
        flow.phase_source = format!("file:{}", file.display());
    }
    for number in 0..4 {
        flow.start(number)?;
    }
    flow.wait_ready()?;
    open_accounts(&broker, &flow, args)?;
    let drained = drain(&broker, &mut flow, args)?;
    eprintln!("{:.0} payments/s drained; CPU {:?}", per_second(args.payments, drained.seconds), drained.cpu);
    let latency = latency(&broker, &flow, args)?;
    let figures = Figures {
        payments_per_second: per_second(args.payments, drained.seconds),
        latency_ms: latency,
        appends_per_payment: drained.appends,
        log_bytes_per_payment: drained.bytes,
        cpu_seconds_per_million: drained.cpu,
        peak_rss_mib: peak_rss(&flow)?,
        conditions: conditions(args),
    };
    publish(&figures, args.json.as_deref())
}

#[allow(clippy::cast_precision_loss)] // counts far below 2^53
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

fn appender(broker: &Broker, flow: &Flow, args: &Args, linger_ms: u32) -> anyhow::Result<Appender> {
    let topic = flow.names.topic(TopicName::Incoming);
    Appender::open(&broker.connection("bench"), topic, args.partitions, linger_ms)
}

fn open_accounts(broker: &Broker, flow: &Flow, args: &Args) -> anyhow::Result<()> {
    let mut appender = appender(broker, flow, args, 5)?;
    for number in 0..args.accounts {
        appender.append(&load::open(number, 1_000_000)?)?;
    }
    appender.flush()?;
    flow.wait_finished(args.accounts, Duration::from_mins(5))?;
    eprintln!("{} accounts are open", args.accounts);
    Ok(())
}

/// The intake is stopped while the backlog is written, so that the drain is measured alone: from the first payment
/// accepted to the last one finished.
fn drain(broker: &Broker, flow: &mut Flow, args: &Args) -> anyhow::Result<Drained> {
    flow.stop(0)?;
    let mut appender = appender(broker, flow, args, 5)?;
    for number in 0..args.payments {
        appender.append(&load::payment("d", number, args.accounts)?)?;
    }
    appender.flush()?;
    drop(appender);
    let (appends, bytes) = log_size(broker, flow)?;
    let before = cpu(broker, flow)?;
    flow.start(0)?;
    while flow.count(StageName::Inflight).unwrap_or(0) <= args.accounts {
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    flow.wait_finished(args.accounts + args.payments, Duration::from_mins(15))?;
    let seconds = began.elapsed().as_secs_f64();
    let after = cpu(broker, flow)?;
    let (appends_after, bytes_after) = log_size(broker, flow)?;
    let million = 1_000_000.0 / per_second(args.payments, 1.0);
    // Each payment's own append to payment.incoming is written before the measurement begins.
    let backlog = 1.0;
    let backlog_bytes = incoming_bytes(broker, flow)?;
    Ok(Drained {
        seconds,
        cpu: after.iter().map(|(k, v)| (*k, (v - before.get(k).unwrap_or(&0.0)) * million)).collect(),
        appends: (appends_after - appends) / per_second(args.payments, 1.0) + backlog,
        bytes: (bytes_after - bytes + backlog_bytes) / per_second(args.payments, 1.0),
    })
}

fn processes(flow: &Flow) -> impl Iterator<Item = (StageName, &Process)> {
    flow.pods.iter().filter_map(|pod| Some((pod.stage?, pod.process()?)))
}

fn cpu(broker: &Broker, flow: &Flow) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let mut sums = BTreeMap::new();
    for (_, process) in processes(flow) {
        *sums.entry("processors").or_default() += usage(process.pid())?.cpu_seconds;
    }
    sums.insert("broker", usage(broker.pid().context("broker")?)?.cpu_seconds);
    Ok(sums)
}

fn peak_rss(flow: &Flow) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let mut peaks = BTreeMap::new();
    for (stage, process) in processes(flow) {
        let Usage { peak_rss_mib, .. } = usage(process.pid())?;
        let peak: &mut f64 = peaks.entry(stage.as_str()).or_default();
        *peak = peak.max(peak_rss_mib);
    }
    Ok(peaks)
}

/// Records (control records included) and bytes of all topics of the pipeline.
#[allow(clippy::cast_precision_loss)]
fn log_size(broker: &Broker, flow: &Flow) -> anyhow::Result<(f64, f64)> {
    let reader: BaseConsumer = broker.connection("bench").reader(Isolation::Uncommitted).create()?;
    let mut records = 0;
    for topic in TopicName::ALL {
        let name = flow.names.topic(topic);
        for partition in 0..broker.admin()?.partition_count(&name)? {
            records += reader.fetch_watermarks(&name, partition, Duration::from_secs(10))?.1;
        }
    }
    Ok((records as f64, dir_bytes(&broker.data, &flow.names.prefix)? as f64))
}

#[allow(clippy::cast_precision_loss)]
fn incoming_bytes(broker: &Broker, flow: &Flow) -> anyhow::Result<f64> {
    Ok(dir_bytes(&broker.data, &flow.names.topic(TopicName::Incoming))? as f64)
}

fn dir_bytes(data: &Path, prefix: &str) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            for file in std::fs::read_dir(entry.path())? {
                let file = file?;
                if file.path().extension().is_some_and(|e| e == "log") {
                    bytes += file.metadata()?.len();
                }
            }
        }
    }
    Ok(bytes)
}

fn latency(broker: &Broker, flow: &Flow, args: &Args) -> anyhow::Result<Latency> {
    let warmup = args.rate * args.warmup_seconds;
    let total = warmup + args.rate * args.seconds;
    let confirmed = flow.names.topic(TopicName::Confirmed);
    let reader = reader_at_end(&broker.connection("bench"), &confirmed, args.partitions)?;
    let mut appender = appender(broker, flow, args, args.linger_ms)?;
    let load = Load { run: "l", accounts: args.accounts, rate: args.rate };
    let flown = fly(&reader, &mut appender, load, |number| number < total)?;
    flown.latency(&(usize::try_from(warmup)?..usize::try_from(total)?))
}

fn conditions(args: &Args) -> BTreeMap<&'static str, String> {
    let mut conditions = machine();
    conditions.extend([
        ("payments", args.payments.to_string()),
        ("accounts", args.accounts.to_string()),
        ("partitions", args.partitions.to_string()),
        ("processes", "1 inflight, 2 account, 1 confirmed, 1 worker each".to_owned()),
        ("latency_rate_per_second", args.rate.to_string()),
        ("latency_seconds", format!("{} after {} of warm-up", args.seconds, args.warmup_seconds)),
        ("rules", if args.rules { "all limits, 5 rules" } else { "none" }.to_owned()),
        ("load_linger_ms", args.linger_ms.to_string()),
        ("shared_with", "broker, load and readers on the same cores".to_owned()),
    ]);
    conditions
}
