//! `/v1/metrics`: throughput by the minute, and the sums.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;
use kpay_streams::clock::now_ms;

use super::App;
use super::answer::Json;
use super::dto::{Amount, LargestView, LatencyView, ThroughputView, TotalsView, WindowView};
use super::params::Params;
use super::problem::{Problem, Rejected};
use crate::names::StageName;
use crate::stage::windows::{MINUTE_MS, MINUTES_MAX, Minute};

const WINDOWS_DEFAULT: usize = 15;

/// Look at the throughput, minute by minute.
///
/// Confirmed payments of all pods, the oldest minute first; the last window is the running minute. The pods keep an hour
/// in memory: one that was started anew begins with nothing.
#[utoipa::path(
    get, operation_id = "get_throughput", path = "/v1/metrics/throughput", tag = "metrics",
    params(("windows" = Option<u32>, Query, minimum = 1, maximum = 60, example = 15,
        description = "How many minutes, with the running one; 15 when it is left out")),
    responses(
        (status = 200, body = ThroughputView, description = "The minutes"),
    ),
)]
pub(super) async fn throughput(
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<ThroughputView>, Rejected> {
    let params = params.only(&["windows"])?;
    let windows = i64::try_from(params.count("windows", WINDOWS_DEFAULT, MINUTES_MAX)?).unwrap_or(1);
    let now_ms = now_ms();
    let newest = now_ms.div_euclid(MINUTE_MS);
    let oldest = newest + 1 - windows;
    let told = app.peers.minutes(oldest).await.map_err(|_| Problem::owner_unavailable())?;
    let window = |minute| {
        let mut sum = Minute { minute, ..Minute::default() };
        // A pod's clock may be a little ahead of this one.
        told.iter().filter(|told| told.minute.min(newest) == minute).for_each(|told| sum.merge(told));
        let seconds = if minute == newest { now_ms.rem_euclid(MINUTE_MS) / 1000 } else { 60 };
        view(&sum, seconds.max(1))
    };
    Ok(Json(ThroughputView { windows: (oldest..=newest).map(window).collect() }))
}

fn view(minute: &Minute, seconds: i64) -> WindowView {
    let from = Timestamp::from_millisecond(minute.minute * MINUTE_MS).unwrap_or_default();
    let latencies = minute.latencies_at([0.5, 0.99, 0.999]);
    WindowView {
        from: from.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        seconds,
        count: minute.count,
        value: minute.value.clone(),
        latency_ms: latencies.map(|[p50, p99, p999]| LatencyView { p50, p99, p999 }),
        largest: minute.largest.as_ref().map(|largest| LargestView {
            id: largest.id.clone(),
            amount: Amount { value: largest.value, currency: Some(largest.currency.clone()) },
        }),
    }
}

/// Look at the sums.
///
/// Asked of the pods at this moment; one that cannot be told exactly is null.
#[utoipa::path(
    get, operation_id = "get_totals", path = "/v1/metrics/totals", tag = "metrics",
    responses((status = 200, body = TotalsView, description = "The sums")),
)]
pub(super) async fn totals(State(app): State<Arc<App>>) -> Json<TotalsView> {
    // What is finished is read first: what is accepted can only have grown since, so the difference is never below 0.
    let confirmed = app.peers.controls(StageName::Confirmed).await.ok();
    let inflight = app.peers.controls(StageName::Inflight).await.ok();
    let accepted = inflight.and_then(|controls| controls.progress());
    let finished = confirmed.as_ref().and_then(super::peers::Controls::progress);
    let sums = accepted.clone().zip(finished.as_ref());
    Json(TotalsView {
        in_flight: sums.and_then(|(accepted, finished)| accepted.minus(finished)),
        confirmed_today: confirmed.and_then(|controls| controls.today()),
        accepted,
        finished,
    })
}
