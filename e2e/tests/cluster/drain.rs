//! Pause and resume by the desired phase.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::StreamExt;
use kpay::names::StageName;
use kpay_e2e::load::{self, Appender};
use kpay_e2e::rest::payment;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use crate::pods::Stopped;
use crate::world::{World, phase_of, turn};

const ACCOUNTS: u64 = 50;

/// 500 payments a second straight to the topic, until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<anyhow::Result<BTreeSet<String>>>,
}

impl Load {
    fn start(world: &World, run: &'static str) -> anyhow::Result<Self> {
        let mut appender = world.another_appender()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sender = std::thread::spawn(move || send(&mut appender, run, &stopped));
        Ok(Self { stop, sender })
    }

    /// The ids that were sent.
    fn stop(self) -> anyhow::Result<BTreeSet<String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().ok().context("the sender panicked")?
    }
}

fn send(appender: &mut Appender, run: &str, stop: &AtomicBool) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let begin = Instant::now();
    let mut number = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let intake = load::payment(run, number.into(), ACCOUNTS)?;
        ids.insert(intake.id().as_str().to_owned());
        appender.append(&intake)?;
        number += 1;
        let due = begin + Duration::from_millis(2) * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    appender.flush()?;
    Ok(ids)
}

/// Every phase that the resource goes through from now on.
fn phases(world: &World) -> Arc<Mutex<Vec<&'static str>>> {
    let seen: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let into = Arc::clone(&seen);
    let events = watcher(world.pipelines(), watcher::Config::default()).default_backoff().applied_objects();
    world.cluster.runtime.spawn(async move {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let Ok(pipeline) = event else { continue };
            let phase = pipeline.status.as_ref().map_or("", phase_of);
            let Ok(mut seen) = into.lock() else { return };
            if seen.last() != Some(&phase) {
                seen.push(phase);
            }
        }
    });
    seen
}

#[test]
fn a_pause_under_load_is_proven_buffers_the_intake_and_loses_nothing() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("pause", ACCOUNTS)?;
    let seen = phases(&world);
    let load = Load::start(&world, "load")?;
    let target = world.tail.seen.len() + 1_000;
    world.tail.follow(crate::world::WITHIN, |seen| seen.len() >= target)?;

    world.desire("Paused")?;
    let status = world.reach("Paused")?;
    let in_flight = status.in_flight.context("status.inFlight")?;
    assert_eq!((in_flight.count, in_flight.value.values().sum::<i64>()), (0, 0));
    for stage in [StageName::Account, StageName::Confirmed] {
        assert!(world.at_rest(stage)?, "{stage:?} has something to read, and the phase is Paused");
    }
    // The senders go on, and nothing of it is processed.
    let answer =
        world.rest.post("/v1/payments", &payment("buffered", "acct-000000", "acct-000001", 7), Some(5))?;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.text("note").contains("Paused"), "{answer:?}");
    world.ids.insert("buffered".to_owned());
    let read_back = world.rest.get("/v1/payments/buffered")?;
    assert_eq!((read_back.status, read_back.text("status")), (200, "accepted"), "{read_back:?}");
    let waiting = world.at_rest(StageName::Inflight)?;
    assert!(!waiting, "nothing waits in payment.incoming under load");
    world.ids.extend(load.stop()?);
    let still = world.status()?;
    assert_eq!((phase_of(&still), still.in_flight.map(|sum| sum.count)), ("Paused", Some(0)));

    world.desire("Running")?;
    world.reach("Running")?;
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), world.ids.len());
    let mut seen = seen.lock().map_err(|_| anyhow::anyhow!("the watch failed"))?.clone();
    seen.dedup();
    assert_eq!(seen, ["Running", "Draining", "Paused", "Resuming", "Running"]);
    Ok(())
}

#[test]
fn a_drain_with_a_stopped_account_pod_stays_draining_and_names_the_pod() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("stuck", ACCOUNTS)?;
    let pod = "payments-account-1";
    let mut stopped = Stopped::default();
    stopped.stop(&world, pod)?;
    stays_draining(&world, pod)?;
    stopped.go_on(pod)?;
    let status = world.reach("Paused")?;
    assert_eq!(status.in_flight.map(|sum| sum.count), Some(0));
    runs_again(&mut world)
}

/// Resumes, pays, and asks the auditor.
fn runs_again(world: &mut World) -> anyhow::Result<()> {
    world.desire("Running")?;
    world.reach("Running")?;
    for number in 0..100 {
        world.send(&load::payment("after", number, ACCOUNTS)?)?;
    }
    world.audit_with_rest()?;
    Ok(())
}

/// Asks for a pause, and looks at the resource for as long as it takes to be told of the pod, and then some.
fn stays_draining(world: &World, pod: &str) -> anyhow::Result<()> {
    world.desire("Paused")?;
    let said = world.cluster.until("the condition names the pod", |_| {
        let status = world.status()?;
        ensure!(phase_of(&status) != "Paused", "Paused although {pod} is stopped");
        let drained =
            status.conditions.iter().find(|c| c.type_ == "Drained").context("no condition Drained")?;
        let names = drained.status != "True" && drained.message.contains(pod);
        ensure!(names, "{:?} {drained:?}", status.phase);
        Ok(Some(drained.message.clone()))
    })?;
    println!("{said}");
    // The operator has to look at it some more times.
    let pipelines = world.pipelines();
    for _ in 0..20 {
        let status = world.cluster.wait(pipelines.get_status(crate::world::NAME))?.status.unwrap_or_default();
        ensure!(phase_of(&status) == "Draining", "{:?} although {pod} is stopped", status.phase);
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[test]
fn a_drain_that_takes_too_long_is_given_up_or_forced_as_the_spec_says() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("late", ACCOUNTS)?;
    let pod = "payments-account-1";
    let mut stopped = Stopped::default();
    stopped.stop(&world, pod)?;
    given_up_then_forced(&world, pod)?;
    stopped.go_on(pod)?;
    runs_again(&mut world)
}

fn given_up_then_forced(world: &World, pod: &str) -> anyhow::Result<()> {
    let drain = |action: &str| json!({"spec": {"desiredPhase": "Paused", "drain": {"timeout": "1s", "onTimeout": action}}});
    for (action, phase, reason) in [("Resume", "Resuming", "DrainGivenUp"), ("Force", "Paused", "Forced")] {
        let patch = Patch::Merge(drain(action));
        world.cluster.wait(world.pipelines().patch(crate::world::NAME, &PatchParams::default(), &patch))?;
        world.cluster.until(&format!("the drain ends with {reason}"), |_| {
            let status = world.status()?;
            let drained =
                status.conditions.iter().find(|c| c.type_ == "Drained").context("no condition Drained")?;
            // Without the stopped pod there is no proof that payments flow again.
            let ended = phase_of(&status) == phase && drained.reason == reason;
            ensure!(ended && drained.status == "False", "{:?} {drained:?}", status.phase);
            ensure!(drained.message.contains(pod), "{}", drained.message);
            Ok(Some(()))
        })?;
    }
    Ok(())
}
