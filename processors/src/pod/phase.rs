//! Learns the phase of the pipeline and what its payments are judged by: from the resource, or once and for all. Only
//! I/O.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::TryStreamExt;
use kpay_control::generator;
use kpay_control::policy::{Terms, terms};
use kpay_control::restart;
use kpay_crds::{DesiredPhase, PaymentPipeline, PaymentPipelineSpec, Phase};
use kpay_domain::{Currency, Policy};
use kpay_streams::control::Gate;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::args::{PhaseSource, PipelineRef, PodArgs};
use crate::generator::Part;
use crate::pod::pause::Pauses;

/// What the resource says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// What the pipeline is doing.
    pub phase: Phase,
    /// Grows with every change of phase.
    pub epoch: u64,
    /// The desired phase, whoever else holds it.
    pub desired: DesiredPhase,
    /// The most records a second that may be read of payment.incoming.
    pub intake_per_second: Option<u32>,
    /// How long the intake takes to that when it resumes, in milliseconds.
    pub slow_start_ms: u64,
    /// Whether a gateway refuses requests while the intake is closed.
    pub rejects_while_closed: bool,
}

impl Learned {
    /// Tells the workers. Only an intake that resumes starts slowly: before the first start nothing was held back.
    pub fn tell(&self, gate: &Gate) {
        gate.set_rate(self.intake_per_second);
        gate.set_slow_start(if self.phase == Phase::Resuming { self.slow_start_ms } else { 0 });
        gate.set(self.epoch, self.intake_open());
    }

    /// Whether payment.incoming may be read.
    pub fn intake_open(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Resuming => true,
            Phase::Pending | Phase::Draining | Phase::Paused | Phase::Failed => false,
        }
    }

    /// `None` while the operator has written no phase yet.
    fn of(pipeline: &PaymentPipeline, followed: Followed) -> Option<Self> {
        let status = pipeline.status.as_ref()?;
        let epoch = u64::try_from(status.epoch).ok().filter(|epoch| *epoch > 0)?;
        let Followed { intake_per_second, slow_start_ms, rejects_while_closed } = followed;
        let intake_per_second = restart::intake_per_second(Some(status), intake_per_second);
        let (phase, desired) = (status.phase?, pipeline.spec.desired_phase);
        Some(Self { phase, epoch, desired, intake_per_second, slow_start_ms, rejects_while_closed })
    }
}

/// What of the terms goes with the phase.
#[derive(Debug, Clone, Copy, Default)]
struct Followed {
    intake_per_second: Option<u32>,
    slow_start_ms: u64,
    rejects_while_closed: bool,
}

/// What a process learns while it runs.
pub struct Learning {
    /// `None` until something was learned.
    pub phase: watch::Receiver<Option<Learned>>,
    /// What payments are judged by.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Who wants it not to run.
    pub pause: Pausing,
    /// What each pod of the generator sends; `None` when there is nothing to send, or nothing was learned.
    pub generator: watch::Receiver<Option<Arc<Part>>>,
}

/// Who wants the pipeline not to run, and why; nobody when nothing was learned.
pub type Pausing = watch::Receiver<Arc<Pauses>>;

/// Starts learning. An API server that goes away changes nothing.
pub fn watch(args: &PodArgs) -> anyhow::Result<Learning> {
    let Ok(currency) = Currency::new(&args.currency) else {
        bail!("KPAY_CURRENCY: {:?} is not a currency of three letters such as USD", args.currency);
    };
    learn(&args.phase_source, &args.pipeline, Policy::new(currency))
}

/// The phase alone, for a process that judges no payments.
pub(crate) fn watch_phase(
    source: &PhaseSource,
    pipeline: &PipelineRef,
) -> anyhow::Result<watch::Receiver<Option<Learned>>> {
    let unused = Policy::new(Currency::new("USD").expect("three letters"));
    Ok(learn(source, pipeline, unused)?.phase)
}

fn learn(source: &PhaseSource, pipeline: &PipelineRef, policy: Policy) -> anyhow::Result<Learning> {
    let running = |intake_per_second| Learned {
        phase: Phase::Running,
        epoch: 1,
        desired: DesiredPhase::Running,
        intake_per_second,
        slow_start_ms: 0,
        rejects_while_closed: false,
    };
    Ok(match source {
        PhaseSource::Kubernetes => {
            let (teacher, learning) = Teacher::new(None, policy);
            tokio::spawn(keep_watching(pipeline.clone(), teacher));
            learning
        }
        PhaseSource::StaticRunning => Teacher::new(Some(running(None)), policy).1,
        PhaseSource::File(path) => {
            let told = || format!("KPAY_PHASE_SOURCE: {}", path.display());
            let resource = resource_of(path).with_context(told)?;
            let terms = terms_of(&resource).with_context(told)?;
            let (mut teacher, learning) = Teacher::new(Some(running(terms.intake_per_second)), terms.policy);
            teacher.set_generator(&resource.spec);
            learning
        }
    })
}

fn resource_of(path: &Path) -> anyhow::Result<PaymentPipeline> {
    serde_saphyr::from_str(&std::fs::read_to_string(path)?).context("not a PaymentPipeline")
}

fn terms_of(resource: &PaymentPipeline) -> anyhow::Result<Terms> {
    terms(&resource.spec).map_err(|invalid| {
        let why: Vec<_> = invalid.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(why.join("; "))
    })
}

/// Tells the process of each state of the resource.
struct Teacher {
    phase: watch::Sender<Option<Learned>>,
    policy: watch::Sender<Arc<Policy>>,
    pause: watch::Sender<Arc<Pauses>>,
    generator: watch::Sender<Option<Arc<Part>>>,
    /// The newest spec that was looked at.
    generation: Option<i64>,
    /// Whether there were ever any terms that are right, and what of them goes with the phase.
    has_terms: bool,
    followed: Followed,
}

impl Teacher {
    fn new(learned: Option<Learned>, policy: Policy) -> (Self, Learning) {
        let (phase, phases) = watch::channel(learned);
        let (policy, policies) = watch::channel(Arc::new(policy));
        let (pause, pauses) = watch::channel(Arc::default());
        let (generator, parts) = watch::channel(None);
        let teacher = Self {
            phase,
            policy,
            pause,
            generator,
            generation: None,
            has_terms: false,
            followed: Followed::default(),
        };
        (teacher, Learning { phase: phases, policy: policies, pause: pauses, generator: parts })
    }

    /// The terms first, so that no payment is judged without them. While there were never any that are right, nothing
    /// is processed: payments wait in their topic rather than pass unjudged.
    fn tell(&mut self, resource: &PaymentPipeline) {
        // An older generation can only come from a stale cache.
        let generation = resource.metadata.generation;
        if generation.is_none() || generation > self.generation {
            self.generation = generation;
            self.set_generator(&resource.spec);
            match terms(&resource.spec) {
                Ok(terms) => self.set(terms),
                Err(invalid) => {
                    let why: Vec<_> = invalid.iter().map(ToString::to_string).collect();
                    warn!(why = why.join("; "), "limits and rules stay as they are");
                }
            }
        }
        self.pause.send_replace(Arc::new(Pauses::of(resource)));
        if !self.has_terms {
            return;
        }
        let Some(learned) = Learned::of(resource, self.followed) else { return };
        self.phase.send_if_modified(|current| {
            // An older epoch can only come from a stale cache.
            let newer = current.is_none_or(|c| c.epoch <= learned.epoch && c != learned);
            if newer {
                info!(phase = ?learned.phase, epoch = learned.epoch, rate = learned.intake_per_second, "phase");
                *current = Some(learned);
            }
            newer
        });
    }

    fn set_generator(&mut self, spec: &PaymentPipelineSpec) {
        let invalid = generator::check(spec);
        if !invalid.is_empty() {
            let why: Vec<_> = invalid.iter().map(ToString::to_string).collect();
            warn!(why = why.join("; "), "the generator stays as it is");
            return;
        }
        let part = Part::of(spec);
        self.generator.send_if_modified(|current| {
            let changed = current.as_deref() != part.as_ref();
            if changed {
                *current = part.map(Arc::new);
            }
            changed
        });
    }

    fn set(&mut self, terms: Terms) {
        let Terms { intake_per_second, slow_start_ms, rejects_while_closed, .. } = terms;
        self.has_terms = true;
        self.followed = Followed { intake_per_second, slow_start_ms, rejects_while_closed };
        self.policy.send_if_modified(|current| {
            let changed = **current != terms.policy;
            if changed {
                info!(rules = terms.policy.rules.sources().len(), limits = ?terms.policy.limits, "policy");
                *current = Arc::new(terms.policy);
            }
            changed
        });
    }
}

async fn keep_watching(pipeline: PipelineRef, mut teacher: Teacher) {
    loop {
        if let Err(error) = watch_resource(&pipeline, &mut teacher).await {
            warn!(%error, "cannot watch the pipeline, trying again; the phase stays as it is");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn watch_resource(
    pipeline: &PipelineRef,
    teacher: &mut Teacher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let client = Client::try_default().await?;
    let api: Api<PaymentPipeline> = Api::namespaced(client, &pipeline.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", pipeline.name));
    let mut stream = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    loop {
        match stream.try_next().await {
            Ok(Some(resource)) => teacher.tell(&resource),
            Ok(None) => return Ok(()),
            Err(error) => warn!(%error, "watch"),
        }
    }
}

/// Hands every phase to the workers.
pub async fn follow(mut phase: watch::Receiver<Option<Learned>>, gate: Arc<Gate>) {
    loop {
        if let Some(learned) = *phase.borrow_and_update() {
            learned.tell(&gate);
        }
        if phase.changed().await.is_err() {
            // A static phase has no sender any more; it holds for good.
            return;
        }
    }
}

#[cfg(test)]
mod tests;
