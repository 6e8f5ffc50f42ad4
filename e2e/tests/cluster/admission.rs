//! What the API server refuses by the chart's admission policy, in whose words, and what it lets through.

use anyhow::{Context, ensure};
use kpay_crds::PipelineOperation;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::live::while_payments_flow;
use crate::world::{Cluster, NAME, World, turn};

/// Somebody else, as the API server sees it.
fn impersonate(cluster: &Cluster, user: &str) -> anyhow::Result<Client> {
    cluster.runtime.block_on(async {
        let mut config = Config::infer().await?;
        config.auth_info.impersonate = Some(user.to_owned());
        // Rights are not what is looked at here.
        config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
        Ok(Client::try_from(config)?)
    })
}

/// What the API server says to a change; it must not take it.
fn refused<T>(cluster: &Cluster, answer: impl Future<Output = kube::Result<T>>) -> anyhow::Result<String> {
    Ok(cluster.wait(answer).err().context("it was not refused")?.to_string())
}

fn says(said: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(said.contains(part), "`{part}` is not in: {said}");
    }
    Ok(())
}

#[test]
fn what_would_lose_or_mix_up_money_is_refused_by_field_and_with_what_would_be_right() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("admission", 2)?;
    let cluster = &world.cluster;
    let pipelines = world.pipelines();
    let patch = |patch: Value| {
        let pipelines = pipelines.clone();
        async move { pipelines.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await }
    };

    let said = refused(cluster, patch(json!({"spec": {"accounts": {"currency": "EUR"}}})))?;
    says(&said, &["spec.accounts.currency", "are in USD", "another pipeline"])?;
    let elsewhere = |servers: &str| json!({"spec": {"kafka": {"bootstrapServers": servers}}});
    let said = refused(cluster, patch(elsewhere("elsewhere:9092")))?;
    says(
        &said,
        &[
            "spec.kafka.bootstrapServers",
            "the pipeline is Running",
            "kafka.kpay-system.svc:9092",
            "Paused first",
        ],
    )?;
    let mark = |text: Option<&str>| json!({"metadata": {"annotations": {"kpay.dev/wipe": text}}});
    let said = refused(cluster, patch(mark(Some("me/Stop"))))?;
    says(&said, &["kpay.dev/wipe", "belongs to the operator", "delete its operation"])?;
    // What has none of this in it passes, and so does one more address.
    cluster.wait(patch(json!({"metadata": {"annotations": {"example.com/a": "b"}}})))?;
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    let more = Patch::Merge(elsewhere("kafka.kpay-system.svc:9092,elsewhere:9092"));
    cluster.wait(pipelines.patch(NAME, &dry_run, &more))?;

    while_payments_flow(&mut world, 2, a_deletion_would_take_them_along)?;
    let cluster = &world.cluster;
    // A namespace that goes is not held up.
    let kubernetes = impersonate(cluster, "system:serviceaccount:kube-system:namespace-controller")?;
    let as_kubernetes: Api<kpay_crds::PaymentPipeline> = Api::namespaced(kubernetes, &world.namespace);
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    cluster.wait(as_kubernetes.delete(NAME, &dry_run))?;

    // While it is Paused it may go to another Kafka.
    world.desire("Paused")?;
    world.reach("Paused")?;
    let moved = Patch::Merge(elsewhere("elsewhere:9092"));
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    world.cluster.wait(world.pipelines().patch(NAME, &dry_run, &moved))?;
    world.desire("Running")?;
    world.reach("Running")?;
    world.audit_with_rest()?;
    Ok(())
}

/// Only as far as the status tells of payments in flight: it is written every few seconds.
fn a_deletion_would_take_them_along(world: &mut World) -> anyhow::Result<()> {
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let said = world.cluster.until("a deletion is refused", |cluster| {
        Ok(cluster.wait(world.pipelines().delete(NAME, &dry_run)).err().map(|refused| refused.to_string()))
    })?;
    says(&said, &["payments are in flight", "spec.topics.deletionPolicy", "spec.desiredPhase to Paused"])
}

#[test]
fn a_gateway_pauses_its_pipeline_and_changes_nothing_else() -> anyhow::Result<()> {
    let _turn = turn();
    let world = World::start("narrowed", 0)?;
    let cluster = &world.cluster;
    let of = |namespace: &str| format!("system:serviceaccount:{namespace}:payments-gateway");
    let api = |user: &str| -> anyhow::Result<Api<kpay_crds::PaymentPipeline>> {
        Ok(Api::namespaced(impersonate(cluster, user)?, &world.namespace))
    };
    let gateway = api(&of(&world.namespace))?;
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    for spec in [
        json!({"image": {"tag": "other"}}),
        json!({"rules": [{"name": "r", "when": "true", "action": "Reject"}]}),
        json!({"limits": {"perPayment": 1}}),
        json!({"desiredPhase": "Paused", "topics": {"deletionPolicy": "Retain"}}),
    ] {
        let change = Patch::Merge(json!({"spec": spec}));
        let said = refused(cluster, gateway.patch(NAME, &dry_run, &change))?;
        says(&said, &["a gateway changes spec.desiredPhase and spec.pauses alone"])?;
        // That of another namespace is anybody, as far as this goes: it has no right here.
        cluster.wait(api(&of("elsewhere"))?.patch(NAME, &dry_run, &change))?;
    }
    let pause = json!({"reason": "a test", "holder": "carol"});
    let answer = world.rest.post("/v1/pipeline/pause", &pause, None)?;
    ensure!(answer.status < 300, "{answer:?}");
    world.reach("Paused")?;
    Ok(())
}

#[test]
fn an_operation_is_made_by_who_it_says_and_a_wipe_by_a_person() -> anyhow::Result<()> {
    let _turn = turn();
    let world = World::start("asked-by", 0)?;
    let cluster = &world.cluster;
    let program = impersonate(cluster, "system:serviceaccount:argocd:argocd-application-controller")?;
    let maria = impersonate(cluster, "maria@example.com")?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let make = |client: &Client, more: Value| {
        let mut operation = json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PipelineOperation", "metadata": {"name": "one"},
            "spec": {"pipeline": NAME, "reason": "a test", "type": "Restart"},
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            operation["spec"][field] = value.clone();
        }
        let api: Api<PipelineOperation> = Api::namespaced(client.clone(), &world.namespace);
        let (operation, dry_run) = (serde_json::from_value(operation), dry_run.clone());
        async move { api.create(&dry_run, &operation.expect("an operation")).await }
    };
    for by in [json!({}), json!({"by": "maria"}), json!({"by": "maria@example.com"})] {
        cluster.wait(make(&maria, by))?;
    }
    let said = refused(cluster, make(&maria, json!({"by": "carol"})))?;
    says(&said, &["spec.by: is carol, and you are maria@example.com"])?;
    cluster.wait(make(&program, json!({"by": "carol"})))?;

    let wipe = |dry: bool| json!({"type": "WipeAndUpdate", "dryRun": dry, "wipeAndUpdate": {"confirmation": "0123456789abcdef"}});
    let said = refused(cluster, make(&program, wipe(false)))?;
    says(&said, &["spec.wipeAndUpdate.confirmation", "given by a person", "dryRun: true"])?;
    cluster.wait(make(&program, wipe(true)))?;
    cluster.wait(make(&maria, wipe(false)))?;
    Ok(())
}
