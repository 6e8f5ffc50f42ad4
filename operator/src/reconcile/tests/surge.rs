//! While the pods of a stage are replaced, one more takes over.

use std::time::Duration;

use serde_json::json;

use super::mistakes::Operator;
use super::world::{ACCOUNT, CONFIRMED, World};

/// The most pods that the stages have had while a new image came, and those that they have in the end.
async fn most_and_last(max_surge: i32) -> ([i64; 2], [i64; 2]) {
    let upgrade = json!({"verify": "1ms", "inconclusiveAfter": "1ms", "maxSurge": max_surge});
    let world = World::with(Operator::default(), &json!({"upgrade": upgrade}));
    world.running().await;
    world.edit(&json!({"image": {"tag": "2"}}));
    let replicas = || {
        [CONFIRMED, ACCOUNT]
            .map(|path| world.server.lock().objects[path]["spec"]["replicas"].as_i64().expect("a count"))
    };
    let mut most = replicas();
    for _ in 0..30 {
        world.pods_come_and_go();
        world.time_passes();
        tokio::time::sleep(Duration::from_millis(2)).await;
        world.reconcile().await;
        let now = replicas();
        most = [most[0].max(now[0]), most[1].max(now[1])];
    }
    let status = world.pipeline().status.expect("a status");
    let upgrade = status.upgrade.expect("an upgrade");
    assert!(!upgrade.state.is_under_way(), "{upgrade:?}");
    (most, replicas())
}

#[tokio::test]
async fn a_stage_has_one_more_while_its_pods_are_replaced_and_no_other_has() {
    // The pods here tell no figures, so that the first step is where it ends.
    assert_eq!(most_and_last(1).await, ([2, 2], [1, 2]));
}

#[tokio::test]
async fn without_room_for_it_there_is_none() {
    assert_eq!(most_and_last(0).await, ([1, 2], [1, 2]));
}
