//! Writes the status, and the Event of a change of phase. Only I/O.

use std::time::{Duration, Instant};

use kpay_control::differ::merge_patch;
use kpay_control::phase::Transition;
use kpay_control::status;
use kpay_crds::{PaymentPipeline, PaymentPipelineStatus, Phase};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Error;

/// Between two writes of figures alone.
pub(crate) const FIGURES_EVERY: Duration = Duration::from_secs(5);

/// Writes the difference, if there is one that cannot wait, under the version that was read: an operator that
/// is no longer the leader cannot overwrite a newer phase.
pub async fn write_status(
    resource: &PaymentPipeline,
    old: &PaymentPipelineStatus,
    new: PaymentPipelineStatus,
    transition: Option<Transition>,
    context: &Context,
) -> Result<(), Error> {
    let waits = status::steady(old) == status::steady(&new)
        && context.recall(resource).status_written.is_some_and(|at| at.elapsed() < FIGURES_EVERY);
    let before = if resource.status.is_some() { serde_json::to_value(old)? } else { json!({}) };
    let Some(change) = merge_patch(&before, &serde_json::to_value(&new)?) else {
        return Ok(());
    };
    if waits {
        return Ok(());
    }
    let version: Value = resource.metadata.resource_version.clone().into();
    let patch = json!({"metadata": {"resourceVersion": version}, "status": change});
    context
        .api(resource)
        .patch_status(&resource.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::api("patch status of", "PaymentPipeline"))?;
    context.remember(resource, |memory| memory.status_written = Some(Instant::now()));
    if let Some(transition) = transition {
        announce(resource, old.phase, transition, new.epoch, context).await;
    }
    Ok(())
}

async fn announce(
    resource: &PaymentPipeline,
    from: Option<Phase>,
    transition: Transition,
    epoch: i64,
    context: &Context,
) {
    let from = from.map_or("nothing", Phase::as_str);
    let note = format!("{from} → {}, epoch {epoch}", transition.to);
    tracing::info!(pipeline = resource.name_any(), note, reason = transition.reason.as_str(), "phase");
    let event = Event {
        type_: if transition.to == Phase::Failed { EventType::Warning } else { EventType::Normal },
        reason: transition.reason.as_str().to_owned(),
        note: Some(note),
        action: transition.to.as_str().to_owned(),
        secondary: None,
    };
    // The phase is written; an Event that is lost changes nothing.
    if let Err(error) = context.recorder.publish(&event, &resource.object_ref(&())).await {
        tracing::warn!(%error, "no Event");
    }
}
