//! `cargo xtask bench upgrade`: what a client sees of a new release, and of the way back. Figures only; that no payment is lost
//! or carried out twice is asked of the auditor as in every test.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay::names::TopicName;
use kpay_crds::UpgradeState;
use kpay_e2e::figures::{machine, publish};
use kpay_e2e::latency::{Flown, Latency, Load, fly, reader_at_end};
use serde::Serialize;
use serde_json::{Value, json};

use crate::upgrade::{release, upgrade};
use crate::world::{World, alone};

const ACCOUNTS: u64 = 1_000;
const RUN: &str = "upgrade";
/// A broker and pods that have just started are slower.
const WARM_UP: Duration = Duration::from_secs(30);
const BEFORE: Duration = Duration::from_secs(30);

#[derive(Debug, Serialize)]
struct Figures {
    payments: usize,
    before: Window,
    to_new: Window,
    back: Window,
    conditions: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Window {
    seconds: f64,
    latency_ms: Latency,
    /// Of each second in which a payment took longer than one: which second it was, and the longest.
    worst_seconds: BTreeMap<u64, f64>,
}

#[test]
#[ignore = "a benchmark: cargo xtask bench upgrade"]
fn upgrade_under_load_and_back() -> anyhow::Result<()> {
    let _turn = alone();
    let rate: u64 = std::env::var("KPAY_BENCH_RATE").context("KPAY_BENCH_RATE")?.parse()?;
    let spec = json!({"upgrade": {"verify": "15s"}});
    let mut world = World::start_with("bench-upgrade", ACCOUNTS, &spec)?;
    let first = world.status()?.release.context("no release")?.image;

    let confirmed = world.names.topic(TopicName::Confirmed);
    let partitions = world.admin.partition_count(&confirmed)?;
    let reader = reader_at_end(&world.connection, &confirmed, partitions)?;
    let mut appender = world.another_appender()?;
    let (going, load) = (AtomicBool::new(true), Load { run: RUN, accounts: ACCOUNTS, rate });
    let (times, flown) = std::thread::scope(|scope| -> anyhow::Result<_> {
        let flight = scope.spawn(|| fly(&reader, &mut appender, load, |_| going.load(Ordering::Relaxed)));
        let times = there_and_back(&world, &first);
        going.store(false, Ordering::Relaxed);
        let flown = flight.join().ok().context("the load has panicked")?;
        Ok((times?, flown?))
    })?;

    for number in 0..flown.sent.len() {
        world
            .ids
            .insert(kpay_e2e::load::payment(RUN, u64::try_from(number)?, ACCOUNTS)?.id().as_str().into());
    }
    world.find_gateway()?;
    let report = world.audit_with_rest()?;
    ensure!(report.letters.is_empty(), "{:?}", report.letters);

    let [began, changed, new, back] = times;
    let mut conditions = machine();
    conditions.extend([
        ("rate_per_second", rate.to_string()),
        ("accounts", ACCOUNTS.to_string()),
        ("pods", "1 gateway, 1 inflight, 2 account, 1 confirmed".to_owned()),
        ("shared_with", "Kubernetes, broker, load and reader on the same cores".to_owned()),
        ("audit", "no payment lost or carried out twice".to_owned()),
    ]);
    let figures = Figures {
        payments: flown.sent.len(),
        before: window(&flown, began, changed)?,
        to_new: window(&flown, changed, new)?,
        back: window(&flown, new, back)?,
        conditions,
    };
    publish(&figures, std::env::var_os("KPAY_BENCH_JSON").as_deref().map(Path::new))
}

/// When the time before began and ended, when the new release was through, and when the first one was back.
fn there_and_back(world: &World, first: &str) -> anyhow::Result<[Instant; 4]> {
    std::thread::sleep(WARM_UP);
    let began = Instant::now();
    std::thread::sleep(BEFORE);
    let changed = Instant::now();
    upgrade(world, &release("none"), ":none", UpgradeState::Succeeded)?;
    let new = Instant::now();
    upgrade(world, &json!({"image": Value::Null}), first, UpgradeState::Succeeded)?;
    Ok([began, changed, new, Instant::now()])
}

fn window(flown: &Flown, from: Instant, to: Instant) -> anyhow::Result<Window> {
    let numbers = flown.sent_between(from, to);
    let mut worst_seconds = BTreeMap::new();
    for (number, at) in flown.arrived.iter().filter(|(number, _)| numbers.contains(number)) {
        let sent = flown.sent.get(*number).context("a payment that was not sent")?;
        let (second, took) = (sent.duration_since(from).as_secs(), at.duration_since(*sent).as_secs_f64());
        if took > 1.0 {
            let worst: &mut f64 = worst_seconds.entry(second).or_default();
            *worst = worst.max(took);
        }
    }
    let seconds = to.duration_since(from).as_secs_f64();
    Ok(Window { seconds, latency_ms: flown.latency(&numbers)?, worst_seconds })
}
