//! `WipeAndUpdate`: other partitions for the accounts, under load, with an operator that dies at every step.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kpay::names::TopicName;
use kpay_crds::{OperationPhase, PaymentPipeline, PipelineOperationStatus, WipeStage, WipeStatus};
use kpay_e2e::load;
use kpay_e2e::rest::payment;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::live::while_payments_flow;
use crate::operations::{make, operations, status};
use crate::owned::operator;
use crate::plugin::Plugin;
use crate::pods::{PARTITIONS, few_partitions};
use crate::world::{NAME, World, alone, turn};

const ACCOUNTS: u64 = 40;
const BECOMES: i32 = 8;

#[test]
fn accounts_get_other_partitions_under_load_though_the_operator_dies_at_every_step() -> anyhow::Result<()> {
    let _turn = alone();
    let spec = json!({
        "topics": few_partitions(),
        "rules": [{"name": "held", "when": "'rule' in payment.attributes", "action": "Hold"}],
    });
    let mut world = World::start_with("wipe", ACCOUNTS, &spec)?;
    let pay = |world: &mut World, id: &str, body: &Value, wanted: &str| -> anyhow::Result<()> {
        let answer = world.rest.post_patiently("/v1/payments", body, Some(30))?;
        ensure!(answer.text("status") == wanted, "{answer:?}");
        world.ids.insert(id.to_owned());
        Ok(())
    };
    pay(&mut world, "paid", &payment("paid", "acct-000001", "acct-000002", 100), "confirmed")?;
    give_back(&mut world, "back-1", 60, "confirmed")?;
    let mut held = payment("held", "acct-000003", "acct-000004", 700);
    held["attributes"] = json!({"rule": "yes"});
    pay(&mut world, "held", &held, "held")?;

    world.patch(&json!({"topics": {"inflight": {"partitions": BECOMES}}}))?;
    needs_a_wipe(&world)?;
    let plugin = Plugin::install("wipe")?;
    let confirmation = dry_run(&world, &plugin)?;
    a_wrong_confirmation_changes_nothing(&world)?;
    while_payments_flow(&mut world, ACCOUNTS, |world| {
        taken_back(world, &confirmation)?;
        carried_out(world, &plugin, &confirmation)
    })?;

    as_the_inventory_said(&world)?;
    let who = json!({"by": "maria", "why": "a test"});
    let answer = world.rest.post_patiently("/v1/payments/held/release", &who, Some(30))?;
    ensure!(answer.status == 200, "{answer:?}");
    give_back(&mut world, "back-2", 60, "rejected")?;
    give_back(&mut world, "back-3", 40, "confirmed")?;
    let report = world.audit_grown(Some(PARTITIONS))?;
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}

#[test]
fn a_pipeline_that_is_deleted_in_the_middle_of_its_wipe_leaves_every_account() -> anyhow::Result<()> {
    let _turn = turn();
    let mut topics = few_partitions();
    topics["deletionPolicy"] = "Retain".into();
    let spec = json!({"topics": topics, "processors": {"account": {"replicas": 1}}});
    let mut world = World::start_with("wipe-deleted", ACCOUNTS, &spec)?;
    for number in 0..50 {
        world.send(&load::payment("before", number, ACCOUNTS)?)?;
    }
    let before = world.audit_with_rest()?;
    world.patch(&json!({"topics": {"inflight": {"partitions": BECOMES}}}))?;
    needs_a_wipe(&world)?;
    let confirmation = dry_run(&world, &Plugin::install("wipe-deleted")?)?;
    make(&world, "wipe", &wipe(&confirmation))?;
    begun(&world, "wipe", WipeStage::Delete)?;
    let spec = world.cluster.wait(world.pipelines().get(NAME))?.spec;
    world.cluster.wait(world.pipelines().delete(NAME, &DeleteParams::default()))?;
    reach(&world, "wipe", OperationPhase::Succeeded)?;
    world.cluster.until("the pipeline and its pods are gone", |cluster| {
        let found = cluster.wait(world.pipelines().get_opt(NAME))?;
        let pods = cluster.wait(world.pods().list(&ListParams::default()))?.items.len();
        ensure!(found.is_none() && pods == 0, "{:?}, {pods} pods", found.map(|found| found.metadata));
        Ok(Some(()))
    })?;

    let anew = PaymentPipeline::new(NAME, spec);
    world.cluster.wait(world.pipelines().create(&PostParams::default(), &anew))?;
    world.patch(&json!({"topics": {"existing": "Adopt", "deletionPolicy": "Delete"}}))?;
    world.reach("Running")?;
    world.find_gateway()?;
    let after = world.audit_grown(Some(PARTITIONS))?;
    assert_eq!(after.balances, before.balances);
    Ok(())
}

/// Gives back a part of the payment `paid`.
fn give_back(world: &mut World, id: &str, minor: i64, wanted: &str) -> anyhow::Result<()> {
    let body = json!({"id": id, "amount": {"value": minor, "currency": "USD"}});
    let answer = world.rest.post_patiently("/v1/payments/paid/refund", &body, Some(30))?;
    ensure!(answer.text("status") == wanted, "{answer:?}");
    world.ids.insert(id.to_owned());
    Ok(())
}

/// The condition names what would bring it about, and payments go on.
fn needs_a_wipe(world: &World) -> anyhow::Result<()> {
    world.cluster.until("the condition tells of the wipe", |_| {
        let status = world.status()?;
        let condition = status.conditions.iter().find(|condition| condition.type_ == "TopicsReady");
        let condition = condition.context("no condition")?;
        ensure!(condition.reason == "WipeRequired", "{condition:?}");
        ensure!(condition.message.contains("WipeAndUpdate"), "{condition:?}");
        Ok(Some(()))
    })?;
    let status = world.status()?;
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    assert!(ready.is_some_and(|ready| ready.status == "True"), "{:?}", status.conditions);
    Ok(())
}

fn reach(world: &World, name: &str, phase: OperationPhase) -> anyhow::Result<PipelineOperationStatus> {
    world.cluster.until(&format!("{name} is {phase:?}"), |_| {
        let status = status(world, name)?;
        ensure!(status.phase == Some(phase), "{status:?}");
        Ok(Some(status))
    })
}

fn wipe_of(status: PipelineOperationStatus) -> anyhow::Result<WipeStatus> {
    status.wipe.context("no status.wipe")
}

fn dry_run(world: &World, plugin: &Plugin) -> anyhow::Result<String> {
    let listed = plugin.json(&["--namespace", &world.namespace, "wipe", "--dry-run", "--name", "dry"])?;
    let dry = reach(world, "dry", OperationPhase::Succeeded)?;
    assert_eq!(listed["status"], serde_json::to_value(&dry)?);
    let said = dry.message.clone();
    let wipe = wipe_of(dry)?;
    let [inflight, checkpoints] = wipe.inventory.deleted.as_slice() else { anyhow::bail!("{wipe:?}") };
    for topic in [inflight, checkpoints] {
        assert_eq!((topic.partitions, topic.becomes), (PARTITIONS, BECOMES), "{topic:?}");
    }
    assert!(said.contains(&wipe.confirmation), "{said}");
    assert!(wipe.steps.is_empty(), "a dry run has no steps");
    Ok(wipe.confirmation)
}

fn wipe(confirmation: &str) -> Value {
    json!({"type": "WipeAndUpdate", "wipeAndUpdate": {"confirmation": confirmation}})
}

fn a_wrong_confirmation_changes_nothing(world: &World) -> anyhow::Result<()> {
    let without = make(world, "without", &json!({"type": "WipeAndUpdate"})).err().context("taken")?;
    assert!(format!("{without:#}").contains("dryRun: true first"), "{without:#}");
    make(world, "wrong", &wipe("0123456789abcdef"))?;
    let failed = reach(world, "wrong", OperationPhase::Failed)?;
    assert!(failed.message.contains("0123456789abcdef"), "{}", failed.message);
    assert_eq!(failed.wipe, None);
    Ok(())
}

/// Waits until a step has begun, and returns the step that is under way then; none at the end.
fn begun(world: &World, name: &str, stage: WipeStage) -> anyhow::Result<Option<WipeStage>> {
    world.cluster.until(&format!("{name} has begun {stage:?}"), |_| {
        let status = status(world, name)?;
        let steps = status.wipe.as_ref().map(|wipe| wipe.steps.clone()).unwrap_or_default();
        ensure!(steps.iter().any(|step| step.step == stage && step.since.is_some()), "{status:?}");
        Ok(Some(steps.iter().find(|step| step.until.is_none()).map(|step| step.step)))
    })
}

/// Deleting the operation before anything is deleted takes everything back.
fn taken_back(world: &World, confirmation: &str) -> anyhow::Result<()> {
    make(world, "given-up", &wipe(confirmation))?;
    begun(world, "given-up", WipeStage::Stop)?;
    world.cluster.wait(operations(world).delete("given-up", &DeleteParams::default()))?;
    world.cluster.until("the operation is gone", |cluster| {
        let found = cluster.wait(operations(world).get_opt("given-up"))?;
        ensure!(found.is_none(), "{:?}", found.and_then(|found| found.status));
        Ok(Some(()))
    })?;
    world.reach("Running")?;
    assert_eq!(world.admin.partition_count(&world.names.topic(TopicName::Inflight))?, PARTITIONS);
    Ok(())
}

fn carried_out(world: &World, plugin: &Plugin, confirmation: &str) -> anyhow::Result<()> {
    let here = ["--namespace", &world.namespace];
    let wipe = ["wipe", "--confirm", confirmation, "--reason", "a test", "--name", "wipe"];
    let following = plugin.start(&[&here[..], &wipe].concat())?;
    let mut killed = BTreeMap::new();
    for stage in WipeStage::ALL {
        let at = begun(world, "wipe", stage)?;
        kill_the_operator(world)?;
        killed.insert(stage.as_str(), at);
    }
    eprintln!("the operator was killed, when a step had begun, at: {killed:?}");
    let done = reach(world, "wipe", OperationPhase::Succeeded)?;
    assert!(done.message.starts_with("every balance is as before"), "{}", done.message);
    let (exit, events) = following.end()?;
    let steps: Vec<&str> = events.iter().filter_map(|event| event["step"].as_str()).collect();
    assert_eq!((exit, steps), (0, WipeStage::ALL.map(WipeStage::as_str).to_vec()), "{events:?}");
    let recorded = wipe_of(done)?.recorded.context("nothing was recorded")?;
    assert_eq!(i128::from(recorded.balances["USD"]), world.funded);
    assert_eq!(recorded.accounts, i64::try_from(ACCOUNTS)?);
    assert!(recorded.notes >= 2, "a payment is held, a refund is known: {recorded:?}");
    world.reach("Running")?;
    Ok(())
}

/// Its process ends at once, and the next one need not wait until its lease has run out.
fn kill_the_operator(world: &World) -> anyhow::Result<()> {
    let client = &world.cluster.client;
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kpay-system");
    let old = world.cluster.until("an operator is ready", operator)?;
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    world.cluster.wait(pods.delete(&old.name_any(), &at_once))?;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kpay-system");
    for lease in world.cluster.wait(leases.list(&ListParams::default()))? {
        world.cluster.wait(leases.delete(&lease.name_any(), &DeleteParams::default()))?;
    }
    Ok(())
}

/// The topics are what the dry run listed, and nothing of the wipe is left.
fn as_the_inventory_said(world: &World) -> anyhow::Result<()> {
    let prefix = world.names.topic(TopicName::Incoming);
    let prefix = prefix.strip_suffix(TopicName::Incoming.as_str()).context("a prefix")?;
    let topics = world.admin.topics(prefix)?;
    let partitions: BTreeMap<&str, i32> = topics
        .iter()
        .map(|(name, state)| (name.strip_prefix(prefix).unwrap_or(name), state.partitions))
        .collect();
    let expected = BTreeMap::from([
        ("payment.incoming", 2),
        ("payment.inflight", BECOMES),
        ("payment.complete", 2),
        ("payment.confirmed", 2),
        ("account.ledger", BECOMES),
        ("account.checkpoints", BECOMES),
        ("ops.dlq", partitions["ops.dlq"]),
    ]);
    assert_eq!(partitions, expected);
    let jobs: Api<Job> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    world.cluster.until("no Job is left", |cluster| {
        let left = cluster.wait(jobs.list(&ListParams::default()))?.items;
        ensure!(left.is_empty(), "{:?}", left.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
        Ok(Some(()))
    })?;
    let pipeline = world.cluster.wait(world.pipelines().get(NAME))?;
    assert!(!pipeline.annotations().contains_key("kpay.dev/wipe"), "{:?}", pipeline.annotations());
    world.cluster.until("the topics are as declared", |_| {
        let status = world.status()?;
        let ready = status.conditions.iter().any(|c| c.type_ == "TopicsReady" && c.status == "True");
        ensure!(ready, "{:?}", status.conditions);
        Ok(Some(()))
    })?;
    let operation = world.cluster.wait(operations(world).get("wipe"))?;
    assert!(operation.finalizers().is_empty(), "{:?}", operation.finalizers());
    Ok(())
}
