//! Writes the status, and the Event of a change of phase. Only I/O.

use std::time::{Duration, Instant};

use kpay_control::differ::merge_patch;
use kpay_control::pause::describe;
use kpay_control::phase::Transition;
use kpay_control::status::{self, DEGRADED};
use kpay_crds::{
    AccountsBootstrapStatus, BootstrapReason, Holder, PaymentPipeline, PaymentPipelineStatus, Phase,
    StageScaling, StepState, UpgradeState, UpgradeStatus,
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
/// is no longer the leader cannot overwrite a newer phase. Whether there is none.
pub async fn write_status(
    resource: &PaymentPipeline,
    old: &PaymentPipelineStatus,
    new: PaymentPipelineStatus,
    transition: Option<Transition>,
    context: &Context,
) -> Result<bool, Error> {
    let waits = status::steady(old) == status::steady(&new)
        && context.recall(resource).status_written.is_some_and(|at| at.elapsed() < FIGURES_EVERY);
    let before = if resource.status.is_some() { serde_json::to_value(old)? } else { json!({}) };
    let Some(change) = merge_patch(&before, &serde_json::to_value(&new)?) else {
        return Ok(true);
    };
    if waits {
        return Ok(false);
    }
    let version: Value = resource.metadata.resource_version.clone().into();
    let patch = json!({"metadata": {"resourceVersion": version}, "status": change});
    context
        .api(resource)
        .patch_status(&resource.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::api("patch status of", "PaymentPipeline"))?;
    context.remember(resource, |memory| memory.status_written = Some(Instant::now()));
    announce_degraded(resource, old, &new, context).await;
    announce_holders(resource, &old.holders, &new.holders, context).await;
    announce_scaling(resource, old, &new, context).await;
    announce_upgrade(resource, old.upgrade.as_ref(), new.upgrade.as_ref(), context).await;
    announce_accounts(resource, old.accounts_bootstrap.as_ref(), new.accounts_bootstrap.as_ref(), context)
        .await;
    if let Some(transition) = transition {
        announce_phase(resource, old.phase, transition, new.epoch, context).await;
    }
    Ok(false)
}

/// An Event when something is wrong, or something else than before.
async fn announce_degraded(
    resource: &PaymentPipeline,
    old: &PaymentPipelineStatus,
    new: &PaymentPipelineStatus,
    context: &Context,
) {
    let wrong = |status: &PaymentPipelineStatus| {
        let told = status.conditions.iter().find(|told| told.type_ == DEGRADED && told.status == "True");
        told.map(|told| (told.reason.clone(), told.message.clone()))
    };
    let before = wrong(old).map(|(reason, _)| reason);
    let Some((reason, note)) = wrong(new).filter(|(reason, _)| Some(reason) != before.as_ref()) else {
        return;
    };
    tracing::warn!(pipeline = resource.name_any(), reason, note, "degraded");
    announce(resource, EventType::Warning, "Reconcile", &reason, note, context).await;
}

/// An Event for each who holds a pause from now on, or not any more.
async fn announce_holders(resource: &PaymentPipeline, old: &[Holder], new: &[Holder], context: &Context) {
    let beyond = |these: &[Holder], those: &[Holder]| -> Vec<Holder> {
        these.iter().filter(|this| those.iter().all(|that| that.holder != this.holder)).cloned().collect()
    };
    let held = beyond(new, old).into_iter().map(|one| ("PauseHeld", one));
    for (reason, one) in held.chain(beyond(old, new).into_iter().map(|one| ("PauseLetGo", one))) {
        let note = describe(&one.holder, one.reason.as_deref(), one.until.as_ref());
        tracing::info!(pipeline = resource.name_any(), note, reason, "pause");
        announce(resource, EventType::Normal, "Pause", reason, note, context).await;
    }
}

/// An Event for each stage whose replicas were decided anew.
async fn announce_scaling(
    resource: &PaymentPipeline,
    old: &PaymentPipelineStatus,
    new: &PaymentPipelineStatus,
    context: &Context,
) {
    for (stage, StageScaling { replicas, reason, message, .. }) in &new.autoscaling {
        let Some(before) = old.autoscaling.get(stage).map(|before| before.replicas) else { continue };
        if before != *replicas {
            let note = format!("{stage} {before} → {replicas}: {message}");
            tracing::info!(pipeline = resource.name_any(), note, reason, "replicas");
            announce(resource, EventType::Normal, "Scale", reason, note, context).await;
        }
    }
}

/// An Event for each change of how an upgrade stands, and for each step that has ended.
async fn announce_upgrade(
    resource: &PaymentPipeline,
    old: Option<&UpgradeStatus>,
    new: Option<&UpgradeStatus>,
    context: &Context,
) {
    use EventType::{Normal, Warning};
    let Some(new) = new else { return };
    let same = old.filter(|old| old.since == new.since);
    let mut told = Vec::new();
    for (number, step) in new.steps.iter().enumerate() {
        let before = same.and_then(|old| old.steps.get(number)).map(|step| step.state);
        if step.state.is_final() && before != Some(step.state) {
            let kind = if step.state == StepState::Failed { Warning } else { Normal };
            told.push((
                kind,
                "UpgradeStep",
                format!("{} {:?}: {}", step.workload, step.state, step.evidence),
            ));
        }
    }
    if same.map(|old| old.state) != Some(new.state) {
        let failed = new.failed.clone().unwrap_or_default();
        told.push(match new.state {
            UpgradeState::Rolling => (Normal, "UpgradeStarted", new.changes.join("; ")),
            UpgradeState::Succeeded => (Normal, "UpgradeSucceeded", format!("{} steps", new.steps.len())),
            UpgradeState::RollingBack => (Warning, "UpgradeFailed", failed),
            UpgradeState::RolledBack => (Warning, "UpgradeRolledBack", failed),
        });
    }
    for (kind, reason, note) in told {
        tracing::info!(pipeline = resource.name_any(), reason, note, "upgrade");
        announce(resource, kind, "Upgrade", reason, note, context).await;
    }
}

/// An Event when the import of accounts begins, ends, or waits for something that a person has to do.
async fn announce_accounts(
    resource: &PaymentPipeline,
    old: Option<&AccountsBootstrapStatus>,
    new: Option<&AccountsBootstrapStatus>,
    context: &Context,
) {
    let Some(new) = new else { return };
    if old.is_some_and(|old| old.reason == new.reason && old.digest == new.digest) {
        return;
    }
    let kind = match new.reason {
        BootstrapReason::Importing | BootstrapReason::Imported => EventType::Normal,
        BootstrapReason::ConfigMapMissing
        | BootstrapReason::KeyMissing
        | BootstrapReason::ConfigMapUnreadable
        | BootstrapReason::LinesRefused
        | BootstrapReason::ImportFailed => EventType::Warning,
        // These pass by themselves.
        BootstrapReason::NotRunning | BootstrapReason::GatewayUnavailable | BootstrapReason::ImportEnding => {
            return;
        }
    };
    let (reason, note) = (new.reason.as_str(), new.message.clone());
    tracing::info!(pipeline = resource.name_any(), reason, note, "accounts");
    announce(resource, kind, "BootstrapAccounts", reason, note, context).await;
}

async fn announce_phase(
    resource: &PaymentPipeline,
    from: Option<Phase>,
    transition: Transition,
    epoch: i64,
    context: &Context,
) {
    let from = from.map_or("nothing", Phase::as_str);
    let note = format!("{from} → {}, epoch {epoch}", transition.to);
    let reason = transition.reason.as_str();
    tracing::info!(pipeline = resource.name_any(), note, reason, "phase");
    let kind = if transition.to == Phase::Failed { EventType::Warning } else { EventType::Normal };
    announce(resource, kind, transition.to.as_str(), reason, note, context).await;
}

/// Writes an Event. The status is written; an Event that is lost changes nothing.
async fn announce(
    resource: &PaymentPipeline,
    kind: EventType,
    action: &str,
    reason: &str,
    note: String,
    context: &Context,
) {
    let event = Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(note.chars().take(NOTE_CHARS_MAX).collect()),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &resource.object_ref(&())).await {
        tracing::warn!(%error, "no Event");
    }
}
