//! What somebody wants the pipeline to do, handed to whoever keeps the wish. Only I/O, behind [`Wishes`]: in a cluster it
//! is the resource, in one process a file, without either nobody.

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use kpay_control::names::PAUSE_REASON_ANNOTATION;
use kpay_control::pause::is_over;
use kpay_crds::{DesiredPhase, PAUSES_MAX, Pause, PaymentPipeline};
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::dynamic::ParseDynamicObjectError;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tracing::info;

use crate::args::{PhaseSource, PipelineRef, PodArgs};
use crate::pod::pause::{GATEWAY_MANAGER, Pauses};

/// So often is a change of the pauses tried when others change the resource at the same time.
const ATTEMPTS: u32 = 8;
/// Where a resource has its pauses.
const PAUSES: &str = "/spec/pauses";

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// This desired phase, and why.
    Phase(DesiredPhase, Option<String>),
    /// To hold it paused, in place of what the same holder held before.
    Hold(Pause),
    /// That this holder holds it no longer.
    LetGo(String),
}

/// What is wanted, all wishes taken together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// The desired phase.
    pub(crate) desired: DesiredPhase,
    /// Who wants it not to run.
    pub(crate) pauses: Pauses,
}

/// Why a wish was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WishError {
    /// The phase was set at the start, for good.
    #[error("the phase is fixed by KPAY_PHASE_SOURCE")]
    Fixed,
    /// As many hold it as can.
    #[error("{PAUSES_MAX} holders pause it already")]
    Full,
    /// There is no such resource.
    #[error("the resource is gone")]
    Gone,
    /// The resource is none that this program knows.
    #[error("the resource cannot be read: {0}")]
    Unreadable(#[from] ParseDynamicObjectError),
    /// The API server did not take it.
    #[error("the resource was not changed: {0}")]
    Kubernetes(#[from] kube::Error),
    /// The data folder did not take it.
    #[error("the wish was not written: {0}")]
    File(#[from] std::io::Error),
}

/// Keeps what is wanted of the pipeline.
pub(crate) trait Wishes: Send + Sync {
    /// Takes a wish; `Ok` when it outlives this process, with what is wanted from then on.
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Granted, WishError>>;
}

/// Where the wishes of a gateway's pod go.
pub(super) fn wishes(args: &PodArgs) -> std::sync::Arc<dyn Wishes> {
    match &args.phase_source {
        PhaseSource::StaticRunning | PhaseSource::File(_) => std::sync::Arc::new(Fixed),
        PhaseSource::Kubernetes => {
            std::sync::Arc::new(Resource { pipeline: args.pipeline.clone(), client: OnceCell::new() })
        }
    }
}

/// The phase never changes.
pub(super) struct Fixed;

impl Wishes for Fixed {
    fn wish(&self, _wish: Wish) -> BoxFuture<'_, Result<Granted, WishError>> {
        async { Err(WishError::Fixed) }.boxed()
    }
}

/// The pipeline's own resource.
struct Resource {
    pipeline: PipelineRef,
    client: OnceCell<Client>,
}

impl Wishes for Resource {
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Granted, WishError>> {
        async move {
            let client = self.client.get_or_try_init(Client::try_default).await?;
            let kind = ApiResource::erase::<PaymentPipeline>(&());
            // As it is written: the entries of other holders are handed back to the letter.
            let api = Api::namespaced_with(client.clone(), &self.pipeline.namespace, &kind);
            let changed = match &wish {
                Wish::Phase(desired, reason) => {
                    self.patch(&api, phase_patch(*desired, reason.as_deref())).await?
                }
                Wish::Hold(_) | Wish::LetGo(_) => self.change_pauses(&api, &wish).await?,
            };
            info!(?wish, "patched the pipeline");
            let changed: PaymentPipeline = changed.try_parse()?;
            Ok(Granted { desired: changed.spec.desired_phase, pauses: Pauses::of(&changed) })
        }
        .boxed()
    }
}

impl Resource {
    /// Changes one entry of the list as it was read, and only if nobody has changed the resource since.
    async fn change_pauses(&self, api: &Api<DynamicObject>, wish: &Wish) -> Result<DynamicObject, WishError> {
        let named = ListParams::default().fields(&format!("metadata.name={}", self.pipeline.name));
        let mut attempt = 1;
        loop {
            let found = api.list(&named).await?.items.into_iter().next().ok_or(WishError::Gone)?;
            let before = found.data.pointer(PAUSES).and_then(Value::as_array).cloned().unwrap_or_default();
            let after = pauses_after(&before, wish, Timestamp::now())?;
            if after == before {
                return Ok(found);
            }
            let version = found.resource_version();
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"pauses": after}});
            match self.patch(api, patch).await {
                Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => attempt += 1,
                patched => return Ok(patched?),
            }
        }
    }

    async fn patch(&self, api: &Api<DynamicObject>, patch: Value) -> Result<DynamicObject, kube::Error> {
        let params =
            PatchParams { field_manager: Some(GATEWAY_MANAGER.to_owned()), ..PatchParams::default() };
        api.patch(&self.pipeline.name, &params, &Patch::Merge(&patch)).await
    }
}

/// Why belongs to the pause: a merge patch takes away what is null.
fn phase_patch(desired: DesiredPhase, reason: Option<&str>) -> Value {
    json!({
        "metadata": {"annotations": {PAUSE_REASON_ANNOTATION: reason}},
        "spec": {"desiredPhase": desired},
    })
}

/// The entries after a wish: those of others are as they were, but for those that have ended where there is no room else.
fn pauses_after(before: &[Value], wish: &Wish, now: Timestamp) -> Result<Vec<Value>, WishError> {
    let (holder, pause) = match wish {
        Wish::Phase(..) => return Ok(before.to_vec()),
        Wish::Hold(pause) => (&pause.holder, Some(pause)),
        Wish::LetGo(holder) => (holder, None),
    };
    let is_his = |entry: &Value| entry.get("holder").and_then(Value::as_str) == Some(holder);
    let mut after: Vec<Value> = before.iter().filter(|entry| !is_his(entry)).cloned().collect();
    let Some(pause) = pause else { return Ok(after) };
    if after.len() >= PAUSES_MAX {
        after.retain(|entry| !has_ended(entry, now));
    }
    if after.len() >= PAUSES_MAX {
        return Err(WishError::Full);
    }
    after.push(json!(pause));
    Ok(after)
}

fn has_ended(entry: &Value, now: Timestamp) -> bool {
    let until = entry.get("until").and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    is_over(until.map(Into::into).as_ref(), &now.into())
}

#[cfg(test)]
mod tests;
