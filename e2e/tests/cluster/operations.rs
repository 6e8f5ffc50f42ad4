//! Tasks that are done once, as `PipelineOperation`s.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use kpay_crds::{OperationPhase, PipelineOperation, PipelineOperationStatus};
use kpay_e2e::load;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::plugin::Plugin;
use crate::world::{NAME, World, long_turn, turn};

pub(crate) fn operations(world: &World) -> Api<PipelineOperation> {
    Api::namespaced(world.cluster.client.clone(), &world.namespace)
}

pub(crate) fn make(world: &World, name: &str, spec: &Value) -> anyhow::Result<()> {
    let mut operation = json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PipelineOperation",
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": spec,
    });
    operation["spec"]["pipeline"] = json!(NAME);
    operation["spec"]["reason"] = json!("a test");
    let operation: PipelineOperation = serde_json::from_value(operation)?;
    world.cluster.wait(operations(world).create(&PostParams::default(), &operation))?;
    Ok(())
}

fn replay(by: &str, dry_run: bool) -> Value {
    json!({"type": "ReplayDeadLetters", "by": by, "dryRun": dry_run,
        "replayDeadLetters": {"code": "protobuf_invalid"}})
}

pub(crate) fn status(world: &World, name: &str) -> anyhow::Result<PipelineOperationStatus> {
    Ok(world.cluster.wait(operations(world).get_status(name))?.status.unwrap_or_default())
}

/// Waits for a phase, and returns the count and the message.
fn reach(world: &World, name: &str, phase: OperationPhase) -> anyhow::Result<(i64, String)> {
    world.cluster.until(&format!("{name} is {phase:?}"), |_| {
        let status = status(world, name)?;
        ensure!(status.phase == Some(phase), "{status:?}");
        Ok(Some((status.replayed.map_or(0, |report| report.replayed), status.message)))
    })
}

#[test]
fn dead_letters_are_replayed_by_an_operation_once_and_only_those_it_names() -> anyhow::Result<()> {
    const GARBAGE: usize = 5;
    let _turn = turn();
    let mut world = World::start("letters", 2)?;
    for number in 0..GARBAGE {
        world.appender.append_raw(Some(&format!("k-{number}")), None, &[], b"\xff")?;
    }
    world.appender.append_raw(Some("j"), None, &[("content-type", "application/json")], b"{")?;
    world.appender.flush()?;
    world.rest.dead_letters(GARBAGE + 1)?;

    let by = world.cluster.user()?;
    make(&world, "dry", &replay(&by, true))?;
    let dry = reach(&world, "dry", OperationPhase::Succeeded)?;
    assert_eq!(dry, (5, "5 dead letters would be replayed".to_owned()));

    world.desire("Paused")?;
    world.reach("Paused")?;
    make(&world, "first", &replay(&by, false))?;
    let (_, waits) = reach(&world, "first", OperationPhase::Pending)?;
    assert!(waits.contains("Running; it is Paused"), "{waits}");
    world.desire("Running")?;
    let done = reach(&world, "first", OperationPhase::Succeeded)?;
    assert_eq!(done, (5, "5 dead letters replayed".to_owned()));
    // Each has failed again, and did not go round.
    let letters = world.rest.dead_letters(2 * GARBAGE + 1)?;
    let of = |replays: u64| letters.iter().filter(|letter| letter["replays"] == replays).count();
    assert_eq!((letters.len(), of(0), of(1)), (2 * GARBAGE + 1, 1, 2 * GARBAGE), "{letters:?}");
    let again = letters.iter().find(|letter| letter["replayedAt"] == Value::Null && letter["replays"] == 1);
    let id = again.and_then(|letter| letter["id"].as_str()).context("a letter that failed again")?;
    let shown = world.rest.get(&format!("/v1/dead-letters/{id}"))?.body;
    let replayed = &shown["history"][0]["replayed"];
    assert_eq!((&replayed["by"], &replayed["reason"]), (&json!(by), &json!("a test")), "{shown}");

    let patch = Patch::Merge(json!({"spec": {"dryRun": true}}));
    let refused = world.cluster.wait(operations(&world).patch("first", &PatchParams::default(), &patch));
    let refused = refused.err().context("an operation can be changed")?.to_string();
    assert!(refused.contains("make another one"), "{refused}");
    assert_eq!(status(&world, "first")?.phase, Some(OperationPhase::Succeeded));
    let report = world.audit_with_rest()?;
    assert_eq!(report.letters.get("protobuf_invalid"), Some(&(2 * GARBAGE as u64)));
    Ok(())
}

#[test]
fn a_restart_replaces_every_pod_once_and_loses_nothing() -> anyhow::Result<()> {
    let _turn = long_turn();
    let quick = json!({"upgrade": {"verify": "1s", "inconclusiveAfter": "1s"}});
    let mut world = World::start_with("restart", 10, &quick)?;
    let before = world.incarnations()?;
    make(&world, "restart", &json!({"type": "Restart"}))?;
    for number in 0..200 {
        world.send(&load::payment("restarted", number, 10)?)?;
    }
    let (_, said) = reach(&world, "restart", OperationPhase::Succeeded)?;
    assert_eq!(said, "4 workloads restarted");
    let after = world.incarnations()?;
    let uids = |pods: &BTreeMap<String, (Option<String>, i32)>| -> BTreeSet<Option<String>> {
        pods.values().map(|(uid, _)| uid.clone()).collect()
    };
    assert_eq!(after.len(), before.len());
    assert!(uids(&before).is_disjoint(&uids(&after)), "{before:?} {after:?}");
    restricted(&mut world, "queries-only", &[], "the pipeline does not take payments")?;
    restricted(&mut world, "limited-intake", &["--intake-per-second", "50"], "")?;
    // The gateway's pod has another address now, and its Service the same.
    world.find_gateway()?;
    world.audit_with_rest()?;
    Ok(())
}

/// Restarts by the plugin while payments come in; every step has seen what is meant to go on, and at the end all goes on.
fn restricted(world: &mut World, during: &str, more: &[&str], evidence: &str) -> anyhow::Result<()> {
    let plugin = Plugin::install(&format!("restart-{during}"))?;
    let restart = ["restart", "--reason", "a test", "--during", during, "--name", during];
    let following = plugin.start(&[&["--namespace", &world.namespace][..], &restart[..], more].concat())?;
    for number in 0..200 {
        world.send(&load::payment(during, number, 10)?)?;
    }
    let (exit, events) = following.end()?;
    let steps: Vec<&Value> = events.iter().filter(|event| event["event"] == "step").collect();
    let seen = |step: &&Value| step["evidence"].as_str().is_some_and(|seen| seen.contains(evidence));
    ensure!(exit == 0 && steps.len() == 4 && steps.iter().all(seen), "{exit} {events:?}");
    world.reach("Running")?;
    let operation = world.cluster.wait(operations(world).get(during))?;
    ensure!(operation.metadata.finalizers.is_none_or(|all| all.is_empty()), "a finalizer is left");
    Ok(())
}
