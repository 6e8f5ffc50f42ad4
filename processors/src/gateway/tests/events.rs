//! `/v1/events`, on a clock that stands still until everybody waits.

use axum::body::BodyDataStream;
use futures::StreamExt;

use super::*;

async fn follow(gateway: &Gateway) -> BodyDataStream {
    let request = Request::get("/v1/events").body(Body::empty()).unwrap();
    let response = gateway.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

async fn event(events: &mut BodyDataStream) -> Value {
    let text = String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
    let (name, data) = text.trim_end().split_once('\n').unwrap();
    assert_eq!(name, "event: pipeline");
    serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap()
}

/// Two questions make an event: to the confirmed and to the inflight stage.
fn sampled(gateway: &Gateway) -> usize {
    gateway.twin.lock().controls_asked / 2
}

#[tokio::test(start_paused = true)]
async fn the_figures_come_every_second_for_longer_than_a_request_may_take() {
    let gateway = gateway();
    let pod = |count, per_second, latency| {
        json!({
            "partitions": [{"partition": 0, "state": "running", "count": count, "value": {}}],
            "figures": {"perSecond": per_second, "latencyP99Ms": latency, "today": {"count": 3, "value": {}}},
        })
    };
    gateway.twin.lock().controls.insert(StageName::Inflight, pipeline::controls(&pod(5, 0.0, 0.0)));
    gateway.twin.lock().controls.insert(StageName::Confirmed, pipeline::controls(&pod(3, 12.5, 40.0)));
    let mut events = follow(&gateway).await;
    let begin = tokio::time::Instant::now();
    let expected = json!({
        "phase": "Running", "desiredPhase": "Running", "epoch": 7, "inFlight": {"count": 2, "value": {}},
        "confirmedToday": {"count": 3, "value": {}}, "perSecond": 12.5, "latencyP99Ms": 40.0,
    });
    for second in 0..100 {
        assert_eq!(event(&mut events).await, expected);
        assert_eq!(begin.elapsed().as_secs(), second);
    }
    gateway.twin.lock().controls.clear();
    let unknown = event(&mut events).await;
    assert_eq!((&unknown["perSecond"], &unknown["inFlight"]), (&Value::Null, &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn one_task_asks_for_all_and_none_for_nobody() {
    let gateway = gateway();
    assert_eq!(sampled(&gateway), 0, "before anybody listens");
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(follow(&gateway).await);
    }
    for round in 1..=3 {
        for events in &mut all {
            event(events).await;
        }
        assert_eq!(sampled(&gateway), round);
    }
    drop(all);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(sampled(&gateway), 3, "after the last has left");
    event(&mut follow(&gateway).await).await;
    assert_eq!(sampled(&gateway), 4, "and for the next one again");
}

#[tokio::test(start_paused = true)]
async fn listeners_are_bounded_and_a_place_becomes_free_again() {
    let gateway = gateway();
    let mut all = Vec::new();
    for _ in 0..64 {
        all.push(follow(&gateway).await);
    }
    gateway.get("/v1/events").await.assert_problem(503, "too_many_listeners", None);
    all.pop();
    event(&mut follow(&gateway).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_events() {
    let gateway = gateway();
    let mut events = follow(&gateway).await;
    event(&mut events).await;
    gateway.app.events.stop();
    assert!(events.next().await.is_none());
    assert!(follow(&gateway).await.next().await.is_none(), "one that comes late");
}
