//! Pipelines beside each other, and how one goes: while it drains, with its namespace, and without its Kafka.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kpay_crds::PaymentPipeline;
use kpay_e2e::rest::{Rest, payment};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::ground::{Ground, manifest, merge};
use crate::pods::{Stopped, few_partitions};
use crate::world::{phase_of, turn};

/// One of several pipelines of a namespace.
struct Pipeline<'a> {
    ground: &'a Ground,
    name: &'static str,
}

impl Pipeline<'_> {
    fn make(&self, spec: &Value) -> anyhow::Result<()> {
        let mut manifest = manifest(&self.ground.namespace);
        manifest["metadata"]["name"] = self.name.into();
        merge(&mut manifest["spec"], spec);
        let pipeline: PaymentPipeline = serde_json::from_value(manifest)?;
        self.ground.cluster.wait(self.api().create(&PostParams::default(), &pipeline))?;
        Ok(())
    }

    fn api(&self) -> Api<PaymentPipeline> {
        Api::namespaced(self.ground.cluster.client.clone(), &self.ground.namespace)
    }

    fn reach(&self, phase: &str) -> anyhow::Result<()> {
        self.ground.cluster.until(&format!("{} is {phase}", self.name), |cluster| {
            let status = cluster.wait(self.api().get(self.name))?.status.unwrap_or_default();
            ensure!(phase_of(&status) == phase, "{:?} {:?}", status.phase, status.conditions);
            Ok(Some(()))
        })
    }

    fn has_nothing_in_flight(&self) -> anyhow::Result<()> {
        self.ground.cluster.until(&format!("{} has nothing in flight", self.name), |cluster| {
            let status = cluster.wait(self.api().get(self.name))?.status.unwrap_or_default();
            let in_flight = status.in_flight.map(|amounts| amounts.count);
            let paid = status.confirmed_today.map(|amounts| amounts.count);
            ensure!((in_flight, paid) == (Some(0), Some(2)), "{in_flight:?} {paid:?}");
            Ok(Some(()))
        })
    }

    fn patch(&self, spec: &Value) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.ground.cluster.wait(self.api().patch(self.name, &PatchParams::default(), &patch))?;
        Ok(())
    }

    fn delete(&self) -> anyhow::Result<()> {
        self.ground.cluster.wait(self.api().delete(self.name, &DeleteParams::default()))?;
        Ok(())
    }

    fn is_gone(&self) -> anyhow::Result<()> {
        self.ground.cluster.until(&format!("{} is gone", self.name), |cluster| {
            let found = cluster.wait(self.api().get_opt(self.name))?;
            ensure!(found.is_none(), "{:?}", found.map(|found| (found.finalizers().to_vec(), found.status)));
            Ok(Some(()))
        })
    }

    fn rest(&self) -> anyhow::Result<Rest> {
        let services: Api<Service> =
            Api::namespaced(self.ground.cluster.client.clone(), &self.ground.namespace);
        let service = self.ground.cluster.wait(services.get(&format!("{}-gateway", self.name)))?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("the gateway has no address")?;
        Rest::new(&format!("http://{address}:8080"))
    }

    /// Topics by name, with their partitions.
    fn topics(&self) -> anyhow::Result<BTreeMap<String, i32>> {
        let prefix = format!("{}.{}.", self.ground.namespace, self.name);
        let topics = self.ground.admin.topics(&prefix)?;
        Ok(topics.into_iter().map(|(name, state)| (name, state.partitions)).collect())
    }

    fn topics_are_gone(&self) -> anyhow::Result<()> {
        self.ground.cluster.until(&format!("the topics of {} are gone", self.name), |_| {
            let left = self.topics()?;
            ensure!(left.is_empty(), "{left:?}");
            Ok(Some(()))
        })
    }
}

/// Two accounts with 100 each, and 10 paid between them.
fn open_and_pay(rest: &Rest) -> anyhow::Result<()> {
    rest.open("alice", 100)?;
    rest.open("bob", 100)?;
    let paid = rest.post_patiently("/v1/payments", &payment("first", "alice", "bob", 10), Some(30))?;
    ensure!(paid.text("status") == "confirmed", "{paid:?}");
    Ok(())
}

#[test]
fn pipelines_of_a_namespace_leave_each_other_alone_and_go_while_they_drain_or_with_it() -> anyhow::Result<()>
{
    let _turn = turn();
    let ground = Ground::make("beside")?;
    let [one, two] = ["one", "two"].map(|name| Pipeline { ground: &ground, name });
    let spec = json!({"topics": few_partitions(), "processors": {"account": {"replicas": 1}}});
    for pipeline in [&one, &two] {
        pipeline.make(&spec)?;
    }
    for pipeline in [&one, &two] {
        pipeline.reach("Running")?;
        open_and_pay(&pipeline.rest()?)?;
    }
    // The same id, paid in one of them alone.
    one.patch(&json!({"desiredPhase": "Paused"}))?;
    one.reach("Paused")?;
    two.reach("Running")?;
    let [in_one, in_two] = [&one, &two].map(|pipeline| {
        pipeline.rest()?.post_patiently("/v1/payments", &payment("second", "alice", "bob", 10), Some(5))
    });
    assert_eq!(in_one?.text("status"), "accepted");
    assert_eq!(in_two?.text("status"), "confirmed");
    let balance = |pipeline: &Pipeline<'_>| pipeline.rest()?.balances(["bob".to_owned()].iter());
    assert_eq!([balance(&one)?["bob"], balance(&two)?["bob"]], [110, 120]);

    // One goes in the middle of a drain that cannot end, with what it has in Kafka.
    one.patch(&json!({"desiredPhase": "Running", "drain": {"timeout": "1h"}}))?;
    one.reach("Running")?;
    // Nothing of its money is under way: what is in flight keeps a pipeline whose topics go with it.
    let second =
        one.rest()?.post_patiently("/v1/payments", &payment("second", "alice", "bob", 10), Some(30))?;
    ensure!(second.text("status") == "confirmed", "{second:?}");
    one.has_nothing_in_flight()?;
    let mut stopped = Stopped::default();
    let account =
        [format!("KPAY_PIPELINE={}/one", ground.namespace), "KPAY_POD_NAME=one-account-0".to_owned()];
    stopped.stop_process(&account, "one-account-0")?;
    one.patch(&json!({"desiredPhase": "Paused"}))?;
    one.reach("Draining")?;
    one.delete()?;
    drop(stopped);
    one.is_gone()?;
    one.topics_are_gone()?;
    let third =
        two.rest()?.post_patiently("/v1/payments", &payment("third", "alice", "bob", 10), Some(30))?;
    assert_eq!(third.text("status"), "confirmed", "{third:?}");
    assert_eq!(two.topics()?.len(), kpay::names::TopicName::ALL.len());

    let namespaces: Api<Namespace> = Api::all(ground.cluster.client.clone());
    ground.cluster.wait(namespaces.delete(&ground.namespace, &DeleteParams::background()))?;
    ground.cluster.until("the namespace is gone", |cluster| {
        let found = cluster.wait(namespaces.get_opt(&ground.namespace))?;
        ensure!(found.is_none(), "{:?}", found.and_then(|found| found.status));
        Ok(Some(()))
    })?;
    two.topics_are_gone()
}

#[test]
fn a_pipeline_without_its_kafka_says_why_it_cannot_go_and_goes_when_its_topics_may_stay() -> anyhow::Result<()>
{
    let _turn = turn();
    let ground = Ground::make("no-kafka")?;
    let pipeline = Pipeline { ground: &ground, name: "away" };
    let spec = json!({
        "topics": few_partitions(), "processors": {"account": {"replicas": 1}}, "desiredPhase": "Paused",
    });
    pipeline.make(&spec)?;
    pipeline.reach("Paused")?;
    // Nobody listens there.
    pipeline.patch(&json!({"kafka": {"bootstrapServers": "127.0.0.1:1"}}))?;
    pipeline.delete()?;
    ground.cluster.until("it says what is in the way", |cluster| {
        let status = cluster.wait(pipeline.api().get(pipeline.name))?.status.unwrap_or_default();
        let degraded = status.conditions.iter().find(|condition| condition.type_ == "Degraded");
        let degraded = degraded.context("no condition")?;
        ensure!(degraded.reason == "TopicsNotDeleted" && degraded.status == "True", "{degraded:?}");
        ensure!(degraded.message.contains("deletionPolicy to Retain"), "{degraded:?}");
        Ok(Some(()))
    })?;
    pipeline.patch(&json!({"topics": {"deletionPolicy": "Retain"}}))?;
    pipeline.is_gone()?;
    let namespaces: Api<Namespace> = Api::all(ground.cluster.client.clone());
    ground.cluster.wait(namespaces.delete(&ground.namespace, &DeleteParams::background()))?;
    Ok(())
}
