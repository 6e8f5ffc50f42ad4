//! `/v1/pipeline`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use kpay_control::duration::parse_ms;
use kpay_control::pause::is_holder;
use kpay_crds::{DesiredPhase, HOLDER_BYTES_MAX, Holder, Pause, REASON_MAX};
use serde_json::Value;

use super::App;
use super::answer::Json;
use super::dto::{HolderView, NewPause, NewResume, PipelineEvent, PipelineView, Sum};
use super::extract::OptionalJson;
use super::fields;
use super::peers::Controls;
use super::problem::{Failure, Problem, Rejected};
use super::wish::{Granted, Wish, WishError};
use crate::names::StageName;
use crate::pod::pause::Pauses;

/// The longest duration that can be one, in bytes.
const EXPIRES_IN_BYTES_MAX: usize = 16;

/// Look at the pipeline as a whole.
///
/// The sums are asked of the pods at this moment; one that cannot be told exactly is null. `holders` are those who hold it
/// paused. While its desired phase is not Running, `pausedBy`, `reason` and `since` tell who wants that, why and since when,
/// as far as the resource, or the file that stands for it, has it.
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
    let pauses = app.pause.borrow().at(Timestamp::now());
    let view = PipelineView {
        phase: learned.map(|learned| learned.phase.to_string()),
        desired_phase: None,
        epoch: learned.map(|learned| learned.epoch),
        in_flight: accepted
            .zip(finished)
            .and_then(|(accepted, finished): (Sum, Sum)| accepted.minus(&finished)),
        confirmed_today: confirmed.as_ref().and_then(Controls::today),
        paused_by: None,
        reason: None,
        since: None,
        holders: Vec::new(),
    };
    (view.wanted(learned.map(|learned| learned.desired), &pauses), confirmed)
}

impl PipelineView {
    /// The same, with what is wanted and who wants it not to run, and why and since when.
    fn wanted(self, desired: Option<DesiredPhase>, pauses: &Pauses) -> Self {
        let pause = pauses.by_phase.as_ref().filter(|_| desired.is_some_and(|d| d != DesiredPhase::Running));
        let holder = |one: &Holder| HolderView {
            holder: one.holder.clone(),
            reason: one.reason.clone(),
            since: one.since.as_ref().map(|time| rfc3339(time.0)),
            until: one.until.as_ref().map(|time| rfc3339(time.0)),
        };
        Self {
            desired_phase: desired.map(|desired| format!("{:?}", pauses.desired(desired))),
            paused_by: pause.and_then(|pause| pause.by.clone()),
            reason: pause.and_then(|pause| pause.reason.clone()),
            since: pause.and_then(|pause| pause.since).map(rfc3339),
            holders: pauses.holders.iter().map(holder).collect(),
            ..self
        }
    }
}

/// Pause the pipeline: stop the intake and finish what is in flight.
///
/// 202 means that the wish is kept, over restarts; `phase` is `Paused` once nothing is in flight. Payments that come
/// meanwhile are buffered. Several can hold it, each as a `holder`; the last one to let go, or whose time is over, lets it
/// run. Who holds it already changes the reason and the end. In a cluster this is the holder's entry of `spec.pauses` of
/// the resource. Without a holder it sets `spec.desiredPhase`; in `kpay local` a later edit of the file wins over that.
#[utoipa::path(
    post, operation_id = "pause_pipeline", path = "/v1/pipeline/pause", tag = "pipeline",
    request_body = Option<NewPause>,
    responses(WishAnswers),
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    wish(&app, read(&body, Timestamp::now())?).await
}

fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn read(body: &[u8], now: Timestamp) -> Result<Wish, Failure> {
    let mut fields = fields::object(body, &["reason", "holder", "expiresIn"])?;
    let reason = fields::text(&mut fields, "reason", REASON_MAX)?;
    let until = fields::text(&mut fields, "expiresIn", EXPIRES_IN_BYTES_MAX)?
        .map(|text| end(&text, now).ok_or_else(|| Problem::duration_invalid("expiresIn", &text)))
        .transpose()?;
    match (holder(&mut fields)?, until) {
        (Some(holder), until) => Ok(Wish::Hold(Pause { holder, reason, until: until.map(Into::into) })),
        (None, Some(_)) => Err(Problem::holder_missing()),
        (None, None) => Ok(Wish::Phase(DesiredPhase::Paused, reason)),
    }
}

fn holder(fields: &mut BTreeMap<String, Value>) -> Result<Option<String>, Failure> {
    let holder = fields::text(fields, "holder", HOLDER_BYTES_MAX)?;
    match holder {
        Some(name) if !is_holder(&name) => Err(Problem::holder_invalid()),
        holder => Ok(holder),
    }
}

/// The time after so long, in whole seconds as the resource has it, and not too early.
fn end(duration: &str, now: Timestamp) -> Option<Timestamp> {
    let ms = now.as_millisecond().checked_add(parse_ms(duration)?)?;
    Timestamp::from_second(ms.checked_add(999)?.div_euclid(1_000)).ok()
}

/// Resume the pipeline.
///
/// 202 means that the wish is kept, over restarts; `phase` tells when it has come true. With a `holder` only that pause is
/// let go, without one only the desired phase is Running again: `holders` tells who still holds it paused.
#[utoipa::path(
    post,
    operation_id = "resume_pipeline",
    path = "/v1/pipeline/resume",
    tag = "pipeline",
    request_body = Option<NewResume>,
    responses(WishAnswers)
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    let holder = holder(&mut fields::object(&body, &["holder"])?)?;
    wish(&app, holder.map_or(Wish::Phase(DesiredPhase::Running, None), Wish::LetGo)).await
}

async fn wish(app: &App, wish: Wish) -> Result<Response, Rejected> {
    let Granted { desired, pauses } = app.wishes.wish(wish).await.map_err(|error| match error {
        WishError::Fixed => Problem::phase_fixed(),
        WishError::Full => Problem::holders_too_many(),
        WishError::Gone | WishError::Unreadable(_) | WishError::Kubernetes(_) | WishError::File(_) => {
            tracing::warn!(%error, "a wish was not kept");
            Problem::wish_unavailable()
        }
    })?;
    // What was wished is kept by now, though perhaps not yet learned.
    let view = look(app).await.0.wanted(Some(desired), &pauses.at(Timestamp::now()));
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
