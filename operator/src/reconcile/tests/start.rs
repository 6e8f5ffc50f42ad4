//! Where the intake begins is settled before anything is there that needs it.

use kpay_control::autoscale::Offsets;
use kpay_control::topics::TopicState;
use kpay_crds::Phase;
use serde_json::{Value, json};

use super::faults::Fault;
use super::mistakes::Operator;
use super::server::merge;
use super::world::{ACCOUNT, GENERATOR, INFLIGHT, PIPELINE, World};

const GATEWAY: &str = "/apis/apps/v1/namespaces/default/deployments/payments-gateway";
/// An offset that there is not, where every partition ends at 7.
const BEYOND: &str = "0:7,1:7,2:7,3:7,4:7,5:7,6:7,7:8";

impl World {
    /// A pipeline that is to begin there, on a topic whose partitions end at 7.
    fn starting(start: &str) -> Self {
        let world = Self::new();
        *world.kafka.end.lock() = 7;
        world.start_from(start);
        world
    }

    fn start_from(&self, start: &str) {
        self.edit(&json!({"topics": {"incoming": {"startFrom": start}}}));
    }

    /// Somebody changes the resource.
    fn wish(&self, more: &Value) {
        let mut server = self.server.lock();
        let live = server.objects[PIPELINE].clone();
        let mut new = live.clone();
        merge(&mut new, more);
        server.put(PIPELINE, &live, new);
    }

    fn has(&self, path: &str) -> bool {
        self.server.lock().objects.contains_key(path)
    }

    fn degraded(&self) -> (String, String) {
        let status = self.pipeline().status.expect("a status");
        let found = status.conditions.into_iter().find(|c| c.type_ == "Degraded").expect("a condition");
        (found.reason, found.message)
    }

    fn begins_at(&self, partition: i32) -> Option<i64> {
        self.kafka.committed.lock().get(&partition).map(|(offset, _)| *offset)
    }
}

#[tokio::test]
async fn it_is_committed_first_and_never_decided_again() {
    let mut world = World::starting("Latest");
    world.reconcile().await;
    // Seven topics are made before it.
    world.interposer.plan(7, Fault::AnswerLost);
    // The commit is carried out, but nobody knows: the pods are not made yet.
    world.reconcile().await;
    assert!(!world.has(INFLIGHT) && !world.has(GATEWAY));
    // A record comes, and another operator takes over: the start stays.
    *world.kafka.end.lock() = 8;
    world.restart_operator();
    world.running().await;
    assert!(world.has(INFLIGHT) && world.has(GATEWAY));
    let committed = world.kafka.committed.lock().clone();
    let expected = (0..8).map(|partition| (partition, (7, "v1;0@7".to_owned()))).collect();
    assert_eq!(committed, expected);
    // The group's offsets and the pods are gone, long after: nothing is decided anew.
    world.kafka.committed.lock().clear();
    world.server.lock().objects.remove(INFLIGHT);
    world.restart_operator();
    world.reconcile().await;
    assert!(world.kafka.committed.lock().is_empty());
    assert!(world.has(INFLIGHT));
}

#[tokio::test]
async fn the_stage_comes_back_at_once_when_it_is_deleted_before_it_ran() {
    let mut world = World::starting("Latest");
    world.reconcile().await;
    world.reconcile().await;
    // The next look at the topics finds the stage, and asks nothing of where it begins.
    world.restart_operator();
    world.reconcile().await;
    *world.kafka.end.lock() = 8;
    world.server.lock().objects.remove(INFLIGHT);
    world.reconcile().await;
    assert!(world.has(INFLIGHT));
    assert_eq!(world.begins_at(0), Some(7));
}

#[tokio::test]
async fn until_then_nothing_that_asks_for_other_pods_makes_those_of_the_intake() {
    for wish in [
        json!({"spec": {"autoscaling": {"mode": "Native", "maxReplicas": 4}}}),
        json!({"spec": {"autoscaling": {"mode": "External"}}}),
        json!({"spec": {"autoscaling": {"mode": "Recommend"}}}),
        json!({"spec": {"processors": {"inflight": {"replicas": 2, "workers": 2}}}}),
        json!({"spec": {"processors": {"generator": {"rate": 5}}}}),
        json!({"spec": {"image": {"tag": "2"}}}),
        json!({"spec": {"desiredPhase": "Paused"}}),
        json!({"metadata": {"annotations": {"kpay.dev/restart": "now"}}}),
    ] {
        let mut world = World::starting(BEYOND);
        *world.kafka.offsets.lock() = Some(Offsets { committed: 0, end: 100_000 });
        world.reconcile().await;
        world.wish(&wish);
        for _ in 0..3 {
            world.pods_become_ready();
            world.reconcile().await;
            world.restart_operator();
        }
        assert!(world.has(ACCOUNT), "the others need not wait: {wish}");
        assert_eq!(world.has(GENERATOR), wish.pointer("/spec/processors/generator").is_some());
        assert!(!world.has(INFLIGHT) && !world.has(GATEWAY), "{wish}");
        assert_eq!(world.pipeline().status.and_then(|status| status.phase), Some(Phase::Pending), "{wish}");
        world.start_from("Latest");
        world.reconcile().await;
        assert!(world.has(INFLIGHT) && world.has(GATEWAY), "{wish}");
        assert_eq!(world.begins_at(7), Some(7), "{wish}");
    }
}

#[tokio::test]
async fn a_start_that_there_is_not_is_told_and_can_be_corrected() {
    for (wrong, reason, told, phase) in [
        (BEYOND, "StartRefused", "startFrom: offset 8 of partition 7", Phase::Pending),
        ("0:7,1:7", "SpecInvalid", "startFrom: partition 2 has no offset", Phase::Failed),
    ] {
        let world = World::starting(wrong);
        world.reconcile().await;
        world.reconcile().await;
        assert!(!world.has(INFLIGHT) && !world.has(GATEWAY), "{wrong}");
        assert_eq!(world.pipeline().status.and_then(|status| status.phase), Some(phase));
        let degraded = world.degraded();
        assert_eq!(degraded.0, reason);
        assert!(degraded.1.contains(told), "{}", degraded.1);
        world.start_from("0:7,1:7,2:7,3:7,4:7,5:7,6:7,7:5");
        world.reconcile().await;
        world.reconcile().await;
        assert_eq!((world.begins_at(0), world.begins_at(7)), (Some(7), Some(5)), "{wrong}");
        assert!(world.has(INFLIGHT) && world.has(GATEWAY), "{wrong}");
    }
}

#[tokio::test]
async fn the_pods_of_an_earlier_pipeline_of_the_name_decide_nothing() {
    let world = World::starting("Latest");
    world.server.lock().objects.insert(
        INFLIGHT.to_owned(),
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "payments-inflight",
            "ownerReferences": [{"apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline", "name": "payments",
                "uid": "an earlier one"}]}}),
    );
    world.reconcile().await;
    world.reconcile().await;
    assert_eq!(world.begins_at(0), Some(7));
}

#[tokio::test]
async fn what_is_there_of_the_gateway_stays() {
    let world = World::starting(BEYOND);
    world.server.lock().objects.insert(
        GATEWAY.to_owned(),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "payments-gateway",
            "ownerReferences": [{"apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline", "name": "payments",
                "uid": "u"}]}}),
    );
    let writes = world.reconcile().await;
    assert!(!world.has(INFLIGHT));
    assert!(!writes.contains(&format!("DELETE {GATEWAY}")), "{writes:?}");
}

#[tokio::test]
async fn the_earliest_start_commits_nothing() {
    for start in [None, Some("Earliest")] {
        let world = World::new();
        if let Some(start) = start {
            world.start_from(start);
        }
        world.running().await;
        assert!(world.kafka.committed.lock().is_empty());
    }
}

#[tokio::test]
async fn a_topic_with_other_partitions_is_told_and_what_is_asked_for_then_counts() {
    let world = World::with(Operator::default(), &json!({"topics": {"existing": "Adopt"}}));
    *world.kafka.end.lock() = 7;
    let others = TopicState { partitions: 2, replication: 1, ..TopicState::default() };
    world.kafka.topics.lock().insert("default.payments.payment.incoming".to_owned(), others);
    world.reconcile().await;
    let (reason, message) = world.degraded();
    assert_eq!(reason, "PartitionsRefused");
    assert!(message.contains("set it to 2"), "{message}");
    assert!(
        !world.has(INFLIGHT) && !world.has(GATEWAY),
        "nothing was asked of where it begins, and that may come"
    );
    assert!(!world.has(ACCOUNT), "whose the topics are is not settled");
    world.edit(&json!({"topics": {"incoming": {"partitions": 2, "startFrom": "0:7,1:3"}}}));
    world.reconcile().await;
    world.reconcile().await;
    assert_eq!((world.begins_at(0), world.begins_at(1), world.begins_at(2)), (Some(7), Some(3), None));
    assert!(world.has(INFLIGHT) && world.has(GATEWAY));
}
