//! Pods come with the load and go without it, and no payment is lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kpay_crds::PaymentPipelineStatus;
use kpay_e2e::rest::payment;
use serde_json::{Value, json};

use crate::live::while_payments_flow;
use crate::world::{World, alone};

const ACCOUNTS: u64 = 20;

/// Every stage goes from one pod to three and back while payments flow. What asks for the pods is a latency that nothing
/// can reach: a load that needs three would be one for the machine that the test runs on.
#[test]
fn stages_are_scaled_up_and_down_under_load_without_a_loss() -> anyhow::Result<()> {
    let _turn = alone();
    let spec = json!({
        "processors": {"account": {"replicas": 1}},
        "autoscaling": {"maxReplicas": 3, "cooldown": "2s", "scaleDownAfter": "4s"},
        "slo": {"latencyP99": "1ms"},
    });
    let mut world = World::start_with("scaling", ACCOUNTS, &spec)?;
    while_payments_flow(&mut world, ACCOUNTS, up_and_down)?;
    let report = world.audit_with_rest()?;
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}

fn up_and_down(world: &mut World) -> anyhow::Result<()> {
    let status = reach(world, 3)?;
    for stage in ["inflight", "account", "confirmed"] {
        ensure!(status.autoscaling[stage].changed_at.is_some(), "{stage} was not scaled: {status:?}");
    }
    world.patch(&json!({"slo": {"latencyP99": Value::Null}}))?;
    let (stop, mut rest) = (AtomicBool::new(false), Vec::new());
    let slowest = std::thread::scope(|scope| -> anyhow::Result<Duration> {
        let (gateway, stop) = (&world.rest, &stop);
        let probes = scope.spawn(|| -> anyhow::Result<Duration> {
            let mut slowest = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                // From every account in turn, so through every partition.
                let number = rest.len();
                let id = format!("while-pods-go-{number}");
                let from = format!("acct-{:06}", number % 20);
                let body = payment(&id, &from, &format!("acct-{:06}", (number + 1) % 20), 1);
                let asked = Instant::now();
                let answer = gateway.post_patiently("/v1/payments", &body, Some(30))?;
                // Without an outcome within the wait the audit asks for it.
                ensure!(["accepted", "confirmed"].contains(&answer.text("status")), "{answer:?}");
                slowest = slowest.max(asked.elapsed());
                rest.push(id);
            }
            Ok(slowest)
        });
        let down = reach(world, 1);
        stop.store(true, Ordering::Relaxed);
        let slowest = probes.join().ok().context("the prober has panicked")?;
        down.and(slowest)
    })?;
    println!("{} payments by REST while pods went; the slowest took {slowest:?}", rest.len());
    world.ids.extend(rest);
    Ok(())
}

/// Waits until each stage has so many pods, and all are ready.
fn reach(world: &World, pods: i32) -> anyhow::Result<PaymentPipelineStatus> {
    world.cluster.until(&format!("{pods} pods of each stage"), |_| {
        let status = world.status()?;
        let stages = status.processors.iter().filter(|(name, _)| *name != "gateway");
        let (count, as_wanted) = stages.fold((0, true), |(count, all), (_, report)| {
            (count + 1, all && report.desired == pods && report.ready == pods)
        });
        ensure!(count == 3 && as_wanted, "{:?} {:?}", status.processors, status.autoscaling);
        Ok(Some(status))
    })
}
