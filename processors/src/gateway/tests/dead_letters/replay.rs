//! Replaying letters: once, by whom and why, one or many.

use std::collections::BTreeSet;

use super::*;
use crate::names::TopicName;

#[tokio::test]
async fn a_replay_goes_back_once_and_says_who_and_why() {
    let gateway = gateway();
    let id = gateway.letter(1, "enum_unknown", StageName::Account, &debit());
    let done = gateway.replay(&id).await;
    assert_eq!((done.status, &done.json()["status"]), (StatusCode::OK, &json!("replayed")), "{}", done.text);
    assert_eq!(done.json()["replay"]["by"], "maria");
    let other = r#"{"by": "otto", "reason": "to be sure"}"#;
    let again = gateway.post(&format!("/v1/dead-letters/{id}/replay"), other).await;
    let told = again.json();
    assert_eq!((&told["status"], &told["replay"]), (&json!("already_replayed"), &done.json()["replay"]));
    // Also by a gateway that has just started.
    let fresh = gateway_with(Arc::clone(&gateway.shelf), None);
    assert_eq!(fresh.replay(&id).await.json()["status"], "already_replayed");
    assert_eq!(gateway.count(), 1);
    {
        let shelf = gateway.shelf.lock();
        let record = &shelf.replayed[0];
        assert_eq!(record.topic, TopicName::Inflight);
        assert_eq!(record.partition, kpay_kafka::partition::partition_of(b"k-1", 8));
        assert_eq!((record.key.as_slice(), &record.value), (b"k-1".as_slice(), &debit()));
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        let own = ["kpay-dlq-history", "kpay-dlq-replay-of", "kpay-dlq-replays"];
        assert_eq!(names, ["content-type", own[0], own[1], own[2]]);
        let mark = shelf.dlq.iter().flatten().flatten().last().unwrap();
        let mark: Value = serde_json::from_slice(&mark.value).unwrap();
        assert_eq!((&mark["who"], &mark["why"]), (&json!("maria"), &json!("mended")));
        assert_eq!((&mark["what"], &mark["target"]["letter"]), (&json!("dead_letter_replayed"), &json!(id)));
    }
    let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
    assert_eq!((&shown["replays"], &shown["replay"]), (&json!(1), &done.json()["replay"]));
    let list = gateway.get("/v1/dead-letters").await.json();
    assert_eq!(list["deadLetters"].as_array().unwrap().len(), 1, "the mark is no letter: {list}");
    assert_eq!(list["deadLetters"][0]["replayedAt"], "1970-01-01T00:00:09.000Z");
}

#[tokio::test]
async fn a_record_that_fails_again_has_its_history_over_many_replays() {
    let gateway = gateway();
    let mut id = gateway.letter(1, "json_invalid", StageName::Inflight, b"{");
    let mut ids = vec![];
    for round in 1..=20 {
        assert_eq!(gateway.replay(&id).await.json()["status"], "replayed");
        // The stage refuses it again, and keeps the headers.
        let mut headers = gateway.shelf.lock().replayed.last().unwrap().headers.clone();
        headers.extend([
            header("kpay-dlq-code", "field_missing"),
            header("kpay-dlq-topic", "t.payment.incoming"),
        ]);
        ids.push(std::mem::take(&mut id));
        id = gateway.stored(Stored { at_ms: round, key: vec![], value: b"{".to_vec(), headers });
        let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
        assert_eq!((&shown["replays"], &shown["code"]), (&json!(round), &json!("field_missing")));
        let history = shown["history"].as_array().unwrap();
        let letters: Vec<&str> = history.iter().map(|failure| failure["letter"].as_str().unwrap()).collect();
        assert_eq!(letters, ids[ids.len().saturating_sub(16)..], "bounded, and the newest");
        assert_eq!(history.last().unwrap()["replayed"]["reason"], "mended");
        assert_eq!(shown["headers"].as_array().unwrap().len(), 1, "the sender's own");
        if round == 1 {
            assert_eq!(history[0]["code"], "json_invalid");
        }
    }
    // Without a key it goes where it was.
    assert_eq!(gateway.shelf.lock().replayed[0].partition, kpay_kafka::partition::partition_of(b"k-1", 8));
}

#[tokio::test]
async fn whatever_happens_to_a_replay_its_repetition_has_one_effect() {
    let gateway = gateway();
    let id = gateway.letter(1, "enum_unknown", StageName::Account, &debit());
    gateway.shelf.lock().fence_next = true;
    gateway.replay(&id).await.assert_problem(503, "letters_unavailable", None);
    assert_eq!(gateway.count(), 0, "another one is the replayer now");
    gateway.shelf.lock().reads_fail = true;
    gateway.replay(&id).await.assert_problem(503, "letters_unavailable", None);
    gateway.shelf.lock().reads_fail = false;
    gateway.shelf.lock().answer_lost = true;
    gateway.replay(&id).await.assert_problem(503, "letters_unavailable", None);
    assert_eq!(gateway.replay(&id).await.json()["status"], "already_replayed");
    assert_eq!(gateway.count(), 1);
}

#[tokio::test]
async fn two_gateways_that_replay_at_one_time_move_the_money_once() {
    let gateway = gateway();
    let other = gateway_with(Arc::clone(&gateway.shelf), None);
    let ids: Vec<String> =
        (1..=30).map(|at_ms| gateway.letter(at_ms, "enum_unknown", StageName::Account, &debit())).collect();
    let all = r#"{"by": "otto", "reason": "all"}"#;
    let (many, more) =
        (gateway.post("/v1/dead-letters/replay", all), other.post("/v1/dead-letters/replay", all));
    let single = async {
        for id in &ids {
            other.replay(id).await;
        }
    };
    tokio::join!(many, more, single);
    for id in &ids {
        let status = gateway.replay(id).await.status;
        assert_eq!(status, StatusCode::OK);
    }
    let shelf = gateway.shelf.lock();
    let replayed = shelf.replayed.iter().flat_map(|record| &record.headers);
    let of: Vec<&Vec<u8>> = replayed.filter(|(n, _)| n == "kpay-dlq-replay-of").map(|(_, id)| id).collect();
    assert_eq!((of.len(), of.iter().collect::<BTreeSet<_>>().len()), (30, 30));
}

#[tokio::test]
async fn a_step_inside_the_pipeline_waits_while_nothing_may_move() {
    let gateway = gateway();
    let step = gateway.letter(1, "enum_unknown", StageName::Account, &debit());
    let intake = gateway.letter(2, "json_invalid", StageName::Inflight, b"{");
    for phase in [Some(Phase::Paused), Some(Phase::Failed), None] {
        gateway.phase.send_replace(phase.map(learned));
        gateway.replay(&step).await.assert_problem(409, "pipeline_paused", Some("id"));
        let many = gateway
            .post("/v1/dead-letters/replay", r#"{"filter": {"stage": "account"}, "by": "a", "reason": "b"}"#);
        assert_eq!(many.await.json()["skipped"], json!([{"id": step, "code": "pipeline_paused"}]));
    }
    assert_eq!(gateway.replay(&intake).await.json()["status"], "replayed", "the stage holds it back itself");
    gateway.phase.send_replace(Some(learned(Phase::Draining)));
    assert_eq!(gateway.replay(&step).await.json()["status"], "replayed", "a drain needs it");
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_a_reason() {
    let gateway = gateway();
    let large = gateway.letter(1, "record_too_large", StageName::Inflight, &vec![0; 1_000_000]);
    gateway.replay(&large).await.assert_problem(409, "letter_too_large", Some("id"));
    let headers = vec![header("kpay-dlq-code", "c"), header("kpay-dlq-topic", "other.payment.inflight")];
    let foreign = gateway.stored(Stored { at_ms: 2, key: vec![], value: debit(), headers });
    gateway.replay(&foreign).await.assert_problem(409, "letter_source_unknown", Some("id"));
    gateway.replay("0-999").await.assert_problem(404, "letter_unknown", Some("id"));
    assert_eq!(gateway.count(), 0);
    let long = json!({"by": "x".repeat(129), "reason": "b"}).to_string();
    for (body, code, field) in [
        ("{", "json_invalid", "body"),
        (r#"{"by": 1}"#, "field_type", "body"),
        (r#"{"reason": "b"}"#, "field_missing", "by"),
        (r#"{"by": "a", "reason": " "}"#, "field_missing", "reason"),
        (&long, "text_too_long", "by"),
        (r#"{"by": "a", "reason": "b", "max": 0}"#, "parameter_invalid", "max"),
        (r#"{"by": "a", "reason": "b", "after": "x"}"#, "parameter_invalid", "after"),
        (r#"{"by": "a", "reason": "b", "filter": {"before": "soon"}}"#, "parameter_invalid", "filter.before"),
    ] {
        gateway.post("/v1/dead-letters/replay", body.to_owned()).await.assert_problem(400, code, Some(field));
    }
    for (query, field) in
        [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("after=-1", "after")]
    {
        let got = gateway.get(&format!("/v1/dead-letters?{query}")).await;
        got.assert_problem(400, "parameter_invalid", Some(field));
    }
}

#[tokio::test]
async fn many_are_replayed_by_filter_in_parts_and_a_repetition_does_nothing() {
    let gateway = gateway();
    for at_ms in 1..=40 {
        let code = if at_ms % 2 == 0 { "json_invalid" } else { "id_invalid" };
        gateway.letter(at_ms, code, StageName::Inflight, b"{");
    }
    let order = |after: Option<&str>| {
        json!({
            "filter": {"code": "json_invalid", "topic": "payment.incoming", "before": "1970-01-01T00:00:00.031Z"},
            "max": 4, "by": "maria", "reason": "mended", "after": after,
        })
        .to_string()
    };
    let mut replayed = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let got = gateway.post("/v1/dead-letters/replay", order(after.as_deref())).await.json();
        let ids = got["replayed"].as_array().unwrap();
        assert!(ids.len() <= 4 && got["skipped"] == json!([]), "{got}");
        replayed.extend(ids.clone());
        match got["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!((replayed.len(), gateway.count()), (15, 15));
    let got = gateway.post("/v1/dead-letters/replay", order(None)).await.json();
    assert_eq!(got, json!({"replayed": [], "skipped": []}));
    assert_eq!(gateway.count(), 15);
}

#[tokio::test]
async fn a_dry_run_names_what_would_be_replayed_and_replays_nothing() {
    let gateway = gateway();
    let good = gateway.letter(1, "json_invalid", StageName::Inflight, b"{");
    let large = gateway.letter(2, "json_invalid", StageName::Inflight, &vec![0; 1_000_000]);
    let order = |dry_run: bool| json!({"dryRun": dry_run, "by": "maria", "reason": "mended"}).to_string();
    let skipped = json!([{"id": large, "code": "letter_too_large"}]);
    for _ in 0..2 {
        let got = gateway.post("/v1/dead-letters/replay", order(true)).await.json();
        assert_eq!((&got["replayed"], &got["skipped"]), (&json!([good]), &skipped));
        assert_eq!(gateway.count(), 0);
    }
    let got = gateway.post("/v1/dead-letters/replay", order(false)).await.json();
    assert_eq!((&got["replayed"], gateway.count()), (&json!([good]), 1));
    let got = gateway.post("/v1/dead-letters/replay", order(true)).await.json();
    assert_eq!((&got["replayed"], &got["skipped"]), (&json!([]), &skipped));
}
