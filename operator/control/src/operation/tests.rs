//! One at a time, once, and what each answer leads to.

use super::*;

fn operation(name: &str, second: i64, phase: Option<OperationPhase>) -> PipelineOperation {
    let mut operation: PipelineOperation = serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PipelineOperation",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"pipeline": "payments", "type": "ReplayDeadLetters", "reason": "mended",
            "replayDeadLetters": {"code": "json_invalid"}},
    }))
    .expect("a resource");
    operation.metadata.creation_timestamp = Some(Time(at(second)));
    operation.status =
        phase.map(|phase| PipelineOperationStatus { phase: Some(phase), ..Default::default() });
    operation
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

#[test]
fn the_one_under_way_goes_first_then_the_oldest() {
    let (old, young) = (operation("b-old", 1, None), operation("a-young", 2, None));
    let twin = operation("c-twin", 1, None);
    let all = [old.clone(), young.clone(), twin.clone()];
    assert_eq!(goes_first(&old, &all), None);
    assert_eq!(goes_first(&twin, &all), Some("b-old"));
    assert_eq!(goes_first(&young, &all), Some("b-old"));
    let running = operation("z-running", 9, Some(OperationPhase::Running));
    let all = [old.clone(), running.clone()];
    assert_eq!(goes_first(&old, &all), Some("z-running"));
    assert_eq!(goes_first(&running, &all), None);
}

#[test]
fn neither_ended_ones_nor_those_of_other_pipelines_are_waited_for() {
    let young = operation("young", 9, None);
    let mut other = operation("other", 1, None);
    other.spec.pipeline = "refunds".to_owned();
    let ended =
        [OperationPhase::Succeeded, OperationPhase::Failed].map(|phase| operation("e", 1, Some(phase)));
    assert_eq!(goes_first(&young, &[other]), None);
    assert_eq!(goes_first(&young, &ended), None);
}

#[test]
fn the_order_takes_what_failed_before_the_operation_began() {
    let mut replay = operation("replay", 1, None);
    replay.status = Some(after(&replay, Step::Begins, at(100)));
    let order = replay_order(&replay);
    assert_eq!(order["filter"]["before"], "1970-01-01T00:01:40Z");
    assert_eq!((&order["by"], &order["reason"]), (&json!("replay"), &json!("mended")));
    assert_eq!((&order["after"], &order["dryRun"]), (&Value::Null, &json!(false)));
}

#[test]
fn batches_add_up_until_there_is_no_next() {
    let mut replay = operation("replay", 1, None);
    let answer = json!({"replayed": ["0-1", "0-2"], "skipped": [{"id": "0-3"}], "next": "4.0"});
    let answers = [answer, json!({"replayed": ["1-1"], "skipped": []})];
    replay.status = Some(after(&replay, Step::Begins, at(100)));
    for answer in answers {
        assert_eq!(replay.status.as_ref().and_then(|s| s.phase), Some(OperationPhase::Running));
        replay.status = Some(after(&replay, replay_answer(200, &answer), at(101)));
        if answer.get("next").is_some() {
            assert_eq!(replay_order(&replay)["after"], "4.0");
        }
    }
    let status = replay.status.expect("a status");
    assert_eq!(status.phase, Some(OperationPhase::Succeeded));
    assert_eq!(status.finished_at, Some(Time(at(101))));
    assert_eq!(status.message, "3 dead letters replayed, 1 cannot be");
}

#[test]
fn an_answer_that_passes_is_waited_for_and_one_that_does_not_ends_it() {
    let begun = operation("replay", 1, Some(OperationPhase::Running));
    let busy = replay_answer(503, &json!({"detail": "it is reading"}));
    let status = after(&begun, busy, at(1));
    assert_eq!(status.phase, Some(OperationPhase::Running));
    assert!(status.message.contains("it is reading"), "{}", status.message);
    let refused = replay_answer(400, &json!({"detail": "reason must have at most 512 bytes"}));
    let status = after(&begun, refused, at(1));
    assert_eq!(status.phase, Some(OperationPhase::Failed));
    assert!(status.message.contains("512 bytes"), "{}", status.message);
}

#[test]
fn before_it_begins_an_operation_that_waits_is_pending() {
    let status = after(&operation("replay", 1, None), Step::Waits("for b".to_owned()), at(1));
    assert_eq!((status.phase, status.started_at), (Some(OperationPhase::Pending), None));
}
