//! Learns the phase of the pipeline: from the resource's status, or once and for all. Only I/O.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use kpay_crds::{DesiredPhase, PaymentPipeline, Phase};
use kpay_streams::control::Gate;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::args::{PhaseSource, PipelineRef, PodArgs};

/// What the resource says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// What the pipeline is doing.
    pub phase: Phase,
    /// Grows with every change of phase.
    pub epoch: u64,
    /// What a person wants it to do.
    pub desired: DesiredPhase,
}

impl Learned {
    /// Whether payment.incoming may be read.
    pub fn intake_open(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Resuming => true,
            Phase::Pending | Phase::Draining | Phase::Paused | Phase::Failed => false,
        }
    }

    /// `None` while the operator has written no phase yet.
    fn of(pipeline: &PaymentPipeline) -> Option<Self> {
        let status = pipeline.status.as_ref()?;
        let epoch = u64::try_from(status.epoch).ok().filter(|epoch| *epoch > 0)?;
        Some(Self { phase: status.phase?, epoch, desired: pipeline.spec.desired_phase })
    }
}

/// Starts learning. The receiver holds `None` until something was learned; an API server that goes away changes
/// nothing.
pub fn watch(args: &PodArgs) -> watch::Receiver<Option<Learned>> {
    match args.phase_source {
        PhaseSource::StaticRunning => {
            let learned = Learned { phase: Phase::Running, epoch: 1, desired: DesiredPhase::Running };
            watch::channel(Some(learned)).1
        }
        PhaseSource::Kubernetes => {
            let (sender, receiver) = watch::channel(None);
            tokio::spawn(keep_watching(args.pipeline.clone(), sender));
            receiver
        }
    }
}

async fn keep_watching(pipeline: PipelineRef, sender: watch::Sender<Option<Learned>>) {
    loop {
        if let Err(error) = watch_resource(&pipeline, &sender).await {
            warn!(%error, "cannot watch the pipeline, trying again; the phase stays as it is");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn watch_resource(
    pipeline: &PipelineRef,
    sender: &watch::Sender<Option<Learned>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::try_default().await?;
    let api: Api<PaymentPipeline> = Api::namespaced(client, &pipeline.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", pipeline.name));
    let mut stream = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    loop {
        match stream.try_next().await {
            Ok(Some(resource)) => {
                let Some(learned) = Learned::of(&resource) else { continue };
                sender.send_if_modified(|current| {
                    // An older epoch can only come from a stale cache.
                    let newer = current.is_none_or(|c| c.epoch <= learned.epoch && c != learned);
                    if newer {
                        info!(phase = ?learned.phase, epoch = learned.epoch, "phase");
                        *current = Some(learned);
                    }
                    newer
                });
            }
            Ok(None) => return Ok(()),
            Err(error) => warn!(%error, "watch"),
        }
    }
}

/// Hands every phase to the workers.
pub async fn follow(mut phase: watch::Receiver<Option<Learned>>, gate: Arc<Gate>) {
    loop {
        if let Some(learned) = *phase.borrow_and_update() {
            gate.set(learned.epoch, learned.intake_open());
        }
        if phase.changed().await.is_err() {
            // A static phase has no sender any more; it holds for good.
            return;
        }
    }
}
