//! `/v1/pipeline`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kpay_crds::DesiredPhase;

use super::App;
use super::answer::Json;
use super::dto::{NewPause, PipelineEvent, PipelineView, Sum};
use super::extract::OptionalJson;
use super::fields;
use super::peers::Controls;
use super::problem::{Failure, Problem, Rejected};
use super::wish::{Wish, WishError};
use crate::names::StageName;
use crate::pod::pause::Pause;

/// The longest name of who pauses, in bytes.
const HOLDER_BYTES_MAX: usize = 64;
/// The longest reason, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// Look at the pipeline as a whole.
///
/// The sums are asked of the pods at this moment; one that cannot be told exactly is null. While it is wanted to pause,
/// `pausedBy`, `reason` and `since` tell who wants that, why and since when, as far as the resource, or the file that stands
/// for it, has it.
#[utoipa::path(
    get, operation_id = "get_pipeline", path = "/v1/pipeline", tag = "pipeline",
    responses((status = 200, body = PipelineView, description = "The pipeline")),
)]
pub(super) async fn get(State(app): State<Arc<App>>) -> Json<PipelineView> {
    Json(look(&app).await.0)
}

/// The same, with what the confirmed stage measures.
pub(super) async fn figures(app: &App) -> PipelineEvent {
    let (pipeline, confirmed) = look(app).await;
    let rates = confirmed.and_then(|controls| controls.rates());
    PipelineEvent {
        pipeline,
        per_second: rates.map(|rates| rates.per_second),
        latency_p99_ms: rates.map(|rates| rates.latency_p99_ms),
    }
}

/// The pipeline, and the reports of the confirmed stage that it is made of.
async fn look(app: &App) -> (PipelineView, Option<Controls>) {
    let learned = *app.phase.borrow();
    // What is finished is read first: what is accepted can only have grown since, so the difference is never below 0.
    let confirmed = app.peers.controls(StageName::Confirmed).await.ok();
    let inflight = app.peers.controls(StageName::Inflight).await.ok();
    let accepted = inflight.and_then(|controls| controls.progress());
    let finished = confirmed.as_ref().and_then(Controls::progress);
    let pause = app.pause.borrow().clone();
    let pause = pause.filter(|_| learned.is_some_and(|learned| learned.desired != DesiredPhase::Running));
    let view = PipelineView {
        phase: learned.map(|learned| learned.phase.to_string()),
        desired_phase: learned.map(|learned| format!("{:?}", learned.desired)),
        epoch: learned.map(|learned| learned.epoch),
        in_flight: accepted
            .zip(finished)
            .and_then(|(accepted, finished): (Sum, Sum)| accepted.minus(&finished)),
        confirmed_today: confirmed.as_ref().and_then(Controls::today),
        paused_by: None,
        reason: None,
        since: None,
    };
    (view.paused(pause.as_deref()), confirmed)
}

impl PipelineView {
    /// The same, with who wants it not to run, and why and since when.
    fn paused(self, pause: Option<&Pause>) -> Self {
        Self {
            paused_by: pause.and_then(|pause| pause.by.clone()),
            reason: pause.and_then(|pause| pause.reason.clone()),
            since: pause.and_then(|pause| pause.since).map(rfc3339),
            ..self
        }
    }
}

/// Pause the pipeline: stop the intake and finish what is in flight.
///
/// 202 means that the wish is kept, over restarts; `phase` is `Paused` once nothing is in flight. Payments that come
/// meanwhile are buffered. In a cluster this patches `spec.desiredPhase` of the resource and notes who and why in its
/// annotations; in `kpay local` a later edit of the file wins.
#[utoipa::path(
    post, operation_id = "pause_pipeline", path = "/v1/pipeline/pause", tag = "pipeline",
    request_body = Option<NewPause>,
    responses(WishAnswers),
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    let NewPause { reason, holder } = read(&body)?;
    wish(&app, Wish { desired: DesiredPhase::Paused, holder, reason }).await
}

fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn read(body: &[u8]) -> Result<NewPause, Failure> {
    let mut fields = fields::object(body, &["reason", "holder"])?;
    Ok(NewPause {
        reason: fields::text(&mut fields, "reason", REASON_BYTES_MAX)?,
        holder: fields::text(&mut fields, "holder", HOLDER_BYTES_MAX)?,
    })
}

/// Resume the pipeline.
///
/// 202 means that the wish is kept, over restarts; `phase` tells when it has come true.
#[utoipa::path(
    post,
    operation_id = "resume_pipeline",
    path = "/v1/pipeline/resume",
    tag = "pipeline",
    responses(WishAnswers)
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    fields::object(&body, &[])?;
    wish(&app, Wish { desired: DesiredPhase::Running, holder: None, reason: None }).await
}

async fn wish(app: &App, wish: Wish) -> Result<Response, Rejected> {
    let desired = wish.desired;
    let pause = app.wishes.wish(wish).await.map_err(|error| match error {
        WishError::Fixed => Problem::phase_fixed(),
        WishError::Kubernetes(_) | WishError::File(_) => {
            tracing::warn!(%error, "a wish was not kept");
            Problem::wish_unavailable()
        }
    })?;
    // What was wished is kept by now, though perhaps not yet learned.
    let view = PipelineView { desired_phase: Some(format!("{desired:?}")), ..look(app).await.0 };
    let view = view.paused(pause.as_ref());
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

/// What a wish is answered with.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // described, never made
enum WishAnswers {
    /// The wish is kept; this is the pipeline at this moment
    #[response(status = 202)]
    Kept(PipelineView),
}
