//! Whose the topics are: nothing is done to those of others, and no pod touches them.

use kpay_crds::{PaymentPipeline, Phase, TopicOrigin, TopicReportState};
use serde_json::{Value, json};

use super::mistakes::Operator;
use super::world::{ACCOUNT, INFLIGHT, PIPELINE, World};

const LEDGER: &str = "default.payments.account.ledger";
const CONFIRMED: &str = "/apis/apps/v1/namespaces/default/statefulsets/payments-confirmed";

impl World {
    fn said(&self, kind: &str) -> (String, String) {
        let status = self.pipeline().status.expect("a status");
        let found = status.conditions.into_iter().find(|c| c.type_ == kind).expect("a condition");
        (found.reason, found.message)
    }

    fn phase(&self) -> Option<Phase> {
        self.pipeline().status.and_then(|status| status.phase)
    }

    fn has_no_pod(&self) -> bool {
        let server = self.server.lock();
        !server.objects.keys().any(|path| path.contains("/statefulsets/") || path.contains("/deployments/"))
    }

    /// Deletes the pipeline, until it is gone.
    async fn delete(&self) {
        self.server.lock().delete(PIPELINE);
        for _ in 0..4 {
            if self.server.lock().objects.contains_key(PIPELINE) {
                self.reconcile().await;
            }
        }
        assert!(!self.server.lock().objects.contains_key(PIPELINE));
    }
}

/// Made before the one of the tests or after it; with topics of its own or without.
fn other(created: &str, own: bool) -> PaymentPipeline {
    let topics =
        if own { json!({"ops.dlq": {"origin": "Created", "state": "AsDeclared"}}) } else { json!({}) };
    serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "first", "namespace": "elsewhere", "uid": "o", "creationTimestamp": created},
        "spec": {"kafka": {"bootstrapServers": "other:9092,kafka:9092", "topicPrefix": "default.payments."}},
        "status": {"topics": topics},
    }))
    .expect("a pipeline")
}

fn second(more: &Value) -> World {
    let world = World::with(Operator::default(), more);
    let created = json!("2026-01-02T00:00:00Z");
    world.server.lock().objects.get_mut(PIPELINE).expect("the pipeline")["metadata"]["creationTimestamp"] =
        created;
    world
}

#[tokio::test]
async fn topics_of_an_earlier_pipeline_are_not_touched_before_it_is_told_so() {
    let mut world = World::new();
    world.running().await;
    world.kafka.topics.lock().get_mut(LEDGER).expect("the ledger").config.clear();
    world.is_made_anew();
    let before = world.kafka.topics.lock().clone();
    for _ in 0..3 {
        world.restart_operator();
        world.reconcile().await;
    }
    assert_eq!(*world.kafka.topics.lock(), before);
    assert!(world.has_no_pod() && world.phase() == Some(Phase::Pending));
    let told = world.server.lock().events.iter().filter(|reason| *reason == "TopicsExist").count();
    assert_eq!(told, 1, "and not by each operator again");
    for kind in ["TopicsReady", "Degraded"] {
        let (reason, message) = world.said(kind);
        assert_eq!(reason, "TopicsExist");
        assert!(message.contains(LEDGER) && message.contains("spec.topics.existing to Adopt"), "{message}");
    }
    let topics = world.pipeline().status.expect("a status").topics;
    assert!(topics.values().all(|topic| topic.origin.is_none()));

    world.edit(&json!({"topics": {"existing": "Adopt"}}));
    world.reconcile().await;
    assert_eq!(*world.kafka.topics.lock(), before, "first it is written down");
    world.running().await;
    let ledger = &world.kafka.topics.lock()[LEDGER].config["retention.ms"].clone();
    assert_eq!(ledger, "-1");
    let topics = world.pipeline().status.expect("a status").topics;
    let adopted = |topic: &kpay_crds::TopicReport| {
        (topic.origin, topic.state) == (Some(TopicOrigin::Adopted), Some(TopicReportState::AsDeclared))
    };
    assert!(topics.len() == 7 && topics.values().all(adopted), "{topics:?}");
    assert_eq!(world.reconcile().await, [] as [&str; 0]);
}

#[tokio::test]
async fn topics_that_others_manage_are_used_and_stay_when_the_pipeline_goes_with_its_own() {
    let world = World::new();
    world.running().await;
    world.server.lock().delete(PIPELINE);
    world.kafka.topics.lock().retain(|name, _| name == LEDGER);
    world.kafka.topics.lock().get_mut(LEDGER).expect("the ledger").config.insert("a".into(), "b".into());
    let spec = json!({"topics": {"existing": "CheckOnly", "deletionPolicy": "Delete",
        "ledger": {"config": {"a": "c"}}}});
    let again = World::with(Operator::default(), &spec);
    again.kafka.topics.lock().clone_from(&world.kafka.topics.lock());
    again.reconcile().await;
    again.running().await;
    assert_eq!(again.kafka.topics.lock()[LEDGER].config["a"], "b");
    let (reason, message) = again.said("TopicsReady");
    assert_eq!(reason, "OthersDiffer");
    assert!(message.contains("a is b, declared c"), "{message}");
    again.delete().await;
    let left: Vec<String> = again.kafka.topics.lock().keys().cloned().collect();
    assert_eq!(left, [LEDGER]);
}

#[tokio::test]
async fn a_pipeline_that_was_refused_takes_no_topic_with_it() {
    let spec = json!({"topics": {"deletionPolicy": "Delete"}});
    let world = World::with(Operator::default(), &spec);
    world.kafka.topics.lock().insert(LEDGER.to_owned(), kpay_control::topics::TopicState::default());
    for _ in 0..3 {
        world.reconcile().await;
    }
    assert_eq!(world.said("TopicsReady").0, "TopicsExist");
    world.delete().await;
    let left: Vec<String> = world.kafka.topics.lock().keys().cloned().collect();
    assert_eq!(left, [LEDGER]);
}

#[tokio::test]
async fn the_second_of_two_pipelines_with_the_same_topics_waits_and_is_told_which_is_the_first() {
    let world = second(&json!({}));
    let first = other("2026-01-01T00:00:00Z", false);
    world.sees(&first);
    for _ in 0..3 {
        world.reconcile().await;
        world.restart_quietly();
    }
    assert!(world.has_no_pod() && world.kafka.topics.lock().is_empty());
    for kind in ["TopicsReady", "Degraded"] {
        let (reason, message) = world.said(kind);
        assert_eq!(reason, "TopicsTaken");
        assert!(message.contains("PaymentPipeline elsewhere/first"), "{message}");
    }
    // It had none yet.
    world.sees_gone(&first);
    world.restart_quietly();
    world.reconcile().await;
    world.running().await;
    assert_eq!(world.kafka.topics.lock().len(), 7);
}

#[tokio::test]
async fn who_has_topics_already_keeps_them_when_an_older_pipeline_turns_to_them() {
    let world = second(&json!({}));
    world.running().await;
    world.sees(&other("2026-01-01T00:00:00Z", false));
    world.restart_quietly();
    world.reconcile().await;
    assert_eq!(world.said("TopicsReady").0, "AsDeclared");
}

#[tokio::test]
async fn pods_that_are_there_stay_when_the_topics_turn_out_to_be_another_s() {
    let world = second(&json!({"topics": {"deletionPolicy": "Delete"}}));
    world.reconcile().await;
    world.running().await;
    // One that the operator did not see when this one was made.
    world.sees(&other("2026-01-01T00:00:00Z", true));
    world.restart_quietly();
    world.server.lock().objects.remove(CONFIRMED);
    world.reconcile().await;
    assert_eq!(world.said("TopicsReady").0, "TopicsTaken");
    let has = |path| world.server.lock().objects.contains_key(path);
    assert!(has(INFLIGHT) && has(ACCOUNT), "payments in flight go on");
    assert!(!has(CONFIRMED), "and nothing is begun");
    world.delete().await;
    assert_eq!(world.kafka.topics.lock().len(), 7, "they are the other's too");
}
