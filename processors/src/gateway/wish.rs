//! What somebody wants the pipeline to do, handed to whoever keeps the wish. Only I/O, behind [`Wishes`]: in a cluster it
//! is the resource, in one process a file, without either nobody.

use futures::future::{BoxFuture, FutureExt};
use kpay_control::names::{PAUSE_REASON_ANNOTATION, PAUSED_BY_ANNOTATION};
use kpay_crds::{DesiredPhase, PaymentPipeline};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tracing::info;

use crate::args::{PhaseSource, PipelineRef, PodArgs};
use crate::pod::pause::{GATEWAY_MANAGER, Pause};

/// A wish, with who has it and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) desired: DesiredPhase,
    pub(crate) holder: Option<String>,
    pub(crate) reason: Option<String>,
}

/// Why a wish was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WishError {
    /// The phase was set at the start, for good.
    #[error("the phase is fixed by KPAY_PHASE_SOURCE")]
    Fixed,
    /// The API server did not take it.
    #[error("the resource was not changed: {0}")]
    Kubernetes(#[from] kube::Error),
    /// The data folder did not take it.
    #[error("the wish was not written: {0}")]
    File(#[from] std::io::Error),
}

/// Keeps what is wanted of the pipeline.
pub(crate) trait Wishes: Send + Sync {
    /// Takes a wish; `Ok` when it outlives this process, with what is told of a pause from then on.
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Option<Pause>, WishError>>;
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
    fn wish(&self, _wish: Wish) -> BoxFuture<'_, Result<Option<Pause>, WishError>> {
        async { Err(WishError::Fixed) }.boxed()
    }
}

/// The pipeline's own resource.
struct Resource {
    pipeline: PipelineRef,
    client: OnceCell<Client>,
}

impl Wishes for Resource {
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Option<Pause>, WishError>> {
        async move {
            let client = self.client.get_or_try_init(Client::try_default).await?;
            let api: Api<PaymentPipeline> = Api::namespaced(client.clone(), &self.pipeline.namespace);
            let params = PatchParams { field_manager: Some(GATEWAY_MANAGER.to_owned()), ..PatchParams::default() };
            let patched = api.patch(&self.pipeline.name, &params, &Patch::Merge(patch(&wish))).await?;
            info!(desired = ?wish.desired, holder = wish.holder, reason = wish.reason, "patched the pipeline");
            Ok(Pause::of(&patched))
        }
        .boxed()
    }
}

/// Who and why belong to the pause: a merge patch takes away what is null.
fn patch(wish: &Wish) -> Value {
    json!({
        "metadata": {"annotations": {PAUSED_BY_ANNOTATION: wish.holder, PAUSE_REASON_ANNOTATION: wish.reason}},
        "spec": {"desiredPhase": wish.desired},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_says_who_and_why_and_a_resume_takes_both_away() {
        let pause = Wish {
            desired: DesiredPhase::Paused,
            holder: Some("alice".to_owned()),
            reason: Some("books".to_owned()),
        };
        let expected = json!({
            "metadata": {"annotations": {"kpay.dev/paused-by": "alice", "kpay.dev/pause-reason": "books"}},
            "spec": {"desiredPhase": "Paused"},
        });
        assert_eq!(patch(&pause), expected);
        let resume = Wish { desired: DesiredPhase::Running, holder: None, reason: None };
        let expected = json!({
            "metadata": {"annotations": {"kpay.dev/paused-by": null, "kpay.dev/pause-reason": null}},
            "spec": {"desiredPhase": "Running"},
        });
        assert_eq!(patch(&resume), expected);
    }
}
