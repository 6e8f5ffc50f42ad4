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
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(generation: i64, when: &str, rate: u32) -> PaymentPipeline {
        serde_json::from_value(json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {"name": "payments", "namespace": "default", "generation": generation},
            "spec": {
                "kafka": {"bootstrapServers": "kafka:9092"},
                "limits": {"intakePerSecond": rate},
                "rules": [{"name": "large", "when": when, "action": "Hold"}],
            },
            "status": {"phase": "Running", "epoch": 1},
        }))
        .unwrap()
    }

    fn known(learning: &Learning) -> (Option<u32>, Vec<String>) {
        let rules = learning.policy.borrow().rules.sources().iter().map(|rule| rule.when.clone()).collect();
        (learning.phase.borrow().and_then(|learned| learned.intake_per_second), rules)
    }

    #[test]
    fn a_change_is_followed_and_a_wrong_one_keeps_the_last_that_was_right() {
        let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
        let (small, large) = ("payment.amount < 5", "payment.amount > 5");
        teacher.tell(&resource(1, large, 10));
        assert_eq!(known(&learning), (Some(10), vec![large.to_owned()]));
        teacher.tell(&resource(2, small, 20));
        assert_eq!(known(&learning), (Some(20), vec![small.to_owned()]));
        teacher.tell(&resource(3, "payment.amout > 5", 30));
        assert_eq!(known(&learning), (Some(20), vec![small.to_owned()]));
        teacher.tell(&resource(1, large, 10));
        assert_eq!(known(&learning), (Some(20), vec![small.to_owned()]), "from a stale cache");
        teacher.tell(&resource(4, large, 30));
        assert_eq!(known(&learning), (Some(30), vec![large.to_owned()]));
    }

    #[test]
    fn the_intake_is_limited_while_a_restart_that_asks_for_it_is_under_way() {
        let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
        let mut tell = |state: &str| {
            let release = |restart: serde_json::Value| {
                json!({"image": "k", "pullPolicy": "Never", "bootstrapServers": "k:9092", "currency": "USD",
                    "idempotencyWindowSeconds": 1, "restart": restart})
            };
            let mut resource = resource(1, "payment.amount > 5", 500);
            let status = resource.status.as_mut().unwrap();
            status.release = serde_json::from_value(release(json!(null))).unwrap();
            let upgrade = json!({"state": state, "to": release(json!("u/LimitedIntake=20"))});
            status.upgrade = serde_json::from_value(upgrade).unwrap();
            teacher.tell(&resource);
            known(&learning).0
        };
        assert_eq!(tell("Rolling"), Some(20));
        assert_eq!(tell("RollingBack"), Some(20));
        assert_eq!(tell("RolledBack"), Some(500));
    }

    #[test]
    fn a_generator_is_followed_whatever_becomes_of_the_rules_and_a_wrong_one_changes_nothing() {
        let (mut teacher, mut learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
        let mut tell = |generation, when, generator: serde_json::Value| {
            let mut resource = resource(generation, when, 10);
            resource.spec.processors = serde_json::from_value(json!({"generator": generator})).unwrap();
            teacher.tell(&resource);
            let changed = learning.generator.has_changed().unwrap();
            let rate = learning.generator.borrow_and_update().as_ref().map(|part| part.settings.rate);
            (changed, rate)
        };
        let (right, wrong) = ("payment.amount > 5", "payment.amout > 5");
        assert_eq!(tell(1, right, json!(null)), (false, None));
        assert_eq!(tell(2, wrong, json!({"rate": 7})), (true, Some(7)));
        assert_eq!(tell(3, right, json!({"rate": 7})), (false, Some(7)), "a run goes on");
        assert_eq!(tell(4, right, json!({"rate": 8, "amounts": "5..1"})), (false, Some(7)));
        assert_eq!(tell(5, right, json!({"rate": 9})), (true, Some(9)));
        assert_eq!(tell(4, right, json!({"rate": 8})), (false, Some(9)), "from a stale cache");
        assert_eq!(tell(6, right, json!(null)), (true, None));
    }

    #[test]
    fn only_an_intake_that_resumes_starts_slowly() {
        let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
        for (epoch, phase, expected) in [
            (1, Phase::Pending, 0),
            (2, Phase::Running, 0),
            (3, Phase::Draining, 0),
            (4, Phase::Paused, 0),
            (5, Phase::Resuming, 2_000),
            (6, Phase::Running, 0),
        ] {
            let mut resource = resource(1, "payment.amount > 5", 10);
            resource.spec.limits.slow_start = "2s".to_owned();
            let status = resource.status.get_or_insert_default();
            (status.phase, status.epoch) = (Some(phase), epoch);
            teacher.tell(&resource);
            let gate = Gate::default();
            learning.phase.borrow().unwrap().tell(&gate);
            assert_eq!(gate.slow_start_ms(), expected, "{phase}");
            assert_eq!(gate.rate(), Some(10));
        }
    }

    #[test]
    fn without_any_terms_that_are_right_nothing_is_learned() {
        let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
        teacher.tell(&resource(1, "payment.amout > 5", 30));
        assert_eq!(*learning.phase.borrow(), None);
        teacher.tell(&resource(2, "payment.amount > 5", 30));
        assert_eq!(known(&learning).0, Some(30));
    }

    #[test]
    fn a_file_gives_the_terms_and_one_that_is_wrong_is_told_with_the_rule() {
        let file = |name: &str, when: &str| {
            let path = std::env::temp_dir().join(format!("kpay-terms-{name}-{}.yaml", std::process::id()));
            std::fs::write(&path, serde_json::to_string(&resource(1, when, 7)).unwrap()).unwrap();
            path
        };
        let pipeline: PipelineRef = "default/payments".parse().unwrap();
        let learned = |path: &Path| {
            let source: PhaseSource = format!("file:{}", path.display()).parse().unwrap();
            learn(&source, &pipeline, Policy::new(Currency::new("USD").unwrap()))
        };
        let (right, wrong) = (file("right", "payment.amount > 5"), file("wrong", "payment.amout > 5"));
        let learning = learned(&right).unwrap();
        assert_eq!(known(&learning), (Some(7), vec!["payment.amount > 5".to_owned()]));
        assert_eq!(learning.phase.borrow().map(|learned| learned.phase), Some(Phase::Running));
        let refused = format!("{:#}", learned(&wrong).err().unwrap());
        assert!(refused.contains("spec.rules") && refused.contains("large"), "{refused}");
        for path in [right, wrong] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
