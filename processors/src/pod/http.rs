//! Port 9090: health, control, metrics and interactive queries. Only I/O.

mod metrics;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::pod::control::PodControl;
use crate::pod::pages::{HoldsQuery, LedgerQuery, Place};
use crate::pod::queries::{Answer, Queries};

/// The longest that a peer may wait for an outcome.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The routes of every pod.
pub fn base(control: Arc<PodControl>) -> Router {
    Router::new()
        .route("/healthz/live", get(live))
        .route("/healthz/ready", get(ready))
        .route("/control", get(report))
        .route("/metrics", get(metrics))
        .route("/internal/v1/minutes", get(minutes))
        .with_state(control)
}

/// The routes of a pod that runs a stage.
pub fn router(control: Arc<PodControl>, queries: Queries) -> Router {
    let internal = Router::new()
        .route("/internal/v1/accounts", get(accounts))
        .route("/internal/v1/accounts/{id}", get(account))
        .route("/internal/v1/accounts/{id}/ledger", get(ledger))
        .route("/internal/v1/holds", get(holds))
        .route("/internal/v1/payments/{id}", get(payment))
        .with_state(queries);
    base(control).merge(internal)
}

/// Serves until `shutdown` turns true.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            // A dropped sender is a shutdown as well.
            drop(shutdown.wait_for(|stop| *stop).await);
        })
        .await
}

async fn live(State(control): State<Arc<PodControl>>) -> Response {
    if control.alive() {
        "ok".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "a worker shows no sign of life").into_response()
    }
}

async fn ready(State(control): State<Arc<PodControl>>) -> Response {
    if control.ready() {
        "ok".into_response()
    } else {
        let why = "no phase is known yet, a partition is being restored, or the topics are not there";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    }
}

async fn report(State(control): State<Arc<PodControl>>) -> Response {
    axum::Json(control.report()).into_response()
}

async fn metrics(State(control): State<Arc<PodControl>>) -> Response {
    let text = metrics::encode(&control);
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

#[derive(Debug, Deserialize)]
struct Since {
    since: i64,
}

async fn minutes(State(control): State<Arc<PodControl>>, Query(query): Query<Since>) -> Response {
    axum::Json(control.minutes(query.since)).into_response()
}

async fn account(State(queries): State<Queries>, Path(id): Path<String>) -> Response {
    respond(queries.account(&id))
}

#[derive(Debug, Deserialize)]
struct AccountsPage {
    partition: i32,
    #[serde(default)]
    after: String,
    limit: usize,
}

async fn accounts(State(queries): State<Queries>, Query(page): Query<AccountsPage>) -> Response {
    respond(queries.accounts(page.partition, page.after, page.limit).await)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerPage {
    from: Option<i64>,
    limit: usize,
    #[serde(default)]
    newest_first: bool,
}

async fn ledger(
    State(queries): State<Queries>,
    Path(account): Path<String>,
    Query(page): Query<LedgerPage>,
) -> Response {
    let LedgerPage { from, limit, newest_first } = page;
    respond(queries.ledger(LedgerQuery { account, from, limit, newest_first }).await)
}

#[derive(Debug, Deserialize)]
struct HoldsPage {
    partition: i32,
    after: Option<String>,
    limit: usize,
}

async fn holds(State(queries): State<Queries>, Query(page): Query<HoldsPage>) -> Response {
    let HoldsPage { partition, after, limit } = page;
    let after = match after.as_deref().map(Place::parse) {
        Some(None) => return StatusCode::BAD_REQUEST.into_response(),
        Some(after) => after,
        None => None,
    };
    respond(queries.holds(HoldsQuery { partition, after, limit }).await)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    #[serde(default)]
    wait_ms: u64,
}

async fn payment(
    State(queries): State<Queries>,
    Path(id): Path<String>,
    Query(wait): Query<Wait>,
) -> Response {
    let wait = Duration::from_millis(wait.wait_ms).min(WAIT_MAX);
    respond(queries.payment(&id, wait).await)
}

fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Found(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Answer::Unknown => StatusCode::NOT_FOUND.into_response(),
        Answer::Elsewhere => StatusCode::MISDIRECTED_REQUEST.into_response(),
        Answer::Later => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response(),
    }
}
