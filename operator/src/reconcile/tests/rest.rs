//! A pipeline at rest is looked at lightly, and wholly as soon as anything is different.

use std::time::Instant;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kpay_crds::Phase;
use kube::runtime::watcher::Event;
use serde_json::json;

use super::world::{ACCOUNT, PIPELINE, PODS, World};

/// At rest, and looked at once since.
async fn at_rest() -> World {
    let world = World::new();
    world.running().await;
    world.pods_come_and_go();
    world.time_passes();
    world.reconcile().await;
    world.reconcile().await;
    assert_eq!(world.reconcile().await, [] as [&str; 0]);
    assert_eq!(reads(&world), [PODS], "a light look");
    world
}

fn reads(world: &World) -> Vec<String> {
    world.server.lock().reads.clone()
}

fn scale(world: &World, replicas: i32) {
    world.server.lock().objects.get_mut(ACCOUNT).expect("the account stage")["spec"]["replicas"] =
        json!(replicas);
}

#[tokio::test]
async fn what_a_watch_tells_of_is_looked_at() {
    let world = at_rest().await;
    scale(&world, 5);
    assert!(world.reconcile().await.contains(&format!("PATCH {ACCOUNT}")));
    world.server.lock().objects.remove(ACCOUNT);
    assert!(world.reconcile().await.contains(&format!("PATCH {ACCOUNT}")));
}

#[tokio::test]
async fn what_no_watch_has_told_of_is_seen_when_the_rest_is_over() {
    let world = at_rest().await;
    scale(&world, 5);
    assert_eq!(world.reconcile_untold().await, [] as [&str; 0]);
    assert_eq!(reads(&world), [PODS]);
    world.rest_is_over();
    assert!(world.reconcile_untold().await.contains(&format!("PATCH {ACCOUNT}")));
}

#[tokio::test]
async fn after_a_gap_in_a_watch_everything_is_looked_at() {
    let world = at_rest().await;
    scale(&world, 5);
    world.context.changes.note::<Job>(&Event::Init);
    assert!(world.reconcile_untold().await.contains(&format!("PATCH {ACCOUNT}")));
}

#[tokio::test]
async fn a_change_during_a_look_is_looked_at_in_the_next() {
    let world = at_rest().await;
    // What the look has found is older than what the watch tells of now.
    let set = world.server.lock().objects[ACCOUNT].clone();
    world.context.changes.note(&Event::Apply(serde_json::from_value::<StatefulSet>(set).expect("a set")));
    world.reconcile_untold().await;
    assert!(reads(&world).len() > 1, "{:?}", reads(&world));
    world.reconcile_untold().await;
    assert_eq!(reads(&world), [PODS]);
}

#[tokio::test]
async fn pods_that_say_something_else_are_looked_at() {
    let world = at_rest().await;
    world.server.lock().objects.retain(|path, _| path != &format!("{PODS}/payments-account-0"));
    world.reconcile_untold().await;
    assert!(reads(&world).len() > 1, "{:?}", reads(&world));
}

#[tokio::test]
async fn topics_have_their_turn_in_a_light_look() {
    let world = at_rest().await;
    let topic = "default.payments.ops.dlq";
    world
        .kafka
        .topics
        .lock()
        .get_mut(topic)
        .expect("a topic")
        .config
        .insert("retention.ms".into(), "1".into());
    world.time_passes();
    world.reconcile_untold().await;
    assert_ne!(world.kafka.topics.lock()[topic].config["retention.ms"], "1");
}

#[tokio::test]
async fn another_spec_and_the_end_of_a_pause_end_the_rest() {
    let world = at_rest().await;
    world.edit(&json!({"desiredPhase": "Paused"}));
    world.reconcile_untold().await;
    let phase = || world.pipeline().status.and_then(|status| status.phase);
    assert_eq!(phase(), Some(Phase::Draining));
    let soon = k8s_openapi::jiff::Timestamp::now() + std::time::Duration::from_mins(2);
    world.edit(
        &json!({"desiredPhase": "Running", "pauses": [{"holder": "alice", "until": soon.to_string()}]}),
    );
    super::reaches(&world, Phase::Paused).await;
    for _ in 0..3 {
        world.time_passes();
        world.reconcile().await;
    }
    let rest = world.context.memory.lock().values().find_map(|memory| memory.rest.clone()).expect("at rest");
    let lasts = rest.until.saturating_duration_since(Instant::now());
    assert!(lasts <= std::time::Duration::from_mins(2), "{lasts:?}");
    assert!(world.server.lock().objects.contains_key(PIPELINE));
}
