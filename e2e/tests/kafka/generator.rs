//! The load generator as a process of the pipeline, with the load of a resource.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use kpay::args::{PhaseSource, PodArgs};
use kpay::generator::{Part, Settings, pod};
use kpay::names::TopicName;
use kpay::pod::phase::{Learned, Learning};
use kpay_crds::{DesiredPhase, Phase};
use kpay_domain::{Currency, Policy};
use kpay_e2e::auditor::record::Ending;
use kpay_e2e::broker::free_ports;
use kpay_e2e::flow::Generator;
use serde_json::json;
use tokio::sync::watch;

use crate::world::{WITHIN, World, broker, turn};

const ACCOUNTS: u64 = 20;
const FUNDING: i64 = 1_000_000;
/// Each of two pods sends half of 200 a second for three seconds, and then nothing.
const STEPS: &str = "200:3s,0:1s";
const OF_A_POD: usize = 300;

#[test]
fn pods_of_a_generator_share_the_load_and_one_that_starts_again_repeats_no_payment() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "generator.", 0)?;
    let resource = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {"kafka": {"bootstrapServers": broker.bootstrap}, "processors": {"generator": {
            "replicas": 2, "steps": STEPS, "accounts": ACCOUNTS, "funding": FUNDING, "duplicates": "10%",
        }}},
    });
    let file = broker.home().join("generator.yaml");
    std::fs::write(&file, resource.to_string())?;
    let openings = usize::try_from(ACCOUNTS)?;
    let of_a_pod = openings + OF_A_POD;

    let first = world.flow.start_generator("flow-generator-0", &file)?;
    let second = world.flow.start_generator("flow-generator-1", &file)?;
    let sent = wait_for_records(&world, 2 * of_a_pod)?;
    assert_eq!(sent.len(), 2 * of_a_pod, "both together, and nothing after the last step");
    for generator in [&first, &second] {
        wait_until_it_says(generator, of_a_pod)?;
        let control: serde_json::Value =
            reqwest::blocking::get(format!("http://{}/control", generator.control))?.json()?;
        assert_eq!((control["stage"].as_str(), control["epoch"].as_u64()), (Some("generator"), Some(1)));
    }
    // SIGKILL, and the same name again.
    drop(second);
    let again = world.flow.start_generator("flow-generator-1", &file)?;
    let sent = wait_for_records(&world, 3 * of_a_pod)?;
    assert_eq!(sent.len(), 3 * of_a_pod);
    first.process.stop()?;
    again.process.stop()?;

    world.ids = sent.into_iter().collect();
    world.funded = i128::from(FUNDING) * i128::from(ACCOUNTS);
    let payments: Vec<&String> = world.ids.iter().filter(|id| !id.starts_with("open:")).collect();
    let runs: BTreeSet<&str> = payments.iter().filter_map(|id| Some(id.split_once('-')?.0)).collect();
    assert_eq!((runs.len(), world.ids.len() - payments.len()), (3, openings));
    // Of each run a tenth repeats one before.
    let distinct = payments.len();
    assert!((700..3 * OF_A_POD - 30).contains(&distinct), "{distinct} of {}", 3 * OF_A_POD);
    let report = world.audit()?;
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    assert_eq!(report.outcomes.len(), distinct + openings);
    let other = report.outcomes.values().find(|outcome| outcome.ending != Ending::Confirmed);
    assert!(other.is_none(), "a payment overtook the opening of its account: {other:?}");
    Ok(())
}

/// The ids of payment.incoming, once there are so many records.
fn wait_for_records(world: &World, count: usize) -> anyhow::Result<Vec<String>> {
    let deadline = Instant::now() + WITHIN;
    loop {
        let records = world.records(TopicName::Incoming)?;
        if records.len() >= count {
            let id = |key: Option<Vec<u8>>| {
                String::from_utf8(key.context("a record without a key")?).map_err(Into::into)
            };
            return records.into_iter().map(|record| id(record.key)).collect();
        }
        ensure!(
            Instant::now() < deadline,
            "{} of {count} records\n{}",
            records.len(),
            world.flow.log_tails()
        );
    }
}

/// What its metrics say, which follow the broker's confirmations.
fn wait_until_it_says(generator: &Generator, sent: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + WITHIN;
    let wanted = format!("kpay_generator_records_sent_total {sent}\n");
    loop {
        let text = reqwest::blocking::get(format!("http://{}/metrics", generator.control))?.text()?;
        if text.contains(&wanted) {
            assert!(text.contains("kpay_generator_records_failed_total 0\n"), "{text}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "no {wanted} in\n{text}");
    }
}

fn learned(phase: Phase, epoch: u64) -> Learned {
    Learned {
        phase,
        epoch,
        desired: DesiredPhase::Running,
        intake_per_second: None,
        slow_start_ms: 0,
        rejects_while_closed: false,
    }
}

fn part(rate: u64) -> Arc<Part> {
    let settings = Settings { rate, accounts: ACCOUNTS, funding: Some(FUNDING), ..Settings::default() };
    Arc::new(Part { settings, pods: 1 })
}

/// The generator of a pod in this process, so that the test can be what it watches.
#[test]
fn a_generator_follows_its_load_waits_for_the_phase_and_rests_without_one() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "follows.", 0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (phase, phases) = watch::channel(None);
    let (load, loads) = watch::channel(Some(part(200)));
    let (stop, shutdown) = watch::channel(false);
    let policy = watch::channel(Arc::new(Policy::new(Currency::new("USD")?))).1;
    let learning =
        Learning { phase: phases, policy, pause: watch::channel(Arc::default()).1, generator: loads };
    let [port] = free_ports()?;
    let args = PodArgs {
        bootstrap_servers: broker.bootstrap.clone(),
        topic_prefix: world.flow.names.prefix.clone(),
        pod_name: "follows".to_owned(),
        advertised_address: String::new(),
        listen: format!("127.0.0.1:{port}").parse()?,
        pipeline: "default/payments".parse().map_err(anyhow::Error::msg)?,
        phase_source: PhaseSource::StaticRunning,
        log: String::new(),
        currency: "USD".to_owned(),
    };
    let pod = runtime.spawn(pod::run(args, learning, shutdown));

    // Nothing is known of the phase.
    assert_eq!(wait_until_quiet(&world)?, 0);
    phase.send_replace(Some(learned(Phase::Running, 1)));
    wait_for_runs(&mut world, 1)?;
    phase.send_replace(Some(learned(Phase::Draining, 2)));
    let paused = wait_until_quiet(&world)?;
    // Another load is no reason to send.
    load.send_replace(Some(part(400)));
    assert_eq!(wait_until_quiet(&world)?, paused);
    phase.send_replace(Some(learned(Phase::Resuming, 3)));
    wait_for_runs(&mut world, 2)?;
    load.send_replace(None);
    let rests = wait_until_quiet(&world)?;
    load.send_replace(Some(part(300)));
    wait_for_runs(&mut world, 3)?;
    stop.send_replace(true);
    runtime.block_on(pod)??;

    let sent = wait_for_records(&world, rests)?;
    let openings = sent.iter().filter(|id| id.starts_with("open:")).count();
    assert_eq!(openings, usize::try_from(ACCOUNTS)?, "once, whatever the load is");
    world.ids = sent.into_iter().collect();
    world.funded = i128::from(FUNDING) * i128::from(ACCOUNTS);
    let report = world.audit()?;
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    let other = report.outcomes.values().find(|outcome| outcome.ending != Ending::Confirmed);
    assert!(other.is_none(), "{other:?}");
    Ok(())
}

/// Waits until so many runs have made some payments each.
fn wait_for_runs(world: &mut World, count: usize) -> anyhow::Result<()> {
    const OF_A_RUN: usize = 100;
    world.tail.follow(WITHIN, |seen| {
        let mut runs = BTreeMap::<&str, usize>::new();
        for (run, _) in seen.keys().filter(|id| !id.starts_with("open:")).filter_map(|id| id.split_once('-'))
        {
            *runs.entry(run).or_default() += 1;
        }
        runs.len() == count && runs.values().all(|payments| *payments >= OF_A_RUN)
    })
}

/// How many records there are, once three looks at all of them see as many.
fn wait_until_quiet(world: &World) -> anyhow::Result<usize> {
    let deadline = Instant::now() + WITHIN;
    let (mut before, mut same) = (usize::MAX, 0);
    while same < 3 {
        let now = world.records(TopicName::Incoming)?.len();
        same = if now == before { same + 1 } else { 0 };
        before = now;
        ensure!(Instant::now() < deadline, "{now} records, and still more");
    }
    Ok(before)
}
