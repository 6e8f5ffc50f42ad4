//! Reconciles against an API server in memory that counts the writes, and a broker in memory.

mod accounts;
mod converge;
mod faults;
mod kafka;
mod mistakes;
mod pods;
mod rest;
mod scenarios;
mod server;
mod start;
mod surge;
mod topics;
mod world;

use kpay_crds::DesiredPhase;
use serde_json::{Value, json};

use self::world::{ACCOUNT, GENERATOR, PIPELINE, World};
use super::*;

#[tokio::test]
async fn new_pipeline_gets_its_objects_topics_and_phase() {
    let world = World::new();
    let mut writes = world.reconcile().await;
    assert!(world.kafka.topics.lock().is_empty(), "first it is written down that they are its own");
    let status = world.pipeline().status.expect("a status");
    assert_eq!((status.phase, status.epoch), (Some(Phase::Pending), 1));
    writes.extend(world.reconcile().await);
    assert_eq!(world.kafka.topics.lock().len(), 7);
    let applied = writes.iter().filter(|write| !write.contains("/events") && !write.contains("/status"));
    assert_eq!(applied.count(), 6 + 4 + 4 + 3 + 1, "{writes:?}");
}

#[tokio::test]
async fn unchanged_pipeline_makes_no_write() {
    let world = World::new();
    world.running().await;
    for _ in 0..3 {
        assert_eq!(world.reconcile().await, [] as [&str; 0]);
    }
}

#[tokio::test]
async fn operator_restart_makes_no_write() {
    let mut world = World::new();
    world.running().await;
    world.restart_operator();
    assert_eq!(world.reconcile().await, [] as [&str; 0]);
}

#[tokio::test]
async fn deleted_object_comes_back_and_nothing_else_is_written() {
    let world = World::new();
    world.running().await;
    let owned: Vec<String> =
        world.server.lock().objects.keys().filter(|path| *path != PIPELINE).cloned().collect();
    assert_eq!(owned.len(), 18);
    for path in owned {
        world.server.lock().objects.remove(&path);
        let writes = world.reconcile().await;
        assert!(writes.contains(&format!("PATCH {path}")), "{path}: {writes:?}");
        assert!(writes.iter().all(|w| w.ends_with(&path) || w.ends_with("payments/status")), "{writes:?}");
        world.pods_become_ready();
        world.reconcile().await;
    }
}

#[tokio::test]
async fn drifted_object_is_brought_back() {
    let world = World::new();
    world.running().await;
    world.server.lock().objects.get_mut(ACCOUNT).expect("the account stage")["spec"]["replicas"] = json!(5);
    assert!(world.reconcile().await.contains(&format!("PATCH {ACCOUNT}")));
    assert_eq!(world.server.lock().objects[ACCOUNT]["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_generator_comes_and_goes_with_its_field_and_no_phase_waits_for_it() {
    let world = World::new();
    let set = |generator: Value| world.edit(&json!({"processors": {"generator": generator}}));
    set(json!({"rate": 5}));
    world.reconcile().await;
    world.reconcile().await;
    assert!(world.server.lock().objects.contains_key(GENERATOR));
    world.pods_become_ready();
    world.server.lock().objects.get_mut(GENERATOR).expect("the generator")["status"] = json!({});
    world.reconcile().await;
    let status = world.pipeline().status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Running));
    assert_eq!((status.processors["generator"].ready, status.processors["generator"].desired), (0, 1));
    world.reconcile().await;

    set(json!({"rate": 6}));
    let only_seen = [format!("PATCH {PIPELINE}/status")];
    assert_eq!(world.reconcile().await, only_seen, "the pods follow their load by themselves");
    set(Value::Null);
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("DELETE {GENERATOR}")), "{writes:?}");
    let status = world.pipeline().status.expect("a status");
    assert!(!status.processors.contains_key("generator"), "{:?}", status.processors);
}

#[tokio::test]
async fn stale_leader_cannot_write_a_phase() {
    let world = World::new();
    world.running().await;
    let mut stale = world.pipeline();
    stale.spec.desired_phase = DesiredPhase::Paused;
    stale.metadata.resource_version = Some("0".to_owned());
    let refused = reconcile(Arc::new(stale), Arc::clone(&world.context)).await;
    assert!(matches!(refused, Err(Error::Conflict)), "{refused:?}");
    assert_eq!(world.pipeline().status.and_then(|status| status.phase), Some(Phase::Running));
}

#[tokio::test]
async fn drain_without_an_answer_of_the_pods_stays_draining_and_names_them() {
    let world = World::new();
    world.running().await;
    world.edit(&json!({"desiredPhase": "Paused"}));
    world.reconcile().await;
    for _ in 0..3 {
        world.restart_quietly();
        world.reconcile().await;
    }
    let status = world.pipeline().status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Draining));
    let drained = status.conditions.iter().find(|c| c.type_ == "Drained").expect("a condition");
    assert!(drained.message.contains("pod payments-account-0"), "{}", drained.message);
}

/// Reconciles until the phase is this, as the pods come and go.
async fn reaches(world: &World, phase: Phase) {
    for _ in 0..20 {
        world.pods_come_and_go();
        world.time_passes();
        world.reconcile().await;
        if world.pipeline().status.and_then(|status| status.phase) == Some(phase) {
            return;
        }
    }
    panic!("not {phase}: {:?}", world.pipeline().status);
}

#[tokio::test]
async fn a_pause_ends_when_the_last_holder_lets_go_and_each_is_told() {
    let world = World::new();
    world.running().await;
    let holders = || {
        let status = world.pipeline().status.expect("a status");
        status.holders.into_iter().map(|holder| holder.holder).collect::<Vec<_>>()
    };
    world.edit(&json!({"pauses": [{"holder": "alice"}, {"holder": "bob", "reason": "books"}]}));
    reaches(&world, Phase::Paused).await;
    assert_eq!(holders(), ["alice", "bob"]);
    world.edit(&json!({"pauses": [{"holder": "bob", "reason": "books"}], "desiredPhase": "Running"}));
    world.reconcile().await;
    let status = world.pipeline().status.expect("a status");
    assert_eq!((status.phase, holders()), (Some(Phase::Paused), vec!["bob".to_owned()]));
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").expect("a condition");
    assert!(ready.message.contains("held by bob (books)"), "{}", ready.message);
    // As it was written, though it has ended.
    world.edit(&json!({"pauses": [{"holder": "bob", "until": "2026-01-01T00:00:00Z"}]}));
    reaches(&world, Phase::Running).await;
    assert_eq!((holders(), world.pipeline().spec.pauses.len()), (vec![], 1));
    let events = world.server.lock().events.clone();
    let of_pauses: Vec<_> = events.iter().filter(|reason| reason.starts_with("Pause")).collect();
    assert_eq!(of_pauses, ["PauseHeld", "PauseHeld", "PauseLetGo", "PauseLetGo"]);
}

#[tokio::test]
async fn a_spec_that_is_wrong_ends_no_pause_that_somebody_holds() {
    let world = World::new();
    world.running().await;
    world.edit(&json!({"pauses": [{"holder": "alice"}]}));
    reaches(&world, Phase::Paused).await;
    world.edit(&json!({"drain": {"timeout": "soon"}}));
    world.reconcile().await;
    let status = world.pipeline().status.expect("a status");
    assert_eq!((status.phase, status.holders.len()), (Some(Phase::Paused), 1));
    world.edit(&json!({"pauses": []}));
    world.reconcile().await;
    assert_eq!(world.pipeline().status.and_then(|status| status.phase), Some(Phase::Resuming));
}

#[tokio::test]
async fn a_pause_that_will_end_is_looked_at_in_time() {
    let world = World::new();
    world.running().await;
    let soon = Timestamp::now() + Duration::from_secs(9);
    world.edit(&json!({"pauses": [{"holder": "alice", "until": soon.to_string()}]}));
    reaches(&world, Phase::Paused).await;
    let look = || reconcile(Arc::new(world.pipeline()), Arc::clone(&world.context));
    let at_rest = Action::requeue(AT_REST);
    assert_ne!(look().await.expect("a reconcile"), at_rest, "sooner than at rest");
    world.edit(&json!({"pauses": [{"holder": "alice", "until": "2999-01-01T00:00:00Z"}]}));
    look().await.expect("a reconcile");
    assert_eq!(look().await.expect("a reconcile"), at_rest);
}

#[tokio::test]
async fn invalid_spec_of_a_running_pipeline_changes_only_the_status() {
    let world = World::new();
    world.running().await;
    world.edit(&json!({"drain": {"timeout": "soon"}}));
    assert_eq!(world.reconcile().await, [format!("PATCH {PIPELINE}/status")]);
    let status = world.pipeline().status.expect("a status");
    assert_eq!(status.phase, Some(Phase::Running));
    let degraded = status.conditions.iter().find(|c| c.type_ == "Degraded").expect("a condition");
    assert!(degraded.message.contains("spec.drain.timeout"), "{}", degraded.message);
}
