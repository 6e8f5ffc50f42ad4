//! Health and metrics over HTTP. Only I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use kpay_crds::PaymentPipeline;
use kube::runtime::reflector::Store;
use parking_lot::Mutex;

use crate::metrics::Metrics;

/// What the endpoints show.
#[derive(Clone, Default)]
pub struct Probes {
    /// The operator's counters.
    pub metrics: Metrics,
    ready: Arc<AtomicBool>,
    pipelines: Arc<Mutex<Vec<Store<PaymentPipeline>>>>,
}

impl Probes {
    /// It reaches the API server: as the leader or waiting to be.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// How many pipelines there are.
    pub fn count(&self) -> u32 {
        let count = self.pipelines.lock().iter().map(Store::len).sum::<usize>();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Those that are looked after, as they were last seen.
    pub fn pipelines(&self) -> Vec<Arc<PaymentPipeline>> {
        self.pipelines.lock().iter().flat_map(Store::state).collect()
    }

    /// More pipelines to look after.
    pub fn watch(&self, store: Store<PaymentPipeline>) {
        self.pipelines.lock().push(store);
    }
}

/// The routes.
pub fn router(probes: Probes) -> Router {
    Router::new()
        .route("/healthz/live", get(|| async { "live" }))
        .route("/healthz/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn ready(State(probes): State<Probes>) -> impl IntoResponse {
    if probes.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the API server has not answered yet")
    }
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    let stores = probes.pipelines.lock().clone();
    if !stores.is_empty() {
        let phase = |pipeline: Arc<PaymentPipeline>| pipeline.status.as_ref().and_then(|status| status.phase);
        probes.metrics.phases(stores.iter().flat_map(Store::state).filter_map(phase));
    }
    match probes.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
