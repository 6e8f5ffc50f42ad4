//! `WipeAndUpdate`, one look at a time. Only I/O; the order of the steps and what they come to is `kpay_control::wipe`.
//!
//! A step is written as begun before anything is done for it, and what it does is safe to repeat: an operator that was
//! killed anywhere goes on with the same step.

mod accounts;
mod topics;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kpay_control::build::Task;
use kpay_control::names::{Component, PIPELINE_LABEL, WIPE_ANNOTATION, WIPE_FINALIZER};
use kpay_control::operation::Step;
use kpay_control::pause::wish;
use kpay_control::validate::{ValidatedPipeline, validate};
use kpay_control::wipe::{Look, Mark, after, begin, compared, current, drained, is_safe};
use kpay_crds::{
    DesiredPhase, OperationPhase, PaymentPipeline, Phase, PipelineOperation, PipelineOperationStatus,
    WipeInventory, WipeStage, WipeStatus,
};
use kube::api::ListParams;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use serde_json::json;

use self::accounts::Ended;
use crate::context::Context;
use crate::error::Error;
use crate::finalizer::{self, is_kept_by};
use crate::pods::is_of;
use crate::reconcile::SOON;
use crate::upgrade;

/// One wipe, as it was read.
struct Wipe<'a> {
    operation: &'a PipelineOperation,
    uid: String,
    resource: &'a PaymentPipeline,
    pipeline: ValidatedPipeline,
    context: &'a Context,
}

/// One look at a wipe whose turn it is.
pub async fn step(
    operation: &PipelineOperation,
    resource: &PaymentPipeline,
    context: &Context,
) -> Result<Step, Error> {
    let pipeline = match validate(resource, &context.default_image) {
        Ok(pipeline) => pipeline.rolled(&resource.status.clone().unwrap_or_default()),
        Err(invalid) => {
            let wrong: Vec<String> = invalid.iter().map(ToString::to_string).collect();
            return Ok(Step::Waits(format!("waits for a spec that can be served: {}", wrong.join("; "))));
        }
    };
    let status = operation.status.clone().unwrap_or_default();
    if status.phase != Some(OperationPhase::Running) {
        return Ok(may_begin(resource).map_or(Step::Begins, Step::Waits));
    }
    let uid = operation.uid().ok_or(Error::Unnamed("uid"))?;
    let wipe = Wipe { operation, uid, resource, pipeline, context };
    match (status.wipe, operation.status.as_ref().and_then(current)) {
        (Some(so_far), Some(stage)) => wipe.go_on(so_far, stage).await,
        (Some(so_far), None) => Ok(Step::Wipes(Box::new(so_far))),
        (None, _) => wipe.plan().await,
    }
}

/// What the pipeline has to come to first, if anything.
fn may_begin(resource: &PaymentPipeline) -> Option<String> {
    let status = resource.status.clone().unwrap_or_default();
    if upgrade::under_way(&status) {
        return Some("waits until the change of the pods is through".to_owned());
    }
    match status.phase {
        Some(Phase::Running | Phase::Paused) => None,
        phase => {
            let phase = phase.map_or("not looked at yet", Phase::as_str);
            Some(format!("waits until the pipeline is Running or Paused; it is {phase}"))
        }
    }
}

/// What becomes of a wipe that has ended or is being deleted: it lets go, and takes everything back while it can. None
/// for one that goes on.
pub async fn leave(operation: &PipelineOperation, context: &Context) -> Result<Option<Action>, Error> {
    let status = operation.status.clone().unwrap_or_default();
    let over = status.phase.is_some_and(OperationPhase::is_final);
    if !over && operation.metadata.deletion_timestamp.is_none() {
        return Ok(None);
    }
    if !is_kept_by(operation, WIPE_FINALIZER) {
        return Ok(Some(Action::await_change()));
    }
    if !over && !is_safe(&status) {
        return Ok(None);
    }
    // One that has failed has deleted nothing.
    if status.phase != Some(OperationPhase::Succeeded) {
        let namespace = operation.namespace().unwrap_or_default();
        let pipelines = Api::<PaymentPipeline>::namespaced(context.client.clone(), &namespace);
        let found = pipelines
            .get_opt(&operation.spec.pipeline)
            .await
            .map_err(Error::api("get", "PaymentPipeline"))?;
        let uid = operation.uid().ok_or(Error::Unnamed("uid"))?;
        match found.as_ref().map(|resource| (resource, validate(resource, &context.default_image))) {
            Some((resource, Ok(pipeline))) => {
                Wipe { operation, uid, resource, pipeline, context }.take_back().await?;
            }
            // Where Kafka is cannot be told; what was copied there is deleted by the next wipe.
            Some((resource, Err(_))) if is_held_by(resource, &uid) => {
                write_mark(resource, None, context).await?;
            }
            _ => {}
        }
    }
    finalizer::set(operation, WIPE_FINALIZER, false, context).await?;
    Ok(Some(Action::requeue(SOON)))
}

impl Wipe<'_> {
    /// What goes and what stays; the real one begins only with the consent to just that.
    async fn plan(&self) -> Result<Step, Error> {
        let planned = match self.inventory().await {
            Ok(Ok(planned)) => planned,
            Ok(Err(refusal)) => return Ok(Step::Fails(refusal.to_string())),
            Err(reason) => return Ok(Step::Waits(format!("waits for Kafka: {reason}"))),
        };
        let (inventory, confirmation) = planned;
        let spec = &self.operation.spec;
        if spec.dry_run {
            let status = WipeStatus { inventory, confirmation, ..WipeStatus::default() };
            return Ok(Step::WouldWipe(Box::new(status)));
        }
        let given = spec.wipe_and_update.as_ref().map(|wipe| wipe.confirmation.as_str());
        if given != Some(confirmation.as_str()) {
            let given = given.unwrap_or("none");
            return Ok(Step::Fails(format!(
                "wipeAndUpdate.confirmation: {given} is not that of what would go now; nothing was done; make a dry run and \
                 confirm what it lists"
            )));
        }
        if !is_kept_by(self.operation, WIPE_FINALIZER) {
            finalizer::set(self.operation, WIPE_FINALIZER, true, self.context).await?;
            return Ok(Step::Waits("has begun".to_owned()));
        }
        Ok(Step::Wipes(Box::new(begin(inventory, confirmation, &now()))))
    }

    async fn go_on(&self, so_far: WipeStatus, stage: WipeStage) -> Result<Step, Error> {
        let look = match stage {
            WipeStage::Drain => self.drain().await?,
            WipeStage::Stop => self.stop().await?,
            WipeStage::Record => self.record(&so_far.inventory).await?,
            WipeStage::Delete => self.delete().await?,
            WipeStage::Create => match self.moves().await? {
                Some(why) => Look::Waits(why),
                None => self.create(&so_far.inventory).await,
            },
            WipeStage::Rebuild => self.rebuild(&so_far).await?,
            WipeStage::Resume => self.resume().await?,
        };
        if let Look::Fails(why) = look {
            // Taken back once that is written (`leave`).
            return Ok(Step::Fails(format!("nothing was deleted: {why}")));
        }
        Ok(Step::Wipes(Box::new(after(so_far, look, &now()))))
    }

    async fn drain(&self) -> Result<Look, Error> {
        if self.is_marked(Mark::Stop) {
            // Who reads this is behind.
            return Err(Error::Conflict);
        }
        let asked = self.mark(Some(Mark::Drain)).await?;
        Ok(drained(asked, &self.resource.status.clone().unwrap_or_default()))
    }

    /// The stages have no pod, and none is to come.
    async fn stop(&self) -> Result<Look, Error> {
        if !self.mark(Some(Mark::Stop)).await? {
            return Ok(Look::Waits("the pipeline is told to stop its stages".to_owned()));
        }
        if let Some(why) = self.moves().await? {
            return Ok(Look::Waits(why));
        }
        Ok(match self.dismiss().await {
            Ok(()) => Look::Done("the stages have no pod".to_owned()),
            Err(reason) => Look::Waits(format!("the groups still have members: {reason}")),
        })
    }

    /// Why the stages cannot be taken to stand still, if anything speaks against it. Asked before every step that rests on
    /// it: somebody may take the mark away.
    async fn moves(&self) -> Result<Option<String>, Error> {
        if !self.is_marked(Mark::Stop) {
            return Ok(Some(format!(
                "the pipeline's annotation {WIPE_ANNOTATION} was taken away or changed"
            )));
        }
        let client = &self.context.client;
        let (namespace, name) = (&self.pipeline.namespace, &self.pipeline.name);
        let labelled = ListParams::default().labels(&format!("{PIPELINE_LABEL}={name}"));
        let sets = Api::<StatefulSet>::namespaced(client.clone(), namespace).list(&labelled).await;
        let sets = sets.map_err(Error::api("list", "StatefulSet"))?.items;
        let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&labelled).await;
        let pods = pods.map_err(Error::api("list", "Pod"))?.items;
        let to_come = |set: &&StatefulSet| {
            let status = set.status.clone().unwrap_or_default();
            set.spec.as_ref().is_none_or(|spec| spec.replicas != Some(0))
                || status.replicas != 0
                || status.observed_generation != set.metadata.generation
        };
        let left: Vec<String> = pods
            .iter()
            .filter(|pod| Component::STAGES.into_iter().any(|stage| is_of(pod, stage)))
            .map(ResourceExt::name_any)
            .collect();
        // Nobody makes the sets of a pipeline anew that is being deleted.
        let going = self.resource.metadata.deletion_timestamp.is_some();
        Ok(if !going && sets.len() < Component::STAGES.len() {
            Some("a StatefulSet of a stage is missing".to_owned())
        } else if let Some(set) = sets.iter().find(to_come) {
            Some(format!("StatefulSet {} is to have no pod", set.name_any()))
        } else {
            (!left.is_empty()).then(|| format!("pods are ending: {}", left.join(", ")))
        })
    }

    async fn record(&self, inventory: &WipeInventory) -> Result<Look, Error> {
        if let Some(why) = self.moves().await? {
            return Ok(Look::Fails(why));
        }
        match self.make_room(inventory).await {
            Ok(true) => {}
            Ok(false) => return Ok(Look::Waits("what an earlier wipe has left is deleted".to_owned())),
            Err(reason) => return Ok(Look::Waits(format!("waits for Kafka: {reason}"))),
        }
        Ok(match self.run(Task::Record).await? {
            Ended::Well(accounts) => Look::Recorded(accounts),
            Ended::Not(why) => Look::Waits(why),
            Ended::Badly(why) => Look::Fails(why),
        })
    }

    /// Past the line. An operator that is no longer the leader must not delete what the next one has made already, so the
    /// step is looked at once more.
    async fn delete(&self) -> Result<Look, Error> {
        let fresh =
            Api::<PipelineOperation>::namespaced(self.context.client.clone(), &self.pipeline.namespace)
                .get(&self.operation.name_any())
                .await
                .map_err(Error::api("get", "PipelineOperation"))?;
        let same = fresh.uid() == self.operation.uid();
        if !same || fresh.status.as_ref().and_then(current) != Some(WipeStage::Delete) {
            return Err(Error::Conflict);
        }
        if let Some(why) = self.moves().await? {
            return Ok(Look::Waits(why));
        }
        Ok(self.delete_derived().await)
    }

    async fn rebuild(&self, so_far: &WipeStatus) -> Result<Look, Error> {
        if let Some(why) = self.moves().await? {
            return Ok(Look::Waits(why));
        }
        Ok(match self.run(Task::Fill).await? {
            Ended::Well(accounts) => compared(so_far.recorded.as_ref(), &accounts),
            Ended::Not(why) | Ended::Badly(why) => Look::Waits(why),
        })
    }

    async fn resume(&self) -> Result<Look, Error> {
        if is_held_by(self.resource, &self.uid) {
            if let Err(reason) = self.clear_away().await? {
                return Ok(Look::Waits(format!("waits for Kafka: {reason}")));
            }
            self.mark(None).await?;
            self.context.remember(self.resource, |memory| memory.topics = None);
            return Ok(Look::Waits("the stages are told to start".to_owned()));
        }
        let wanted = match wish(&self.resource.spec, &now()) {
            DesiredPhase::Running => Phase::Running,
            DesiredPhase::Draining | DesiredPhase::Paused => Phase::Paused,
        };
        let phase = self.resource.status.as_ref().and_then(|status| status.phase).unwrap_or(Phase::Pending);
        if phase == wanted {
            return Ok(Look::Done(format!("the pipeline is {phase}")));
        }
        Ok(Look::Waits(format!("the pipeline is {phase}, wanted is {wanted}")))
    }

    /// As it was before: nothing was deleted yet.
    async fn take_back(&self) -> Result<(), Error> {
        if let Err(reason) = self.clear_away().await? {
            return Err(Error::Topics(reason));
        }
        self.mark(None).await?;
        Ok(())
    }

    /// Tells the pipeline what the wipe asks of it. Whether it was told before, so that whatever it has written since
    /// then was written knowing it.
    async fn mark(&self, mark: Option<Mark>) -> Result<bool, Error> {
        if mark.map_or_else(|| !is_held_by(self.resource, &self.uid), |mark| self.is_marked(mark)) {
            return Ok(true);
        }
        write_mark(self.resource, mark.map(|mark| (mark, self.uid.as_str())), self.context).await?;
        Ok(false)
    }

    fn is_marked(&self, mark: Mark) -> bool {
        self.resource.annotations().get(WIPE_ANNOTATION) == Some(&mark.to_text(&self.uid))
    }
}

/// Whether a pipeline is held by this operation: by its mark, or by the finalizer alone when somebody took the mark away.
fn is_held_by(resource: &PaymentPipeline, operation_uid: &str) -> bool {
    match resource.annotations().get(WIPE_ANNOTATION) {
        Some(text) => text.starts_with(operation_uid),
        None => is_kept_by(resource, WIPE_FINALIZER),
    }
}

/// Whether a wipe of the pipeline goes on, so that the pipeline cannot go.
pub async fn goes_on(resource: &PaymentPipeline, context: &Context) -> Result<bool, Error> {
    let namespace = resource.namespace().unwrap_or_default();
    let operations = Api::<PipelineOperation>::namespaced(context.client.clone(), &namespace);
    let all = operations.list(&ListParams::default()).await;
    let all = all.map_err(Error::api("list", "PipelineOperation"))?;
    let of_it = |operation: &&PipelineOperation| operation.spec.pipeline == resource.name_any();
    Ok(all.iter().filter(of_it).any(|operation| is_kept_by(operation, WIPE_FINALIZER)))
}

/// From Stop on the pipeline cannot go: its accounts would be nowhere that a new one of its name looks.
async fn write_mark(
    resource: &PaymentPipeline,
    mark: Option<(Mark, &str)>,
    context: &Context,
) -> Result<(), Error> {
    let stops = matches!(mark, Some((Mark::Stop, _)));
    let text = mark.map(|(mark, operation_uid)| mark.to_text(operation_uid));
    let finalizers = finalizer::with(resource, WIPE_FINALIZER, stops);
    let change = json!({"annotations": {WIPE_ANNOTATION: text}, "finalizers": finalizers});
    finalizer::write_metadata(resource, change, context).await
}

/// Whether a look came to the end of a step: the next one can begin at once.
pub fn went_on(old: &PipelineOperationStatus, new: &WipeStatus) -> bool {
    let ended = |wipe: &WipeStatus| wipe.steps.iter().filter(|step| step.until.is_some()).count();
    old.wipe.as_ref().is_none_or(|old| ended(old) < ended(new))
}

fn now() -> Time {
    Time(Timestamp::now())
}
