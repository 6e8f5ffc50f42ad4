//! The held payments of all account pods.

use kpay_domain::{
    AccountId, Attributes, Currency, HeldPayment, Hold, Money, Payment, PaymentId, Policy, RuleName,
};
use kpay_streams::control::{PartitionReport, PartitionState, Report};
use kpay_streams::table::Table;
use tokio::net::TcpListener;

use super::*;
use crate::gateway::owners::Directory;
use crate::gateway::peers::HttpPeers;
use crate::pod::control::{PodControl, Reports};
use crate::pod::http;
use crate::pod::pages::{HoldsQuery, Place};
use crate::pod::queries::Queries;
use crate::stage::account::Holds;

#[allow(clippy::unnecessary_wraps)] // the form of what a peer answers
fn holds_part(holds: &[(&str, &str)], more: bool) -> Result<Answer, AskError> {
    let holds: Vec<Value> = holds
        .iter()
        .map(|(at, id)| json!({"id": id, "heldAt": format!("1970-01-01T00:00:0{at}Z")}))
        .collect();
    Ok(found(&json!({"partitions": 3, "holds": holds, "more": more})))
}

fn holds(partition: i32, after: Option<&str>, limit: usize) -> Listing {
    let after = after.map(|after| Place::parse(after).unwrap());
    Listing::Holds(HoldsQuery { partition, after, limit })
}

fn held(got: &Got) -> Vec<String> {
    let holds = got.json()["holds"].as_array().cloned().unwrap();
    holds.iter().map(|hold| hold["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn holds_of_all_partitions_come_by_their_time_and_every_page_asks_all_of_them() {
    let gateway = gateway();
    gateway.twin.lock().parts = [
        holds_part(&[("1.000", "p-4"), ("3.000", "p-1")], true),
        holds_part(&[], false),
        holds_part(&[("1.000", "p-3"), ("2.500", "p-2")], false),
    ]
    .into();
    let got = gateway.get("/v1/holds?limit=3").await;
    assert_eq!((got.status, held(&got)), (StatusCode::OK, ["p-3", "p-4", "p-2"].map(str::to_owned).to_vec()));
    assert_eq!(got.json()["next"], "2500.p-2");
    gateway.twin.lock().parts =
        [holds_part(&[("3.000", "p-1")], false), holds_part(&[], false), holds_part(&[], false)].into();
    let got = gateway.get("/v1/holds?limit=3&after=2500.p-2").await;
    assert_eq!((held(&got), got.json().get("next")), (vec!["p-1".to_owned()], None));
    let first = (0..3).map(|partition| holds(partition, None, 3));
    let second = (0..3).map(|partition| holds(partition, Some("2500.p-2"), 3));
    assert_eq!(gateway.twin.lock().listed, first.chain(second).collect::<Vec<_>>());
}

#[tokio::test]
async fn holds_of_which_a_part_is_not_known_are_not_told_at_all() {
    let gateway = gateway();
    for missing in [Err(AskError::Restoring), Ok(Answer::Unknown), holds_part(&[("x", "p-2")], false)] {
        gateway.twin.lock().parts =
            [holds_part(&[("1.000", "p-1")], false), holds_part(&[], false), missing].into();
        gateway.get("/v1/holds").await.assert_problem(503, "owner_unavailable", None);
    }
    gateway.get("/v1/holds").await.assert_problem(503, "owner_unavailable", None);
}

fn hold(id: &str, held_at_ms: i64) -> (PaymentId, HeldPayment) {
    let payment = Payment {
        id: PaymentId::new(id).unwrap(),
        from: AccountId::new("alice").unwrap(),
        to: AccountId::new("bob").unwrap(),
        amount: Money::new(600, Currency::new("USD").unwrap()),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    };
    let rule = RuleName::new("big").unwrap();
    let hold = Hold { rule, held_at_ms, expires_at_ms: held_at_ms + 1_000, decided: None };
    (payment.id.clone(), HeldPayment { payment, accepted_at_ms: 0, hold })
}

/// A real pod that owns one of two partitions, and what it tells of itself.
async fn pod(partition: i32, held: &[(&str, i64)]) -> (String, Arc<Report>) {
    let holds = Arc::<Holds>::default();
    let mut table = Table::new(Arc::clone(&holds));
    table.take_over(partition, held.iter().map(|(id, at_ms)| hold(id, *at_ms)));
    let report = Arc::<Report>::default();
    let state = PartitionState::Running;
    report.partitions.lock().insert(partition, PartitionReport { state, metadata: String::new() });
    let reports = Reports { workers: vec![Arc::clone(&report)], ..Reports::default() };
    let queries = Queries {
        stage: StageName::Account,
        input_partitions: 2,
        reports: reports.clone(),
        ids: Arc::default(),
        accounts: Arc::default(),
        holds,
        policy: watch::channel(Arc::new(Policy::new(Currency::new("USD").unwrap()))).1,
        lookup: None,
        ledger: None,
    };
    let control = PodControl::new("pod".to_owned(), Some("account"), reports, watch::channel(None).1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = http::router(Arc::new(control), queries);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, report)
}

fn over(pods: Vec<String>) -> Gateway {
    let peers = HttpPeers::new(Directory::of_accounts(pods)).unwrap();
    gateway_of(Arc::default(), None, Some(Arc::new(peers)))
}

#[tokio::test]
async fn real_pods_are_asked_for_their_own_and_a_list_is_whole_or_not_told() {
    let (first, report) = pod(0, &[("p-1", 3_000), ("p-2", 1_000)]).await;
    let (second, _) = pod(1, &[("p-3", 2_000), ("p-4", 3_000)]).await;
    let gateway = over(vec![first.clone(), second]);
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let got = gateway.get(&format!("/v1/holds?limit=1{after}")).await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text);
        all.extend(held(&got));
        match got.json()["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(all, ["p-2", "p-3", "p-1", "p-4"]);
    let whole = gateway.get("/v1/holds").await;
    let expected = json!({
        "id": "p-2", "from": "alice", "to": "bob", "amount": {"value": 600, "currency": "USD"}, "rule": "big",
        "heldAt": "1970-01-01T00:00:01.000Z", "expiresAt": "1970-01-01T00:00:02.000Z",
    });
    assert_eq!((held(&whole).len(), &whole.json()["holds"][0]), (4, &expected));
    // The second partition is asked of a pod that does not have it.
    over(vec![first.clone(), first]).get("/v1/holds").await.assert_problem(503, "owner_unavailable", None);
    let restoring = PartitionReport { state: PartitionState::Restoring, metadata: String::new() };
    report.partitions.lock().insert(0, restoring);
    gateway.get("/v1/holds").await.assert_problem(503, "owner_unavailable", None);
}
