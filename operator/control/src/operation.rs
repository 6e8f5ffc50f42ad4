//! Whose turn an operation is, what it asks of the gateway, and its status after each step. Pure; the time is an
//! argument.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff::Timestamp;
use kpay_crds::{OperationPhase, PipelineOperation, PipelineOperationStatus, ReplayReport, WipeStatus};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::wipe;

/// Letters that one request to the gateway replays at most; progress is written between two.
const REPLAYS_MAX: usize = 500;
/// What the gateway takes as a name, in bytes.
const BY_BYTES_MAX: usize = 128;

/// What a look at an operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing can be done now.
    Waits(String),
    /// It begins; written before anything is done.
    Begins,
    /// It is done.
    Done(String),
    /// The gateway has replayed some letters.
    Replayed(ReplayReport),
    /// A wipe is to be carried out, or goes on.
    Wipes(Box<WipeStatus>),
    /// What a wipe would do.
    WouldWipe(Box<WipeStatus>),
    /// It can never be done.
    Fails(String),
}

/// The operation of the same pipeline that goes first, if there is one: the one under way, else the oldest.
pub fn goes_first<'a>(operation: &PipelineOperation, all: &'a [PipelineOperation]) -> Option<&'a str> {
    let open = all.iter().filter(|other| {
        other.spec.pipeline == operation.spec.pipeline
            && other.name_any() != operation.name_any()
            && !phase(other).is_some_and(OperationPhase::is_final)
    });
    let first = open.min_by_key(|other| order(other))?;
    (order(first) < order(operation)).then_some(first.metadata.name.as_deref()).flatten()
}

fn phase(operation: &PipelineOperation) -> Option<OperationPhase> {
    operation.status.as_ref()?.phase
}

fn order(operation: &PipelineOperation) -> (bool, Option<Timestamp>, String) {
    let waits = phase(operation) != Some(OperationPhase::Running);
    (waits, operation.creation_timestamp().map(|Time(at)| at), operation.name_any())
}

/// The body of the next `POST /v1/dead-letters/replay`.
pub fn replay_order(operation: &PipelineOperation) -> Value {
    let spec = &operation.spec;
    let status = operation.status.clone().unwrap_or_default();
    let filter = spec.replay_dead_letters.clone().unwrap_or_default();
    let before = filter.before.or(status.started_at).map(|MicroTime(at)| at.to_string());
    let by = spec.by.clone().unwrap_or_else(|| operation.name_any());
    json!({
        "filter": {"code": filter.code, "stage": filter.stage, "topic": filter.topic, "before": before},
        "max": REPLAYS_MAX,
        "after": status.replayed.and_then(|report| report.after),
        "dryRun": spec.dry_run,
        "by": by.get(..by.floor_char_boundary(BY_BYTES_MAX)),
        "reason": spec.reason,
    })
}

/// What an answer of the gateway to a [`replay_order`] means: its status code and body.
pub fn replay_answer(code: u16, body: &Value) -> Step {
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    let detail = || text("detail").unwrap_or_else(|| "without a reason".to_owned());
    match code {
        200 => {
            let count = |field: &str| {
                let ids = body.get(field).and_then(Value::as_array);
                ids.and_then(|ids| i64::try_from(ids.len()).ok()).unwrap_or_default()
            };
            let after = text("next");
            Step::Replayed(ReplayReport { replayed: count("replayed"), skipped: count("skipped"), after })
        }
        503 => Step::Waits(format!("the gateway cannot do it now: {}", detail())),
        code => Step::Fails(format!("the gateway refuses it with {code}: {}", detail())),
    }
}

/// The status after a step.
pub fn after(operation: &PipelineOperation, step: Step, now: Timestamp) -> PipelineOperationStatus {
    let mut status = operation.status.clone().unwrap_or_default();
    match step {
        Step::Waits(why) => {
            status.phase.get_or_insert(OperationPhase::Pending);
            status.message = why;
        }
        Step::Begins => {
            status.phase = Some(OperationPhase::Running);
            status.started_at = Some(MicroTime(now));
            "has begun".clone_into(&mut status.message);
        }
        Step::Replayed(batch) => {
            let so_far = status.replayed.take().unwrap_or_default();
            let report = ReplayReport {
                replayed: so_far.replayed.saturating_add(batch.replayed),
                skipped: so_far.skipped.saturating_add(batch.skipped),
                after: batch.after,
            };
            status.message = told(operation.spec.dry_run, &report);
            if report.after.is_none() {
                status.phase = Some(OperationPhase::Succeeded);
                status.finished_at = Some(Time(now));
            }
            status.replayed = Some(report);
        }
        Step::Done(what) => {
            status.phase = Some(OperationPhase::Succeeded);
            status.finished_at = Some(Time(now));
            status.message = what;
        }
        Step::Wipes(wipe) => {
            status.message = wiping(&wipe);
            if wipe.steps.iter().all(|step| step.until.is_some()) {
                status.phase = Some(OperationPhase::Succeeded);
                status.finished_at = Some(Time(now));
            }
            status.wipe = Some(*wipe);
        }
        Step::WouldWipe(wipe) => {
            status.phase = Some(OperationPhase::Succeeded);
            status.finished_at = Some(Time(now));
            status.message = wipe::told(&wipe);
            status.wipe = Some(*wipe);
        }
        Step::Fails(why) => {
            status.phase = Some(OperationPhase::Failed);
            status.finished_at = Some(Time(now));
            status.message = why;
        }
    }
    status
}

/// How far a wipe is, for people.
fn wiping(wipe: &WipeStatus) -> String {
    let count = wipe.steps.len();
    match wipe.steps.iter().position(|step| step.until.is_none()).map(|at| (at, wipe.steps.get(at))) {
        Some((at, Some(step))) => {
            let number = at.saturating_add(1);
            format!("{number} of {count}, {}: {}", step.step.as_str(), step.evidence)
        }
        _ => wipe.recorded.as_ref().map_or_else(String::new, |accounts| {
            format!("every balance is as before: {}", wipe::counts(accounts))
        }),
    }
}

fn told(dry_run: bool, report: &ReplayReport) -> String {
    let verb = if dry_run { "would be replayed" } else { "replayed" };
    let more = if report.after.is_some() { " so far" } else { "" };
    match report.skipped {
        0 => format!("{} dead letters {verb}{more}", report.replayed),
        skipped => format!("{} dead letters {verb}{more}, {skipped} cannot be", report.replayed),
    }
}

#[cfg(test)]
mod tests;
