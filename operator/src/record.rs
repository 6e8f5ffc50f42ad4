//! Writes the status, and the Event of a change of phase. Only I/O.

use std::time::{Duration, Instant};

use kpay_control::differ::merge_patch;
use kpay_control::phase::Transition;
use kpay_control::status;
use kpay_crds::{
    PaymentPipeline, PaymentPipelineStatus, Phase, StageScaling, StepState, UpgradeState, UpgradeStatus,
};
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Error;

/// Between two writes of figures alone.
pub(crate) const FIGURES_EVERY: Duration = Duration::from_secs(5);
/// The API server takes no longer note.
const NOTE_CHARS_MAX: usize = 1_000;

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
    announce_scaling(resource, old, &new, context).await;
    announce_upgrade(resource, old.upgrade.as_ref(), new.upgrade.as_ref(), context).await;
    if let Some(transition) = transition {
        announce(resource, old.phase, transition, new.epoch, context).await;
    }
    Ok(())
}

/// An Event for each stage whose replicas were decided anew.
async fn announce_scaling(
    resource: &PaymentPipeline,
    old: &PaymentPipelineStatus,
    new: &PaymentPipelineStatus,
    context: &Context,
) {
    for (stage, scaling) in &new.autoscaling {
        let Some(before) = old.autoscaling.get(stage).map(|before| before.replicas) else { continue };
        if before == scaling.replicas {
            continue;
        }
        let StageScaling { replicas, reason, message, .. } = scaling;
        let note = format!("{stage} {before} → {replicas}: {message}");
        tracing::info!(pipeline = resource.name_any(), note, reason, "replicas");
        let event = Event {
            type_: EventType::Normal,
            reason: reason.clone(),
            note: Some(note),
            action: "Scale".to_owned(),
            secondary: None,
        };
        publish(resource, event, context).await;
    }
}

/// An Event for each change of how an upgrade stands, and for each step that has ended.
async fn announce_upgrade(
    resource: &PaymentPipeline,
    old: Option<&UpgradeStatus>,
    new: Option<&UpgradeStatus>,
    context: &Context,
) {
    let Some(new) = new else { return };
    let same = old.filter(|old| old.since == new.since);
    let mut told = Vec::new();
    for (number, step) in new.steps.iter().enumerate() {
        let before = same.and_then(|old| old.steps.get(number)).map(|step| step.state);
        let ended = matches!(step.state, StepState::Passed | StepState::Inconclusive | StepState::Failed);
        if ended && before != Some(step.state) {
            let note = format!("{} {:?}: {}", step.workload, step.state, step.evidence);
            told.push(("UpgradeStep", step.state == StepState::Failed, note));
        }
    }
    if same.map(|old| old.state) != Some(new.state) {
        let failed = new.failed.clone().unwrap_or_default();
        told.push(match new.state {
            UpgradeState::Rolling => ("UpgradeStarted", false, new.changes.join("; ")),
            UpgradeState::Succeeded => ("UpgradeSucceeded", false, format!("{} steps", new.steps.len())),
            UpgradeState::RollingBack => ("UpgradeFailed", true, failed),
            UpgradeState::RolledBack => ("UpgradeRolledBack", true, failed),
        });
    }
    for (reason, warns, note) in told {
        tracing::info!(pipeline = resource.name_any(), reason, note, "upgrade");
        let event = Event {
            type_: if warns { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE_CHARS_MAX).collect()),
            action: "Upgrade".to_owned(),
            secondary: None,
        };
        publish(resource, event, context).await;
    }
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
    publish(resource, event, context).await;
}

/// The status is written; an Event that is lost changes nothing.
async fn publish(resource: &PaymentPipeline, event: Event, context: &Context) {
    if let Err(error) = context.recorder.publish(&event, &resource.object_ref(&())).await {
        tracing::warn!(%error, "no Event");
    }
}
