//! How many pods there are, and what they are made from.

use std::time::Duration;

use kpay_control::autoscale::Offsets;
use serde_json::json;

use super::world::{ACCOUNT, PIPELINE, World};

impl World {
    /// A running pipeline that is scaled by its load, and has been looked at once.
    async fn scaling(mode: &str) -> Self {
        let world = Self::new();
        world.edit(&json!({"autoscaling": {"mode": mode, "maxReplicas": 4}}));
        *world.kafka.offsets.lock() = Some(Offsets { committed: 0, end: 100_000 });
        world.running().await;
        world.time_passes();
        world
    }

    fn replicas(&self) -> i64 {
        self.server.lock().objects[ACCOUNT]["spec"]["replicas"].as_i64().expect("a number")
    }

    fn decided(&self) -> kpay_crds::StageScaling {
        self.pipeline().status.expect("a status").autoscaling["account"].clone()
    }
}

#[tokio::test]
async fn load_scales_a_stage_in_two_steps_first_written_then_done() {
    let world = World::scaling("Native").await;
    *world.kafka.offsets.lock() = Some(Offsets { committed: 6_000, end: 200_000 });
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("PATCH {PIPELINE}/status")), "{writes:?}");
    assert_eq!((world.decided().replicas, world.decided().reason.as_str()), (4, "Arrivals"));
    assert_eq!(world.replicas(), 2, "what is not written down is not done");
    let writes = world.reconcile().await;
    assert!(writes.contains(&format!("PATCH {ACCOUNT}")), "{writes:?}");
    assert_eq!(world.replicas(), 4);
    let active = world.pipeline().status.expect("a status").conditions;
    let active = active.iter().find(|c| c.type_ == "AutoscalingActive").expect("a condition");
    assert_eq!((active.status.as_str(), active.reason.as_str()), ("True", "Native"));
}

#[tokio::test]
async fn missing_figures_hold_the_decision_and_say_so() {
    let world = World::scaling("Native").await;
    *world.kafka.offsets.lock() = None;
    world.reconcile().await;
    assert_eq!((world.decided().replicas, world.decided().reason.as_str()), (2, "MetricsMissing"));
    world.reconcile().await;
    assert_eq!(world.replicas(), 2);
}

#[tokio::test]
async fn other_modes_leave_the_replicas_to_others() {
    for (mode, others, kept) in [("Recommend", 5, 2), ("External", 5, 5)] {
        let world = World::scaling(mode).await;
        *world.kafka.offsets.lock() = Some(Offsets { committed: 6_000, end: 200_000 });
        world.server.lock().objects.get_mut(ACCOUNT).expect("the stage")["spec"]["replicas"] = json!(others);
        world.reconcile().await;
        world.reconcile().await;
        assert_eq!(world.replicas(), kept, "{mode}");
        assert_eq!(world.decided().reason, if mode == "External" { "Capped" } else { "Arrivals" });
    }
}

#[tokio::test]
async fn pods_that_a_scale_down_takes_away_leave_their_group() {
    let world = World::new();
    let of = |number: i32| format!("/api/v1/namespaces/default/pods/payments-account-{number}");
    for number in 0..3 {
        world.server.lock().objects.insert(
            of(number),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("payments-account-{number}")}}),
        );
    }
    world.running().await;
    world.server.lock().objects.remove(&of(1));
    world.reconcile().await;
    assert!(world.kafka.removed.lock().is_empty(), "a pod that is wanted comes back");
    world.server.lock().objects.remove(&of(2));
    world.reconcile().await;
    world.reconcile().await;
    assert_eq!(*world.kafka.removed.lock(), ["default.payments.account payments-account-2-0"]);
}

#[tokio::test]
async fn a_new_image_is_planned_first_and_goes_one_workload_after_the_other() {
    let world = World::new();
    world.running().await;
    // The pods here tell no figures, and nobody waits for them.
    world.edit(&json!({"image": {"tag": "2"}, "upgrade": {"inconclusiveAfter": "1ms"}}));
    let writes = world.reconcile().await;
    let workload = |write: &&String| write.contains("/statefulsets/") || write.contains("/deployments/");
    assert_eq!(
        writes.iter().filter(workload).count(),
        0,
        "nothing moves before the plan is written: {writes:?}"
    );
    let up = world.pipeline().status.and_then(|status| status.upgrade).expect("an upgrade");
    assert_eq!(
        (up.changes.as_slice(), up.steps.len()),
        (&[r#"image: "kpay:1" → "kpay:2""#.to_owned()][..], 4)
    );
    world.restart_quietly();
    tokio::time::sleep(Duration::from_millis(2)).await;
    world.reconcile().await;
    let writes = world.reconcile().await;
    let touched: Vec<String> = writes.iter().filter(workload).cloned().collect();
    assert_eq!(touched, ["PATCH /apis/apps/v1/namespaces/default/statefulsets/payments-confirmed"]);
    // The one that took over goes; the next workload waits for this one, and for payments to be watched.
    world.pods_become_ready();
    world.reconcile().await;
    let writes = world.reconcile().await;
    assert_eq!(writes.iter().filter(workload).cloned().collect::<Vec<_>>(), touched);
    world.pods_become_ready();
    let writes = world.reconcile().await;
    assert_eq!(writes.iter().filter(workload).count(), 0, "{writes:?}");
}
