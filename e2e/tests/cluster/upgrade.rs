//! New releases under load: a good one goes through, and one that crashes and one that is slow are taken back, without a loss.

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Pod;
use kpay_crds::{UpgradeState, UpgradeStatus};
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::live::while_payments_flow;
use crate::plugin::Plugin;
use crate::world::{World, long_turn};

const ACCOUNTS: u64 = 20;

/// A release of `e2e/testbed/variants.sh`.
pub(crate) fn release(fault: &str) -> Value {
    json!({"image": {"repository": "localhost/kpay-variant", "tag": fault}})
}

/// Changes the spec, and waits for the end of the upgrade that follows, as `kubectl kpay upgrade watch` does.
pub(crate) fn upgrade(
    world: &World,
    spec: &Value,
    image: &str,
    state: UpgradeState,
) -> anyhow::Result<UpgradeStatus> {
    world.patch(spec)?;
    let plugin = Plugin::install(&world.namespace)?;
    let watch = ["--namespace", &world.namespace, "upgrade", "watch", "--deadline", "10m"];
    let (exit, events) = plugin.start(&watch)?.end()?;
    let end = events.last().and_then(|event| event["event"].as_str()).context("nothing was told")?;
    let expected = if state == UpgradeState::Succeeded { (0, "succeeded") } else { (1, "rolledBack") };
    ensure!((exit, end) == expected, "{exit} {events:?}");
    world.cluster.until(&format!("the upgrade to {image} is {state:?}"), |_| {
        let up = world.status()?.upgrade.context("no upgrade")?;
        ensure!(up.to.image.ends_with(image) && up.state == state, "{:?} {:?}", up.failed, up.steps);
        Ok(Some(up))
    })
}

/// The images that the pods of each workload have.
fn images(world: &World) -> anyhow::Result<Vec<String>> {
    let pods = world.cluster.wait(world.pods().list(&ListParams::default()))?;
    let image = |pod: &Pod| pod.spec.as_ref()?.containers.first()?.image.clone();
    let mut images: Vec<String> = pods.items.iter().filter_map(image).collect();
    images.sort();
    images.dedup();
    Ok(images)
}

#[test]
fn releases_go_through_or_are_taken_back_under_load_without_a_loss() -> anyhow::Result<()> {
    let _turn = long_turn();
    // Another test has the machine as well: what is slow must be slower than what that does.
    let spec = json!({
        "upgrade": {"verify": "13s", "maxLatency": 400}, "processors": {"account": {"replicas": 1}},
    });
    let mut world = World::start_with("upgrade", ACCOUNTS, &spec)?;
    while_payments_flow(&mut world, ACCOUNTS, |world| releases(world))?;
    // The gateway's pod has another address now, and its Service the same.
    world.find_gateway()?;
    let report = world.audit_with_rest()?;
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}

fn releases(world: &World) -> anyhow::Result<()> {
    let up = upgrade(world, &release("none"), ":none", UpgradeState::Succeeded)?;
    let steps: Vec<&str> = up.steps.iter().map(|step| step.workload.as_str()).collect();
    ensure!(steps == ["confirmed", "account", "inflight", "gateway"], "{steps:?}");
    ensure!(images(world)? == ["localhost/kpay-variant:none"], "{:?}", images(world)?);

    taken_back(world, "crash", "confirmed: ", "CrashLoopBackOff")?;
    // Which workload shows it depends on what the machine was like before.
    taken_back(world, "slow", "", "p99")
}

/// A bad release goes back to the one before, and its condition says which gate failed with what figures.
fn taken_back(world: &World, fault: &str, step: &str, gate: &str) -> anyhow::Result<()> {
    let up = upgrade(world, &release(fault), &format!(":{fault}"), UpgradeState::RolledBack)?;
    let failed = up.failed.unwrap_or_default();
    println!("{fault}: {failed}");
    ensure!(failed.starts_with(step) && failed.contains(gate), "{fault}: {failed}");
    ensure!(images(world)? == ["localhost/kpay-variant:none"], "{fault}: {:?}", images(world)?);
    let status = world.reach("Running")?;
    let told = status.conditions.iter().find(|c| c.type_ == "UpgradeReady").context("no condition")?;
    ensure!(
        told.status == "False" && told.reason == "RolledBack" && told.message.contains(&failed),
        "{told:?}"
    );
    let spec = world.cluster.wait(world.pipelines().get(crate::world::NAME))?.spec;
    let tag = spec.image.and_then(|image| image.tag);
    ensure!(tag.as_deref() == Some(fault), "the spec is as it was written: {tag:?}");
    Ok(())
}

#[test]
fn a_release_that_rejects_all_and_one_that_fills_the_dead_letters_are_taken_back() -> anyhow::Result<()> {
    let _turn = long_turn();
    let spec = json!({
        "image": release("none")["image"], "upgrade": {"verify": "13s", "maxLatency": 400}, "processors": {"account": {"replicas": 1}},
    });
    let mut world = World::start_with("bad-release", ACCOUNTS, &spec)?;
    while_payments_flow(&mut world, ACCOUNTS, |world| {
        taken_back(world, "letters", "confirmed: ", "dead letters")?;
        taken_back(world, "reject", "", "rejected")
    })?;
    world.find_gateway()?;
    let report = world.audit_with_rest()?;
    let letters: Vec<&String> = report.letters.keys().collect();
    ensure!(letters == ["idempotency_conflict"], "{:?}", report.letters);
    Ok(())
}
