//! What the operator owns, and how quiet it is.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kpay_control::names::IDENTITY_ANNOTATION;
use kpay_crds::BootstrapReason;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::accounts;
use crate::audit::{self, OPERATOR, Request};
use crate::world::{Cluster, World, alone, turn};

/// Not those of the chart's test, which have another name.
const OPERATOR_PODS: &str = "app.kubernetes.io/name=kpay-operator,app.kubernetes.io/instance=kpay";
const KINDS: [(&str, &str, &str); 9] = [
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "Deployment"),
    ("batch", "v1", "Job"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
];

fn api(world: &World, kind: &(&str, &str, &str)) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(kind.0, kind.1, kind.2));
    Api::namespaced_with(world.cluster.client.clone(), &world.namespace, &resource)
}

/// Kind and name of every object that the resource owns, with its uid.
fn owned(world: &World) -> anyhow::Result<BTreeMap<(usize, String), String>> {
    let mut found = BTreeMap::new();
    for (number, kind) in KINDS.iter().enumerate() {
        for object in world.cluster.wait(api(world, kind).list(&ListParams::default()))? {
            if object.owner_references().iter().any(|owner| owner.kind == "PaymentPipeline") {
                found.insert((number, object.name_any()), object.uid().unwrap_or_default());
            }
        }
    }
    Ok(found)
}

/// The operator's writes that concern the namespace, leases aside, since the log was so long.
fn writes_since(length: u64, namespace: &str) -> anyhow::Result<Vec<String>> {
    let ours = |request: &Request| {
        request.writes()
            && request.user == OPERATOR
            && request.namespace == namespace
            && request.resource != "leases"
    };
    let writes = audit::since(length)?.into_iter().filter(ours);
    Ok(writes.map(|Request { verb, resource, name, .. }| format!("{verb} {resource} {name}")).collect())
}

/// The pod of the operator that is ready.
pub(crate) fn operator(cluster: &Cluster) -> anyhow::Result<Option<Pod>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "kpay-system");
    let list = cluster.wait(pods.list(&ListParams::default().labels(OPERATOR_PODS)))?;
    Ok(list.into_iter().find(ready))
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// How many reconciles the operator has begun since it started.
fn reconciles(cluster: &Cluster) -> anyhow::Result<u64> {
    let pod = operator(cluster)?.context("no operator is ready")?;
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let ports = containers.iter().flat_map(|c| c.ports.iter().flatten());
    let port = ports.map(|p| p.container_port).next().context("the operator has no port")?;
    let address = pod.status.and_then(|status| status.pod_ip).context("the operator has no address")?;
    let text = reqwest::blocking::get(format!("http://{address}:{port}/metrics"))?.text()?;
    let line = text.lines().find_map(|l| l.strip_prefix("kpay_operator_reconciles_total "));
    Ok(line.context("kpay_operator_reconciles_total")?.trim().parse()?)
}

/// Waits until the operator has looked at things `more` times.
fn let_it_reconcile(cluster: &Cluster, more: u64) -> anyhow::Result<()> {
    let from = reconciles(cluster)?;
    cluster.until(&format!("{more} more reconciles"), |cluster| {
        let now = reconciles(cluster)?;
        ensure!(now >= from + more, "{} so far", now.saturating_sub(from));
        Ok(Some(()))
    })
}

#[test]
fn every_owned_object_comes_back_when_it_is_deleted() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("owned", 10)?;
    let before = owned(&world)?;
    let kinds: BTreeSet<usize> = before.keys().map(|(kind, _)| *kind).collect();
    ensure!(kinds.len() >= 7, "only {before:?} are owned");
    // A ServiceAccount that is made anew makes the tokens of all pods worthless: they have to be replaced as well.
    for ((kind, name), uid) in &before {
        let api = api(&world, &KINDS[*kind]);
        world.cluster.wait(api.delete(name, &DeleteParams::background()))?;
        world.cluster.until(&format!("{} {name} is back", KINDS[*kind].2), |cluster| {
            let found = cluster.wait(api.get_opt(name))?;
            Ok(found.filter(|object| object.uid().as_ref() != Some(uid)))
        })?;
    }
    let after = owned(&world)?;
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    let accounts: Api<ServiceAccount> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let accounts = world.cluster.wait(accounts.list(&ListParams::default()))?;
    world.cluster.until("every pod is ready, with a token for its new ServiceAccount", |cluster| {
        let pods = cluster.wait(world.pods().list(&ListParams::default()))?;
        let new = |pod: &Pod| {
            let name = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone())?;
            accounts.iter().find(|account| account.name_any() == name)?.uid()
        };
        let of_it = |pod: &Pod| pod.annotations().get(IDENTITY_ANNOTATION) == new(pod).as_ref();
        let late = pods.iter().filter(|pod| !of_it(pod) || !ready(pod)).map(ResourceExt::name_any);
        let late: Vec<String> = late.collect();
        ensure!(late.is_empty(), "{late:?}");
        Ok(Some(()))
    })?;
    // And it pays.
    for number in 0..50 {
        world.send(&kpay_e2e::load::payment("after", number, 10)?)?;
    }
    world.find_gateway()?;
    world.audit_with_rest()?;
    Ok(())
}

#[test]
fn what_an_older_release_owned_is_deleted_when_no_pipeline_wants_it_any_more() -> anyhow::Result<()> {
    let _turn = turn();
    let world = World::start("orphans", 0)?;
    let before = owned(&world)?;
    let mut seen = BTreeSet::new();
    // One of each kind, as another release may have called it.
    for (kind, name) in before.keys().filter(|(kind, _)| seen.insert(*kind)) {
        let api = api(&world, &KINDS[*kind]);
        let live = world.cluster.wait(api.get(name))?;
        let left = format!("{name}-left");
        let mut orphan = DynamicObject { metadata: ObjectMeta::default(), ..live.clone() };
        orphan.metadata.name = Some(left.clone());
        orphan.metadata.labels = live.metadata.labels;
        orphan.metadata.owner_references = live.metadata.owner_references;
        if let Some(fields) = orphan.data.as_object_mut() {
            fields.remove("status");
        }
        if let Some(spec) = orphan.data.get_mut("spec").and_then(Value::as_object_mut) {
            // An address of its own, not the one that is taken; and no pods.
            spec.retain(|field, _| field != "clusterIP" && field != "clusterIPs");
            spec.entry("replicas").and_modify(|replicas| *replicas = json!(0));
        }
        world.cluster.wait(api.create(&PostParams::default(), &orphan))?;
        world.cluster.until(&format!("{} {left} is gone", KINDS[*kind].2), |cluster| {
            Ok(cluster.wait(api.get_opt(&left))?.is_none().then_some(()))
        })?;
    }
    ensure!(seen.len() >= 7, "only {seen:?} are owned");
    assert_eq!(owned(&world)?, before);
    Ok(())
}

#[test]
fn an_operator_at_rest_writes_nothing_and_its_restart_rolls_nothing() -> anyhow::Result<()> {
    let _turn = alone();
    // With all that it keeps an eye on.
    let world = World::start_with("quiet", 0, &accounts::bootstrap())?;
    accounts::put(&world, "id\nalice\n")?;
    accounts::reach(&world, BootstrapReason::Imported)?;
    // What belongs to the start is over when nothing is written between two looks.
    let settled = |world: &World| -> anyhow::Result<Option<()>> {
        let length = audit::length()?;
        let_it_reconcile(&world.cluster, 2)?;
        let writes = writes_since(length, &world.namespace)?;
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(Some(()))
    };
    world.cluster.until("nothing is written", |_| settled(&world))?;
    let pods = world.incarnations()?;
    let objects = owned(&world)?;

    let length = audit::length()?;
    let_it_reconcile(&world.cluster, 3)?;
    assert_eq!(writes_since(length, &world.namespace)?, [""; 0], "3 reconciles of an unchanged resource");
    let old = operator(&world.cluster)?.context("no operator is ready")?;

    let length = audit::length()?;
    let operators: Api<Pod> = Api::namespaced(world.cluster.client.clone(), "kpay-system");
    world.cluster.wait(operators.delete(&old.name_any(), &DeleteParams::default()))?;
    world.cluster.until("another operator is ready", |cluster| {
        Ok(operator(cluster)?.filter(|new| new.uid() != old.uid()))
    })?;
    world
        .cluster
        .until("the new operator reconciles", |cluster| Ok((reconciles(cluster)? >= 2).then_some(())))?;
    assert_eq!(writes_since(length, &world.namespace)?, [""; 0], "a restart of the operator");
    assert_eq!(world.incarnations()?, pods);
    assert_eq!(owned(&world)?, objects);
    Ok(())
}
