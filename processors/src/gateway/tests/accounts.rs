//! `/v1/accounts`.

use super::*;

const ALICE: &str = r#"{"id":"alice","currency":"USD","funding":100000}"#;

#[tokio::test]
async fn an_opening_is_accepted_and_the_account_is_opening_until_it_is_there() {
    let gateway = gateway();
    let got = gateway.post("/v1/accounts", ALICE).await;
    assert_eq!((got.status, got.header("location")), (StatusCode::ACCEPTED, Some("/v1/accounts/alice")));
    let opening = json!({"id": "alice", "status": "opening", "commandId": "open:alice"});
    assert_eq!(got.json(), opening);
    assert_eq!(gateway.appended(), ["open:alice"]);
    let read = gateway.get("/v1/accounts/alice").await;
    assert_eq!((read.status, read.json()), (StatusCode::ACCEPTED, opening));
    let account =
        json!({"id": "alice", "currency": "USD", "balance": 100_000, "status": "open", "version": 1});
    gateway.answers(StageName::Account, "alice", Ok(found(&account)));
    let read = gateway.get("/v1/accounts/alice").await;
    assert_eq!((read.status, read.json()), (StatusCode::OK, account));
}

#[tokio::test]
async fn an_opening_by_an_id_of_the_callers_or_by_another_gateway_is_opening_too() {
    let first = gateway();
    first.post("/v1/accounts", r#"{"id":"bob","commandId":"c-1"}"#).await;
    assert_eq!(first.get("/v1/accounts/bob").await.json()["commandId"], "c-1");
    first.post("/v1/accounts", ALICE).await;
    let answer = known(&first.twin.lock().appended[1].1);
    let second = gateway();
    second.answers(StageName::Inflight, "open:alice", Ok(answer));
    assert_eq!(second.get("/v1/accounts/alice").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn an_account_that_could_not_be_opened_is_unknown() {
    let gateway = gateway();
    gateway.post("/v1/accounts", ALICE).await;
    let outcome = |status| found(&json!({"id": "open:alice", "account": "alice", "status": status}));
    gateway.answers(StageName::Confirmed, "open:alice", Ok(outcome("rejected")));
    gateway.get("/v1/accounts/alice").await.assert_problem(404, "unknown_account", Some("id"));
    gateway.answers(StageName::Confirmed, "open:alice", Ok(outcome("confirmed")));
    assert_eq!(gateway.get("/v1/accounts/alice").await.status, StatusCode::ACCEPTED, "opened a moment ago");
}

#[tokio::test]
async fn an_unknown_account_is_404_only_when_everyone_said_so() {
    let gateway = gateway();
    gateway.get("/v1/accounts/nobody").await.assert_problem(404, "unknown_account", Some("id"));
    for stage in StageName::ALL {
        for error in [AskError::NoOwner, AskError::Restoring] {
            let key = if stage == StageName::Account { "nobody" } else { "open:nobody" };
            gateway.answers(stage, key, Err(error));
            gateway.get("/v1/accounts/nobody").await.assert_problem(503, "owner_unavailable", None);
            gateway.answers(stage, key, Ok(Answer::Unknown));
        }
    }
}

#[tokio::test]
async fn an_opening_is_idempotent_and_checked() {
    let gateway = gateway();
    let first = gateway.post("/v1/accounts", ALICE).await;
    assert_eq!(gateway.post("/v1/accounts", ALICE).await.text, first.text);
    let conflict = gateway.post("/v1/accounts", ALICE.replace("100000", "1")).await;
    conflict.assert_problem(409, "idempotency_conflict", Some("id"));
    assert!(conflict.text.contains("this account was to be opened before"), "{}", conflict.text);
    let negative = gateway.post("/v1/accounts", r#"{"id":"eve","funding":-1}"#).await;
    negative.assert_problem(422, "amount_not_positive", Some("funding"));
    let unlisted = gateway.post("/v1/accounts", r#"{"id":"eve","currency":"ZZZ"}"#).await;
    unlisted.assert_problem(422, "currency_unknown", Some("currency"));
    let fraction = gateway.post("/v1/accounts", r#"{"id":"eve","funding":0.5}"#).await;
    fraction.assert_problem(400, "amount_not_integer", Some("funding"));
    assert_eq!(gateway.appended(), ["open:alice"]);
}

#[tokio::test]
async fn a_funding_is_a_command_of_its_own() {
    let gateway = gateway();
    let body = r#"{"id":"f-1","amount":{"value":5000,"currency":"USD"}}"#;
    let got = gateway.post("/v1/accounts/alice/fund", body).await;
    assert_eq!((got.status, got.header("location")), (StatusCode::ACCEPTED, Some("/v1/payments/f-1")));
    assert_eq!((&got.json()["kind"], &got.json()["account"]), (&json!("account_funded"), &json!("alice")));
    assert_eq!(gateway.get("/v1/payments/f-1").await.json()["kind"], "account_funded");
    let unnamed = gateway.post("/v1/accounts/alice/fund", r#"{"amount":{"value":1}}"#).await;
    assert_eq!(unnamed.status, StatusCode::ACCEPTED);
    assert_eq!(gateway.appended().len(), 2);
    let to_another = gateway.post("/v1/accounts/bob/fund", body).await;
    to_another.assert_problem(409, "idempotency_conflict", Some("id"));
    let differs = gateway.post("/v1/accounts/bob/fund", r#"{"account":"eve","amount":{"value":1}}"#).await;
    differs.assert_problem(400, "account_differs", Some("account"));
    let nothing = gateway.post("/v1/accounts/bob/fund", r#"{"amount":{"value":0}}"#).await;
    nothing.assert_problem(422, "amount_not_positive", Some("amount.value"));
}

#[tokio::test(start_paused = true)]
async fn prefer_wait_answers_with_the_commands_outcome() {
    let gateway = gateway();
    gateway.twin.lock().ends_with = Some("confirmed");
    let got = gateway.post_prefer("/v1/accounts", ALICE, Some("wait=5")).await;
    assert_eq!((got.status, &got.json()["id"]), (StatusCode::OK, &json!("open:alice")));
}

#[tokio::test]
async fn a_change_of_status_needs_no_body_and_a_misspelt_field_is_refused() {
    let gateway = gateway();
    for change in ["freeze", "unfreeze", "close"] {
        let path = format!("/v1/accounts/alice/{change}");
        let bare = Request::post(path.as_str()).body(Body::empty()).unwrap();
        assert_eq!(gateway.send(bare).await.status, StatusCode::ACCEPTED, "{change}");
        assert_eq!(gateway.post(&path, "{}").await.status, StatusCode::ACCEPTED, "{change}");
        let got = gateway.post(&path, r#"{"idd":"z-1"}"#).await;
        got.assert_problem(400, "field_unknown", Some("idd"));
        let plain = Request::post(path.as_str()).body(Body::from("{}")).unwrap();
        gateway.send(plain).await.assert_problem(415, "content_type_unknown", Some("content-type"));
    }
    assert_eq!(gateway.appended().len(), 6);
    let got = gateway.post("/v1/accounts", r#"{"id":"eve","founding":5}"#).await;
    got.assert_problem(400, "field_unknown", Some("founding"));
    let got = gateway.post("/v1/accounts/alice/fund", r#"{"amount":{"value":1},"acount":"bob"}"#).await;
    got.assert_problem(400, "field_unknown", Some("acount"));
}
