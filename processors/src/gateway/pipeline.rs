//! `/v1/pipeline`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::App;
use super::dto::{PipelineView, Sum};
use crate::names::StageName;

/// Look at the pipeline as a whole.
///
/// The sums are asked of the pods at this moment; one that cannot be told exactly is null.
#[utoipa::path(
    get, operation_id = "get_pipeline", path = "/v1/pipeline", tag = "pipeline",
    responses((status = 200, body = PipelineView, description = "The pipeline")),
)]
pub(super) async fn get(State(app): State<Arc<App>>) -> Json<PipelineView> {
    let learned = *app.phase.borrow();
    // What is finished is read first: what is accepted can only have grown since, so the difference is never below 0.
    let confirmed = app.peers.controls(StageName::Confirmed).await.ok();
    let inflight = app.peers.controls(StageName::Inflight).await.ok();
    let accepted = inflight.and_then(|controls| controls.progress());
    let finished = confirmed.as_ref().and_then(super::peers::Controls::progress);
    Json(PipelineView {
        phase: learned.map(|learned| learned.phase.to_string()),
        desired_phase: learned.map(|learned| format!("{:?}", learned.desired)),
        epoch: learned.map(|learned| learned.epoch),
        in_flight: accepted
            .zip(finished)
            .and_then(|(accepted, finished): (Sum, Sum)| accepted.minus(&finished)),
        confirmed_today: confirmed.and_then(|controls| controls.today()),
    })
}
