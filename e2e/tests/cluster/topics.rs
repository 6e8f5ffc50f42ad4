//! Topics that stay, that are shared, and that grow.

use anyhow::{Context, ensure};
use kpay::names::TopicName;
use kpay_crds::{PaymentPipeline, TopicOrigin, TopicReportState};
use kpay_e2e::load;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::ground::{Ground, manifest};
use crate::pods::few_partitions;
use crate::start::told;
use crate::world::{NAME, World, turn};

const ACCOUNTS: u64 = 5;

#[test]
fn a_pipeline_made_anew_goes_on_with_the_money_of_the_one_before_when_told_so() -> anyhow::Result<()> {
    let _turn = turn();
    let mut topics = few_partitions();
    topics["deletionPolicy"] = json!("Retain");
    let mut world = World::start_with("anew", ACCOUNTS, &json!({"topics": topics}))?;
    for number in 0..20 {
        world.send(&load::payment("before", number, ACCOUNTS)?)?;
    }
    let before = world.audit_with_rest()?;
    let of = |topic: TopicName| -> anyhow::Result<_> {
        Ok(world.status()?.topics.get(topic.as_str()).map(|report| (report.origin, report.state)))
    };
    let created = Some((Some(TopicOrigin::Created), Some(TopicReportState::AsDeclared)));
    assert_eq!(of(TopicName::Ledger)?, created);

    // Dead letters get more partitions while all goes on.
    let many = json!({"topics": {"dlq": {"partitions": 12}}});
    world.patch(&many)?;
    let dlq = world.names.topic(TopicName::Dlq);
    world.cluster.until("the dead letters have twelve partitions", |_| {
        Ok((world.admin.partition_count(&dlq)? == 12).then_some(()))
    })?;
    let resource = world.cluster.wait(world.pipelines().get(NAME))?;
    world.cluster.wait(world.pipelines().delete(NAME, &DeleteParams::default()))?;
    world.cluster.until("the pipeline and its pods are gone", |cluster| {
        let none = cluster.wait(world.pipelines().get_opt(NAME))?.is_none();
        let pods = cluster.wait(world.pods().list(&ListParams::default()))?.items.len();
        ensure!(none && pods == 0, "{pods} pods are left");
        Ok(Some(()))
    })?;

    let mut anew = PaymentPipeline::new(NAME, resource.spec);
    anew.metadata.namespace = Some(world.namespace.clone());
    world.cluster.wait(world.pipelines().create(&PostParams::default(), &anew))?;
    world.cluster.until("its topics are refused", |_| {
        let conditions = world.status()?.conditions;
        let ready = conditions.iter().find(|condition| condition.type_ == "TopicsReady").context("none")?;
        ensure!(ready.reason == "TopicsExist" && ready.message.contains(&dlq), "{ready:?}");
        Ok(Some(()))
    })?;
    let pods = world.cluster.wait(world.pods().list(&ListParams::default()))?;
    assert_eq!(pods.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), [] as [String; 0]);

    world.patch(&json!({"topics": {"existing": "Adopt", "deletionPolicy": "Delete"}}))?;
    world.reach("Running")?;
    world.find_gateway()?;
    for number in 0..20 {
        world.send(&load::payment("after", number, ACCOUNTS)?)?;
    }
    let after = world.audit_with_rest()?;
    let sum = |balances: &std::collections::BTreeMap<String, i64>| balances.values().sum::<i64>();
    assert_eq!(sum(&before.balances), sum(&after.balances));
    let status = world.status()?;
    let adopted = |report: &kpay_crds::TopicReport| report.origin == Some(TopicOrigin::Adopted);
    assert!(status.topics.values().all(adopted), "{:?}", status.topics);
    Ok(())
}

#[test]
fn the_second_pipeline_with_the_same_topics_waits_for_the_first_to_go() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("first-of-two", ACCOUNTS)?;
    let second = Ground::make("second-of-two")?;
    second.create(&json!({"kafka": {"topicPrefix": world.names.prefix}}))?;
    told(&second, "TopicsTaken", &format!("PaymentPipeline {}/{NAME}", world.namespace))?;
    let pods: Api<k8s_openapi::api::core::v1::Pod> =
        Api::namespaced(world.cluster.client.clone(), &second.namespace);
    let pods = world.cluster.wait(pods.list(&ListParams::default()))?;
    assert_eq!(pods.items.len(), 0, "no pod joins the groups of the first");
    for number in 0..20 {
        world.send(&load::payment("first", number, ACCOUNTS)?)?;
    }
    // It goes, and takes nothing with it, though it says that its topics go.
    assert_eq!(manifest(&second.namespace)["spec"]["topics"]["deletionPolicy"], "Delete");
    world.cluster.wait(second.pipelines().delete(NAME, &DeleteParams::default()))?;
    world.cluster.until("the second is gone", |cluster| {
        Ok(cluster.wait(second.pipelines().get_opt(NAME))?.is_none().then_some(()))
    })?;
    world.audit_with_rest()?;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(world.cluster.client.clone());
    world.cluster.wait(namespaces.delete(&second.namespace, &DeleteParams::background()))?;
    Ok(())
}
