//! One reconcile of one operation: a look, one step, one write. Only I/O; what follows from what is decided in
//! `kpay-control`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kpay_control::differ::merge_patch;
use kpay_control::names::{Component, GATEWAY_PORT, WIPE_FINALIZER, selector};
use kpay_control::operation::{Step, after, goes_first, replay_answer, replay_order};
use kpay_control::wipe::{gone, is_safe};
use kpay_crds::{
    DeletionPolicy, OperationPhase, OperationType, PaymentPipeline, Phase, PipelineOperation,
    PipelineOperationStatus,
};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Error;
use crate::finalizer::is_kept_by;
use crate::reconcile::SOON;
use crate::{restart, wipe};

/// Until the next look at what an operation waits for.
pub const WAIT: Duration = Duration::from_secs(2);
/// Until the next look at a wipe: no payment is taken in meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// Longer than the gateway takes for a request at most: its turn, and what it replays.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(45);

/// One reconcile.
pub async fn reconcile(operation: Arc<PipelineOperation>, context: Arc<Context>) -> Result<Action, Error> {
    context.metrics.reconcile();
    let old = operation.status.clone().unwrap_or_default();
    let left = match operation.spec.kind {
        OperationType::Restart => Box::pin(restart::leave(&operation, &context)).await?,
        OperationType::WipeAndUpdate | OperationType::ReplayDeadLetters => {
            Box::pin(wipe::leave(&operation, &context)).await?
        }
    };
    if let Some(action) = left {
        return Ok(action);
    }
    let step = Box::pin(step(&operation, &context)).await?;
    let pause = match &step {
        Step::Waits(_) => WAIT,
        Step::Wipes(wipe) if !wipe::went_on(&old, wipe) => LOOK,
        _ => SOON,
    };
    write(&operation, &old, &after(&operation, step, Timestamp::now()), &context).await?;
    context.remember(&*operation, |memory| memory.failures = 0);
    Ok(Action::requeue(pause))
}

async fn step(operation: &PipelineOperation, context: &Context) -> Result<Step, Error> {
    let namespace = operation.namespace().unwrap_or_default();
    let name = &operation.spec.pipeline;
    let pipelines = Api::<PaymentPipeline>::namespaced(context.client.clone(), &namespace);
    let pipeline = pipelines.get_opt(name).await.map_err(Error::api("get", "PaymentPipeline"))?;
    let status = operation.status.clone().unwrap_or_default();
    let begun = status.phase == Some(OperationPhase::Running);
    let none = format!("there is no PaymentPipeline {name} in this namespace");
    let pipeline = match pipeline {
        Some(found) if found.metadata.deletion_timestamp.is_none() => found,
        // Kept until every account is in its topics again.
        Some(found) if keeps_topics(&found) && is_kept_by(&found, WIPE_FINALIZER) && !is_safe(&status) => {
            found
        }
        _ if !begun => return Ok(Step::Waits(none)),
        Some(found) if !keeps_topics(&found) => {
            return Ok(Step::Fails("the pipeline goes with its topics".to_owned()));
        }
        _ => return Ok(gone(&status, none, &Time(Timestamp::now()))),
    };
    let operations = Api::<PipelineOperation>::namespaced(context.client.clone(), &namespace);
    let all =
        operations.list(&ListParams::default()).await.map_err(Error::api("list", "PipelineOperation"))?;
    if let Some(first) = goes_first(operation, &all.items) {
        return Ok(Step::Waits(format!("waits for {first}: one operation of a pipeline at a time")));
    }
    match operation.spec.kind {
        OperationType::WipeAndUpdate => Box::pin(wipe::step(operation, &pipeline, context)).await,
        OperationType::ReplayDeadLetters => match not_yet(&pipeline, begun) {
            Some(step) => Ok(step),
            None => replay(operation, &namespace, context).await,
        },
        OperationType::Restart => restart::step(operation, &pipeline, begun, context).await,
    }
}

fn keeps_topics(pipeline: &PaymentPipeline) -> bool {
    pipeline.spec.topics.deletion_policy == DeletionPolicy::Retain
}

/// What comes before an operation that goes on only while its pipeline is Running.
pub fn not_yet(pipeline: &PaymentPipeline, begun: bool) -> Option<Step> {
    match pipeline.status.as_ref().and_then(|status| status.phase) {
        Some(Phase::Running) if begun => None,
        Some(Phase::Running) => Some(Step::Begins),
        phase => {
            let phase = phase.map_or("not looked at yet", Phase::as_str);
            Some(Step::Waits(format!("waits until the pipeline is Running; it is {phase}")))
        }
    }
}

/// The next letters, by a gateway that is ready. One that does not answer may have replayed: asked again, it replays no
/// letter twice.
async fn replay(operation: &PipelineOperation, namespace: &str, context: &Context) -> Result<Step, Error> {
    let labels: Vec<String> = selector(&operation.spec.pipeline, Component::Gateway)
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect();
    let gateways = ListParams::default().labels(&labels.join(","));
    let pods = Api::<Pod>::namespaced(context.client.clone(), namespace);
    let pods = pods.list(&gateways).await.map_err(Error::api("list", "Pod"))?.items;
    let Some(gateway) = pods.iter().find(|pod| is_ready(pod)) else {
        return Ok(Step::Waits("waits for a gateway pod that is ready".to_owned()));
    };
    let order = replay_order(operation);
    let asked = context.pods.post(gateway, GATEWAY_PORT, "/v1/dead-letters/replay", &order, REPLAY_TIMEOUT);
    Ok(match asked.await {
        Ok((code, body)) => replay_answer(code, &body),
        Err(_) => Step::Waits(format!("waits for an answer of {}", gateway.name_any())),
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Writes what has changed, under the version that was read, and tells of an end.
async fn write(
    operation: &PipelineOperation,
    old: &PipelineOperationStatus,
    new: &PipelineOperationStatus,
    context: &Context,
) -> Result<(), Error> {
    let before = if operation.status.is_some() { serde_json::to_value(old)? } else { json!({}) };
    let Some(change) = merge_patch(&before, &serde_json::to_value(new)?) else { return Ok(()) };
    let version: Value = operation.metadata.resource_version.clone().into();
    let patch = json!({"metadata": {"resourceVersion": version}, "status": change});
    let namespace = operation.namespace().unwrap_or_default();
    Api::<PipelineOperation>::namespaced(context.client.clone(), &namespace)
        .patch_status(&operation.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::api("patch status of", "PipelineOperation"))?;
    if old.phase == new.phase {
        return Ok(());
    }
    let kind = operation.spec.kind.as_str();
    tracing::info!(operation = operation.name_any(), kind, phase = ?new.phase, new.message, "operation");
    let failed = new.phase == Some(OperationPhase::Failed);
    let event = Event {
        type_: if failed { EventType::Warning } else { EventType::Normal },
        reason: format!("{:?}", new.phase.unwrap_or(OperationPhase::Pending)),
        note: Some(new.message.clone()),
        action: kind.to_owned(),
        secondary: None,
    };
    // The phase is written; an Event that is lost changes nothing.
    if let Err(error) = context.recorder.publish(&event, &operation.object_ref(&())).await {
        tracing::warn!(%error, "no Event");
    }
    Ok(())
}
