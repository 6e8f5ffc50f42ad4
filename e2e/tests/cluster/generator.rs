//! The load generator as a processor of the resource.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kpay::names::TopicName;
use kpay_e2e::auditor::record::Ending;
use kpay_e2e::rest::payment;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::world::{FUNDING, WITHIN, World, turn};

const ACCOUNTS: i64 = 20;
const PODS: usize = 2;
const DEPLOYMENT: &str = "payments-generator";
/// Payments a second, all pods together, before the change and after.
const SLOW: i64 = 60;
const FAST: i64 = 240;
/// So long a run is looked at.
const SECONDS: i64 = 10;

#[test]
fn a_generator_pays_follows_its_rate_without_a_restart_waits_while_paused_and_goes_with_its_field()
-> anyhow::Result<()> {
    let _turn = turn();
    let generator = json!({"replicas": PODS, "rate": SLOW, "accounts": ACCOUNTS, "funding": FUNDING});
    let mut world = World::start_with("generator", 0, &json!({"processors": {"generator": generator}}))?;
    let slow = wait_for_runs(&mut world, SLOW, &BTreeSet::new())?;
    let pods = world.incarnations()?;
    let mut generators = pods.keys().filter(|pod| pod.starts_with(DEPLOYMENT));
    ensure!(generators.by_ref().count() == PODS, "{pods:?}");

    world.patch(&json!({"processors": {"generator": {"rate": FAST}}}))?;
    let fast = wait_for_runs(&mut world, FAST, &slow)?;
    let runs = runs(&world)?;
    let rate = |of: &BTreeSet<String>| -> anyhow::Result<f64> {
        of.iter().map(|run| per_second(runs.get(run).context("a run")?)).sum()
    };
    let (before, after) = (rate(&slow)?, rate(&fast)?);
    println!("{before:.1} a second, then {after:.1}");
    let (ratio, expected) = (after / before, f64::from(i32::try_from(FAST / SLOW)?));
    ensure!((ratio / expected - 1.0).abs() < 0.2, "{ratio:.2} times as many, not {expected}");

    nothing_is_sent_while_paused(&mut world)?;
    assert_eq!(world.incarnations()?, pods, "a pod was restarted or replaced");

    world.patch(&json!({"processors": {"generator": null}}))?;
    let deployments: Api<Deployment> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    world.cluster.until("the generator is gone", |cluster| {
        let deployment = cluster.wait(deployments.get_opt(DEPLOYMENT))?;
        let pods = cluster.wait(world.pods().list(&ListParams::default()))?;
        let left = pods.iter().filter(|pod| pod.name_any().starts_with(DEPLOYMENT)).count();
        ensure!(deployment.is_none() && left == 0, "{left} pods");
        Ok(Some(()))
    })?;
    let status = world.status()?;
    assert!(!status.processors.contains_key("generator"), "{:?}", status.processors);

    world.ids = sent(&world)?.into_iter().map(|(id, _)| id).collect();
    world.funded = i128::from(FUNDING) * i128::from(ACCOUNTS);
    let report = world.audit_with_rest()?;
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    let other = report.outcomes.values().find(|outcome| outcome.ending != Ending::Confirmed);
    assert!(other.is_none(), "{other:?}");
    Ok(())
}

/// The pause is proven with the generator there, and between two payments by REST nothing else comes in.
fn nothing_is_sent_while_paused(world: &mut World) -> anyhow::Result<()> {
    world.desire("Paused")?;
    world.reach("Paused")?;
    let by_rest = 300;
    for number in 0..by_rest {
        let body = payment(&format!("paused-{number:03}"), "acct-000000", "acct-000001", 1);
        let answer = world.rest.post_patiently("/v1/payments", &body, None)?;
        ensure!(answer.status == 202, "{answer:?}");
    }
    let all = sent(world)?;
    let at = |id: &str| all.iter().find(|(found, _)| found == id).map(|(_, at_ms)| *at_ms).context("by REST");
    let (first, last) = (at("paused-000")?, at(&format!("paused-{:03}", by_rest - 1))?);
    ensure!(first < last, "{by_rest} payments within a millisecond");
    let meanwhile: Vec<_> = all
        .iter()
        .filter(|(id, at_ms)| (first..=last).contains(at_ms) && !id.starts_with("paused-"))
        .collect();
    ensure!(meanwhile.is_empty(), "while paused: {meanwhile:?}");
    world.desire("Running")?;
    world.reach("Running")?;
    let target = sent(world)?.len() + usize::try_from(FAST)?;
    world.cluster.until("the generator goes on", |_| Ok((sent(world)?.len() >= target).then_some(())))
}

/// Id and time of every record in payment.incoming.
fn sent(world: &World) -> anyhow::Result<Vec<(String, i64)>> {
    let records = world.records(TopicName::Incoming)?;
    let one = |raw: kpay_e2e::auditor::books::Raw| {
        Ok((String::from_utf8(raw.key.context("a record without a key")?)?, raw.timestamp_ms))
    };
    records.into_iter().map(one).collect()
}

/// When the payments of each run came in, in order.
fn runs(world: &World) -> anyhow::Result<BTreeMap<String, Vec<i64>>> {
    let mut runs: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (id, at_ms) in sent(world)? {
        if let Some((run, _)) = id.split_once('-').filter(|_| !id.starts_with("open:")) {
            runs.entry(run.to_owned()).or_default().push(at_ms);
        }
    }
    for stamps in runs.values_mut() {
        stamps.sort_unstable();
    }
    Ok(runs)
}

/// Waits until a run of every pod that is not among `old` is long enough at this rate; their names.
fn wait_for_runs(world: &mut World, rate: i64, old: &BTreeSet<String>) -> anyhow::Result<BTreeSet<String>> {
    let enough = usize::try_from(rate * SECONDS)? / PODS;
    let long = |seen: &BTreeMap<String, u32>| -> BTreeSet<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for id in seen.keys().filter(|id| !id.starts_with("open:")) {
            *counts.entry(id.split_once('-').map_or("", |(run, _)| run)).or_default() += 1;
        }
        counts.retain(|run, count| *count >= enough && !old.contains(*run));
        counts.into_keys().map(str::to_owned).collect()
    };
    world.tail.follow(WITHIN, |seen| long(seen).len() >= PODS)?;
    Ok(long(&world.tail.seen))
}

fn per_second(stamps: &[i64]) -> anyhow::Result<f64> {
    let (first, last) = (stamps.first().context("empty")?, stamps.last().context("empty")?);
    let payments = f64::from(u32::try_from(stamps.len() - 1)?);
    Ok(payments * 1_000.0 / f64::from(u32::try_from((last - first).max(1))?))
}
