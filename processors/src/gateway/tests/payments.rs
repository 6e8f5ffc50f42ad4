//! `/v1/payments`.

use super::*;

const P1: &str = r#"{"id":"p-1","from":"alice","to":"bob","amount":{"value":1234,"currency":"USD"},"reference":"invoice 7"}"#;

fn other() -> String {
    P1.replace("1234", "1235")
}

fn amount(value: &str) -> String {
    P1.replace("1234", value)
}

#[tokio::test]
async fn a_payment_is_accepted_once_it_is_in_the_log_and_can_be_read_at_once() {
    let gateway = gateway();
    let got = gateway.post("/v1/payments", P1).await;
    assert_eq!((got.status, got.header("location")), (StatusCode::ACCEPTED, Some("/v1/payments/p-1")));
    let expected = json!({
        "id": "p-1", "status": "accepted", "from": "alice", "to": "bob",
        "amount": {"value": 1234, "currency": "USD"}, "reference": "invoice 7", "timeline": [],
    });
    assert_eq!(got.json(), expected);
    assert_eq!(gateway.appended(), ["p-1"]);
    let read = gateway.get("/v1/payments/p-1").await;
    assert_eq!((read.status, read.json()), (StatusCode::OK, expected));
}

#[tokio::test]
async fn a_payment_without_an_id_gets_a_uuid_v7() {
    let gateway = gateway();
    let got = gateway.post("/v1/payments", P1.replace(r#""id":"p-1","#, "")).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    let id = got.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
    assert_eq!(gateway.appended(), [id.as_str()]);
    assert_eq!(got.header("location"), Some(format!("/v1/payments/{id}").as_str()));
}

#[tokio::test]
async fn what_cannot_be_read_names_the_field_and_nothing_is_appended() {
    let gateway = gateway();
    let table = [
        ("{".to_owned(), "json_invalid", "body"),
        ("[]".to_owned(), "json_invalid", "body"),
        (String::new(), "record_empty", "body"),
        (r#"{"id":"p-1"}"#.to_owned(), "field_missing", "from"),
        (P1.replace("p-1", "p 1"), "id_invalid", "id"),
        (P1.replace("reference", "referense"), "field_unknown", "referense"),
        (P1.replace("\"value\"", "\"minor\":1,\"value\""), "field_unknown", "amount.minor"),
        (P1.replace("USD", "usd"), "currency_invalid", "amount.currency"),
        (P1.replace("USD", "DOLLAR"), "currency_invalid", "amount.currency"),
        (amount("12.5"), "amount_not_integer", "amount.value"),
        (amount("\"12\""), "amount_not_integer", "amount.value"),
        (amount("1e30"), "amount_not_integer", "amount.value"),
        (amount("9223372036854775808"), "amount_out_of_range", "amount.value"),
    ];
    for (body, code, field) in table {
        gateway.post("/v1/payments", body).await.assert_problem(400, code, Some(field));
    }
    assert_eq!(gateway.appended(), [""; 0]);
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_and_nothing_is_appended() {
    let gateway = gateway();
    let table = [
        (amount("0"), "amount_not_positive", "amount.value"),
        (amount("-5"), "amount_not_positive", "amount.value"),
        (P1.replace("bob", "alice"), "same_account", "to"),
        (P1.replace("USD", "ZZZ"), "currency_unknown", "amount.currency"),
    ];
    for (body, code, field) in table {
        gateway.post("/v1/payments", body).await.assert_problem(422, code, Some(field));
    }
    assert_eq!(gateway.appended(), [""; 0]);
    assert_eq!(gateway.post("/v1/payments", P1).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_copy_gets_the_first_answer_and_is_not_appended_again() {
    let gateway = gateway();
    let first = gateway.post("/v1/payments", P1).await;
    let copy = gateway.post("/v1/payments", P1.replace(':', ": ")).await;
    assert_eq!((copy.status, &copy.text), (first.status, &first.text));
    assert_eq!(copy.header("location"), first.header("location"));
    let replayed = |got: &Got| got.header("idempotent-replayed").map(str::to_owned);
    assert_eq!((replayed(&first), replayed(&copy)), (None, Some("true".to_owned())), "and tells that");
    assert_eq!(gateway.appended(), ["p-1"]);
    let conflict = gateway.post("/v1/payments", other()).await;
    conflict.assert_problem(409, "idempotency_conflict", Some("id"));
    assert_eq!(conflict.json()["instance"], "/v1/payments/p-1");
}

#[tokio::test]
async fn a_copy_that_waits_gets_the_outcome_that_is_there() {
    let gateway = gateway();
    gateway.post("/v1/payments", P1).await;
    gateway.answers(StageName::Confirmed, "p-1", Ok(found(&json!({"id": "p-1", "status": "rejected"}))));
    let copy = gateway.post("/v1/payments", P1).await;
    assert_eq!(
        (copy.status, &copy.json()["status"]),
        (StatusCode::ACCEPTED, &json!("accepted")),
        "as before"
    );
    let copy = gateway.post_prefer("/v1/payments", P1, Some("wait=1")).await;
    assert_eq!((copy.status, &copy.json()["status"]), (StatusCode::OK, &json!("rejected")));
    assert_eq!(gateway.appended(), ["p-1"]);
}

#[tokio::test]
async fn an_id_that_is_given_and_empty_is_refused_wherever_it_may_be_left_out() {
    let gateway = gateway();
    let paid = json!({
        "id": "p-9", "status": "confirmed", "from": "alice", "to": "bob",
        "amount": {"value": 5, "currency": "USD"}, "timeline": [],
        "hold": {"rule": "big", "expiresAt": "2026-11-30T12:00:00.000Z"},
    });
    gateway.answers(StageName::Confirmed, "p-9", Ok(found(&paid)));
    for (path, body, field) in [
        ("/v1/payments", P1.replace("p-1", ""), "id"),
        ("/v1/payments/p-9/refund", r#"{"id":""}"#.to_owned(), "id"),
        ("/v1/payments/p-9/release", r#"{"id":"","by":"carol","why":"asked"}"#.to_owned(), "id"),
        ("/v1/payments/p-9/refuse", r#"{"id":"","by":"carol","why":"asked"}"#.to_owned(), "id"),
        ("/v1/accounts", r#"{"id":"alice","commandId":""}"#.to_owned(), "commandId"),
        ("/v1/accounts/alice/fund", r#"{"id":"","amount":{"value":1}}"#.to_owned(), "id"),
        ("/v1/accounts/alice/limits", r#"{"id":"","limits":{}}"#.to_owned(), "id"),
        ("/v1/accounts/alice/freeze", r#"{"id":""}"#.to_owned(), "id"),
        ("/v1/accounts/alice/unfreeze", r#"{"id":""}"#.to_owned(), "id"),
        ("/v1/accounts/alice/close", r#"{"id":""}"#.to_owned(), "id"),
    ] {
        gateway.post(path, body).await.assert_problem(400, "id_invalid", Some(field));
    }
    assert_eq!(gateway.appended(), [""; 0]);
}

#[tokio::test]
async fn a_copy_by_way_of_another_gateway_is_known_to_the_inflight_stage() {
    let first = gateway();
    first.post("/v1/payments", P1).await;
    let answer = known(&first.twin.lock().appended[0].1);
    let second = gateway();
    second.answers(StageName::Inflight, "p-1", Ok(answer));
    assert_eq!(second.post("/v1/payments", P1).await.status, StatusCode::ACCEPTED);
    second.post("/v1/payments", other()).await.assert_problem(409, "idempotency_conflict", Some("id"));
    assert_eq!(second.appended(), [""; 0]);
}

#[tokio::test]
async fn a_payment_is_accepted_while_nobody_can_say_whether_it_is_known() {
    let gateway = gateway();
    gateway.answers(StageName::Inflight, "p-1", Err(AskError::NoOwner));
    assert_eq!(gateway.post("/v1/payments", P1).await.status, StatusCode::ACCEPTED);
    assert_eq!(gateway.appended(), ["p-1"]);
}

#[tokio::test]
async fn a_log_that_takes_nothing_is_503_and_the_same_request_passes_later() {
    let gateway = gateway();
    gateway.twin.lock().append_fails = true;
    let got = gateway.post("/v1/payments", P1).await;
    got.assert_problem(503, "kafka_unavailable", None);
    assert_eq!(got.json()["instance"], "/v1/payments/p-1");
    gateway.get("/v1/payments/p-1").await.assert_problem(404, "payment_unknown", Some("id"));
    gateway.twin.lock().append_fails = false;
    assert_eq!(gateway.post("/v1/payments", P1).await.status, StatusCode::ACCEPTED);
    assert_eq!(gateway.appended(), ["p-1"]);
}

#[tokio::test]
async fn while_the_pipeline_is_paused_a_payment_is_buffered_with_a_note() {
    let gateway = gateway();
    gateway.phase.send_replace(Some(learned(Phase::Paused)));
    // Nobody is made to wait for what cannot come.
    let got = gateway.post_prefer("/v1/payments", P1, Some("wait=30")).await;
    assert_eq!((got.status, got.header("preference-applied")), (StatusCode::ACCEPTED, None));
    assert_eq!(got.json()["note"], "the pipeline is Paused; the payment is buffered");
    gateway.phase.send_replace(None);
    let got = gateway.get("/v1/payments/p-1").await.json();
    assert_eq!(got["note"], "the pipeline's phase is not known yet; the payment is buffered");
    gateway.phase.send_replace(Some(learned(Phase::Resuming)));
    assert_eq!(gateway.get("/v1/payments/p-1").await.json()["note"], Value::Null);
}

#[tokio::test]
async fn where_nothing_is_buffered_a_new_payment_is_refused_and_a_known_one_is_not() {
    let gateway = gateway();
    assert_eq!(gateway.post("/v1/payments", P1).await.status, StatusCode::ACCEPTED);
    let rejects = |phase| Some(Learned { rejects_while_closed: true, ..learned(phase) });
    gateway.phase.send_replace(rejects(Phase::Draining));
    let other = P1.replace("p-1", "p-2");
    let got = gateway.post("/v1/payments", other.clone()).await;
    got.assert_problem(503, "intake_closed", None);
    assert!(got.header("retry-after").is_some());
    assert_eq!(
        gateway.post("/v1/payments", P1).await.status,
        StatusCode::ACCEPTED,
        "a copy of an accepted one"
    );
    gateway.phase.send_replace(rejects(Phase::Running));
    assert_eq!(gateway.post("/v1/payments", other.clone()).await.status, StatusCode::ACCEPTED);
    assert_eq!(gateway.appended(), ["p-1", "p-2"]);
}

#[tokio::test(start_paused = true)]
async fn prefer_wait_answers_with_the_outcome() {
    let gateway = gateway();
    gateway.twin.lock().ends_with = Some("confirmed");
    let got = gateway.post_prefer("/v1/payments", P1, Some("wait=5")).await;
    assert_eq!((got.status, got.header("preference-applied")), (StatusCode::OK, Some("wait=5")));
    assert_eq!(got.json()["status"], "confirmed");
}

#[tokio::test(start_paused = true)]
async fn prefer_wait_is_202_when_the_time_is_over() {
    let gateway = gateway();
    let begin = tokio::time::Instant::now();
    let got = gateway.post_prefer("/v1/payments", P1, Some("wait=4")).await;
    assert_eq!((got.status, got.header("preference-applied")), (StatusCode::ACCEPTED, Some("wait=4")));
    assert!((SECOND * 4..SECOND * 5).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    // And no longer where the owner cannot be asked at all.
    gateway.answers(StageName::Confirmed, "p-1", Err(AskError::Restoring));
    let begin = tokio::time::Instant::now();
    let got = gateway.post_prefer("/v1/payments", P1, Some("wait=2")).await;
    assert_eq!(got.status, StatusCode::ACCEPTED);
    assert!((SECOND * 2..SECOND * 3).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_outcome_is_passed_on_as_the_owner_gave_it() {
    let gateway = gateway();
    let outcome = r#"{"id":"p-1",  "status":"rejected","reason":"insufficient_funds","later":1}"#;
    gateway.answers(StageName::Confirmed, "p-1", Ok(Answer::Found(Bytes::from_static(outcome.as_bytes()))));
    let got = gateway.get("/v1/payments/p-1").await;
    assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, format!("{outcome}\n").as_str()));
    assert_eq!(got.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn what_the_inflight_stage_knows_is_in_flight() {
    let gateway = gateway();
    gateway.twin.lock().inflight_reads = true;
    gateway.post("/v1/payments", P1).await;
    let got = gateway.get("/v1/payments/p-1").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!((&got.json()["status"], &got.json()["reference"]), (&json!("in_flight"), &json!("invoice 7")));
}

#[tokio::test]
async fn an_unknown_payment_is_404_only_when_everyone_said_so() {
    let gateway = gateway();
    gateway.get("/v1/payments/p-1").await.assert_problem(404, "payment_unknown", Some("id"));
    gateway.get("/v1/payments/p%201").await.assert_problem(400, "id_invalid", Some("id"));
    for stage in [StageName::Inflight, StageName::Confirmed] {
        for error in [AskError::NoOwner, AskError::Moved, AskError::Restoring, AskError::Unreachable] {
            gateway.answers(stage, "p-2", Err(error));
            gateway.get("/v1/payments/p-2").await.assert_problem(503, "owner_unavailable", None);
        }
        gateway.answers(stage, "p-2", Ok(Answer::Unknown));
    }
    gateway.post("/v1/payments", P1).await;
    gateway.answers(StageName::Inflight, "p-1", Err(AskError::Unreachable));
    assert_eq!(gateway.get("/v1/payments/p-1").await.json()["status"], "accepted");
}
