//! The sums of reports, and the questions over real HTTP to pods that are scripted.

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;
use crate::pod::pages::{HoldsQuery, LedgerQuery, Place};

fn controls(partitions: i32, pods: &[&str]) -> Controls {
    let pods = pods.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    Controls { partitions, pods }
}

const ZERO: &str = r#"{"partitions":[{"partition":0,"state":"running","count":2,"value":{"USD":5}}],
    "figures":{"perSecond":1.0,"latencyP99Ms":2.5,"today":{"count":1,"value":{"USD":3}}}}"#;
const ONE: &str = r#"{"partitions":[{"partition":1,"state":"paused","count":3,"value":{"EUR":7}}],
    "figures":{"today":{"count":2,"value":{"USD":4}}}}"#;

#[test]
fn reports_add_up_when_every_partition_is_there_once() {
    let all = controls(2, &[ZERO, ONE]);
    let value = BTreeMap::from([("EUR".to_owned(), 7), ("USD".to_owned(), 5)]);
    assert_eq!(all.progress(), Some(Sum { count: 5, value }));
    let value = BTreeMap::from([("USD".to_owned(), 7)]);
    assert_eq!(all.today(), Some(Sum { count: 3, value }));
}

#[test]
fn a_partition_that_is_missing_doubled_or_restoring_makes_the_sum_unknown() {
    let restoring = ONE.replace("paused", "restoring");
    for pods in [&[ZERO][..], &[ZERO, ONE, ONE], &[ZERO, restoring.as_str()], &[]] {
        assert_eq!(controls(2, pods).progress(), None, "{pods:?}");
        assert_eq!(controls(2, pods).today(), None, "{pods:?}");
    }
}

#[test]
fn a_wait_is_in_the_query() {
    let mut question = Question::now(StageName::Confirmed, "p-1");
    assert_eq!(question.path(), "/internal/v1/payments/p-1");
    question.wait = Duration::from_secs(2);
    assert_eq!(question.path(), "/internal/v1/payments/p-1?waitMs=2000");
    assert_eq!(Question::now(StageName::Account, "a").path(), "/internal/v1/accounts/a");
}

/// A pod that answers every question with this status.
async fn pod(status: StatusCode) -> String {
    let answer = async move |Path(id): Path<String>| {
        (status, [(header::CONTENT_TYPE, "application/json")], format!(r#"{{"id":"{id}"}}"#)).into_response()
    };
    let router = Router::new().route("/internal/v1/payments/{id}", get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Where nothing listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Asks when the owners are these, one after the other with each refresh.
async fn ask(owners: &[&str], brief: bool) -> Result<Answer, AskError> {
    let tables = owners.iter().map(|pod| (StageName::Confirmed, (*pod).to_owned())).collect();
    let peers = HttpPeers::new(Directory::scripted(tables)).unwrap();
    peers.ask(Question { brief, ..Question::now(StageName::Confirmed, "p-1") }).await
}

#[tokio::test]
async fn an_owner_answers() {
    let found = Answer::Found(Bytes::from_static(br#"{"id":"p-1"}"#));
    assert_eq!(ask(&[&pod(StatusCode::OK).await], false).await, Ok(found));
    assert_eq!(ask(&[&pod(StatusCode::NOT_FOUND).await], false).await, Ok(Answer::Unknown));
    let restoring = pod(StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(ask(&[&restoring], false).await, Err(AskError::Restoring));
}

#[tokio::test]
async fn a_key_that_moved_is_asked_of_its_new_owner_once() {
    let (old, new) = (pod(StatusCode::MISDIRECTED_REQUEST).await, pod(StatusCode::OK).await);
    assert!(matches!(ask(&[&old, &new], false).await, Ok(Answer::Found(_))));
    assert!(matches!(ask(&[&nobody().await, &new], false).await, Ok(Answer::Found(_))));
    assert_eq!(ask(&[&old, &old, &new], false).await, Err(AskError::Moved));
    assert_eq!(ask(&[&old, &new], true).await, Err(AskError::Moved), "a brief question is asked once");
}

#[tokio::test]
async fn a_list_is_asked_of_the_owner_of_its_partition() {
    let said = async |uri: axum::http::Uri| uri.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(said)).await });
    let peers = HttpPeers::new(Directory::scripted(vec![(StageName::Account, address)])).unwrap();
    let found = |path: &'static str| Ok(Answer::Found(Bytes::from_static(path.as_bytes())));
    let accounts = |partition| Listing::Accounts { partition, after: "a:1".to_owned(), limit: 7 };
    let path = "/internal/v1/accounts?partition=0&after=a:1&limit=7";
    assert_eq!(peers.list(accounts(0)).await, found(path));
    assert_eq!(peers.list(accounts(1)).await, Ok(Answer::Unknown), "there is only one partition");
    let ledger = |from| LedgerQuery { account: "a".to_owned(), from, limit: 7, newest_first: true };
    let path = "/internal/v1/accounts/a/ledger?limit=7&newestFirst=true&from=3";
    assert_eq!(peers.list(Listing::Ledger(ledger(Some(3)))).await, found(path));
    let path = "/internal/v1/accounts/a/ledger?limit=7&newestFirst=true";
    assert_eq!(peers.list(Listing::Ledger(ledger(None))).await, found(path));
    let holds = |partition, after: Option<&str>| {
        let after = after.map(|after| Place::parse(after).unwrap());
        Listing::Holds(HoldsQuery { partition, after, limit: 7 })
    };
    let path = "/internal/v1/holds?partition=0&limit=7&after=5.p:1";
    assert_eq!(peers.list(holds(0, Some("5.p:1"))).await, found(path));
    assert_eq!(peers.list(holds(0, None)).await, found("/internal/v1/holds?partition=0&limit=7"));
    assert_eq!(peers.list(holds(1, None)).await, Ok(Answer::Unknown));
}

#[tokio::test]
async fn a_key_without_an_owner_is_nobodys() {
    assert_eq!(ask(&[], false).await, Err(AskError::NoOwner));
    assert_eq!(ask(&[&nobody().await], false).await, Err(AskError::Unreachable));
    assert_eq!(ask(&[&pod(StatusCode::BAD_GATEWAY).await], false).await, Err(AskError::Unreachable));
}
