//! `Restart`, one look at a time. Only I/O; what it asks for and how far it is is `kpay_control::restart`.

use kpay_control::names::{RESTART_ANNOTATION, RESTART_FINALIZER};
use kpay_control::operation::Step;
use kpay_control::restart::{Function, Leaving, how_far, leaving};
use kpay_crds::{OperationPhase, PaymentPipeline, PipelineOperation};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::finalizer::{self, is_kept_by};
use crate::operations::{WAIT, not_yet};
use crate::reconcile::SOON;

/// One look at a restart whose turn it is: asks for it once, by an annotation of the pipeline, and sees how far it is. The
/// operation's uid is in the value, so that asking again changes nothing.
pub async fn step(
    operation: &PipelineOperation,
    pipeline: &PaymentPipeline,
    begun: bool,
    context: &Context,
) -> Result<Step, Error> {
    let text = text(operation)?;
    // What was asked for goes on in every phase.
    if let Some(step) = how_far(&text, pipeline).filter(|_| begun) {
        return Ok(step);
    }
    if let Some(step) = not_yet(pipeline, begun) {
        return Ok(step);
    }
    let function = Function::of(operation.spec.restart.as_ref());
    if operation.spec.dry_run {
        let order = "every pod would be replaced: confirmed, account, inflight, gateway";
        return Ok(Step::Done(format!("{order}{}", function.told())));
    }
    if function != Function::Full && !is_kept_by(operation, RESTART_FINALIZER) {
        finalizer::set(operation, RESTART_FINALIZER, true, context).await?;
        return Ok(Step::Waits("has begun".to_owned()));
    }
    ask(pipeline, Some(text), context).await?;
    Ok(Step::Waits("asked for".to_owned()))
}

/// What becomes of a restart that has ended or is being deleted: as long as no pod was replaced it is taken back, else it goes
/// on to its end. None for one that goes on.
pub async fn leave(operation: &PipelineOperation, context: &Context) -> Result<Option<Action>, Error> {
    let phase = operation.status.as_ref().and_then(|status| status.phase);
    let over = phase.is_some_and(OperationPhase::is_final);
    if !over && operation.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    if !is_kept_by(operation, RESTART_FINALIZER) {
        return Ok(Some(Action::await_change()));
    }
    let namespace = operation.namespace().unwrap_or_default();
    let pipelines = Api::<PaymentPipeline>::namespaced(context.client.clone(), &namespace);
    let found = pipelines.get_opt(&operation.spec.pipeline).await;
    let found = found.map_err(Error::api("get", "PaymentPipeline"))?;
    let text = text(operation)?;
    if let Some(pipeline) = found.filter(|found| found.metadata.deletion_timestamp.is_none()) {
        match leaving(&text, &pipeline) {
            Leaving::LetsGo => {}
            Leaving::GoesOn if over => return Ok(Some(Action::requeue(WAIT))),
            Leaving::GoesOn => return Ok(None),
            Leaving::TakesBack(before) => ask(&pipeline, before, context).await?,
        }
    }
    finalizer::set(operation, RESTART_FINALIZER, false, context).await?;
    Ok(Some(Action::requeue(SOON)))
}

fn text(operation: &PipelineOperation) -> Result<String, Error> {
    let uid = operation.uid().ok_or(Error::Unnamed("uid"))?;
    Ok(Function::of(operation.spec.restart.as_ref()).to_text(&uid))
}

async fn ask(pipeline: &PaymentPipeline, text: Option<String>, context: &Context) -> Result<(), Error> {
    let change = json!({"annotations": {RESTART_ANNOTATION: text}});
    finalizer::write_metadata(pipeline, change, context).await
}
