//! The lists.

use super::*;
use crate::pod::pages::LedgerQuery;

fn part(ids: &[&str], more: bool) -> Answer {
    let accounts: Vec<Value> = ids.iter().map(|id| json!({"id": id, "later": 1})).collect();
    found(&json!({"partitions": 3, "accounts": accounts, "more": more}))
}

fn accounts(partition: i32, after: &str, limit: usize) -> Listing {
    Listing::Accounts { partition, after: after.to_owned(), limit }
}

fn ids(got: &Got) -> Vec<String> {
    let accounts = got.json()["accounts"].as_array().cloned().unwrap();
    accounts.iter().map(|account| account["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn accounts_come_partition_by_partition_and_the_cursor_goes_on_where_the_page_ended() {
    let gateway = gateway();
    gateway.twin.lock().parts = [Ok(part(&["b"], false)), Ok(part(&["a", "c"], true))].into();
    let got = gateway.get("/v1/accounts?limit=3").await;
    assert_eq!(
        (got.status, ids(&got), &got.json()["next"]),
        (StatusCode::OK, vec!["b".into(), "a".into(), "c".into()], &json!("1.c"))
    );
    assert_eq!(got.json()["accounts"][0]["later"], 1, "as the owner gave it");
    gateway.twin.lock().parts = [Ok(part(&["x"], false)), Ok(part(&[], false))].into();
    let got = gateway.get("/v1/accounts?limit=3&after=1.c").await;
    assert_eq!((ids(&got), got.json().get("next")), (vec!["x".to_owned()], None));
    let asked = [accounts(0, "", 3), accounts(1, "", 2), accounts(1, "c", 3), accounts(2, "", 2)];
    assert_eq!(gateway.twin.lock().listed, asked);
    // A page that is full where a partition ends.
    gateway.twin.lock().parts = [Ok(part(&["b"], false))].into();
    let got = gateway.get("/v1/accounts?limit=1").await;
    assert_eq!((ids(&got).len(), &got.json()["next"]), (1, &json!("1.")));
}

#[tokio::test]
async fn a_ledger_goes_on_in_the_direction_in_which_it_began() {
    let gateway = gateway();
    let part = |next: Option<i64>| Ok(found(&json!({"entries": [{"id": "p-1"}], "next": next})));
    gateway.twin.lock().parts = [part(Some(17)), part(None), part(Some(9))].into();
    let got = gateway.get("/v1/accounts/alice/ledger").await;
    assert_eq!(got.json(), json!({"entries": [{"id": "p-1"}], "next": "a17"}));
    let got = gateway.get("/v1/accounts/alice/ledger?after=a17&order=asc").await;
    assert_eq!(got.json(), json!({"entries": [{"id": "p-1"}]}));
    let got = gateway.get("/v1/accounts/alice/ledger?order=desc&limit=5").await;
    assert_eq!(got.json()["next"], "d9");
    let asked = |from, limit, newest_first| {
        Listing::Ledger(LedgerQuery { account: "alice".to_owned(), from, limit, newest_first })
    };
    let expected = [asked(None, 100, false), asked(Some(17), 100, false), asked(None, 5, true)];
    assert_eq!(gateway.twin.lock().listed, expected);
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named_and_nobody_is_asked() {
    let gateway = gateway();
    let table = [
        ("/v1/accounts?limit=0", "parameter_invalid", "limit"),
        ("/v1/accounts?limit=1001", "parameter_invalid", "limit"),
        ("/v1/accounts?limit=ten", "parameter_invalid", "limit"),
        ("/v1/accounts?limit=1&limit=2", "parameter_invalid", "query"),
        ("/v1/accounts?limt=5", "parameter_unknown", "limt"),
        ("/v1/accounts?after=alice", "parameter_invalid", "after"),
        ("/v1/accounts?after=-1.alice", "parameter_invalid", "after"),
        ("/v1/accounts?after=0.al%20ice", "parameter_invalid", "after"),
        ("/v1/accounts/alice/ledger?after=17", "parameter_invalid", "after"),
        ("/v1/accounts/alice/ledger?after=a17&order=desc", "parameter_invalid", "after"),
        ("/v1/accounts/alice/ledger?after=a-1", "parameter_invalid", "after"),
        ("/v1/accounts/alice/ledger?order=newest", "parameter_invalid", "order"),
        ("/v1/holds?limit=0", "parameter_invalid", "limit"),
        ("/v1/holds?after=p-1", "parameter_invalid", "after"),
        ("/v1/holds?rule=big", "parameter_unknown", "rule"),
    ];
    for (path, code, field) in table {
        gateway.get(path).await.assert_problem(400, code, Some(field));
    }
    assert_eq!(gateway.twin.lock().listed, []);
    gateway.twin.lock().parts = [Ok(Answer::Unknown), Ok(Answer::Unknown)].into();
    let beyond = gateway.get("/v1/accounts?after=99.alice").await;
    beyond.assert_problem(400, "parameter_invalid", Some("after"));
    gateway.get("/v1/accounts/nobody/ledger").await.assert_problem(404, "unknown_account", Some("id"));
    gateway.get("/v1/accounts").await.assert_problem(503, "owner_unavailable", None);
    gateway.get("/v1/accounts/alice/ledger").await.assert_problem(503, "owner_unavailable", None);
}
