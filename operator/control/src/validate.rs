//! From the raw spec to a `ValidatedPipeline`; past here nobody looks at the spec again. Pure.

mod invalid;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use kpay_crds::{
    AutoscalingMode, ConfigMapFile, DeletionPolicy, DesiredPhase, DrainTimeoutAction, ExistingTopics, Pause,
    PaymentPipeline, PaymentPipelineSpec, PaymentPipelineStatus, PullPolicy, Release, ReleaseProcessor,
    StageScaling, TopicReport,
};
use kube::ResourceExt;

use crate::autoscale;
use crate::duration::parse_ms;
use crate::generator;
use crate::names::{Component, TopicName, WIPE_ANNOTATION};
use crate::policy::{Terms, terms};
use crate::restart;
use crate::start::StartFrom;
use crate::upgrade::{self, own, release};
use crate::wipe::Mark;

pub use self::invalid::Invalid;
pub use self::topics::DesiredTopic;
use self::topics::topics;

/// The image that is used where a pipeline names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultImage {
    /// Registry and name.
    pub repository: String,
    /// Tag or digest.
    pub tag: String,
    /// When a node pulls it.
    pub pull_policy: PullPolicy,
}

/// A pipeline whose fields fit together.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedPipeline {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// What its spec asks for, whoever holds it: [`crate::pause::Wanted`] has what it should do.
    pub desired: DesiredPhase,
    /// Who holds it paused, and until when.
    pub pauses: Vec<Pause>,
    /// What a wipe asks of it, while there is one.
    pub wipe: Option<Mark>,
    /// What pods should be made from.
    pub release: Release,
    /// What the generator's pods have of their own, where there is one. They follow the release at once: they hold nothing
    /// that a change could break.
    pub generator: Option<ReleaseProcessor>,
    /// What they are made from while that is being brought about, where it differs.
    pub rolled: BTreeMap<Component, Release>,
    /// The workloads whose pods are being replaced while payments go on.
    pub surging: BTreeSet<Component>,
    /// Tag or digest alone, the version until pods report one.
    pub image_tag: String,
    /// Kafka.
    pub bootstrap_servers: String,
    /// Before every topic and group.
    pub topic_prefix: String,
    /// What each topic should be.
    pub topics: BTreeMap<TopicName, DesiredTopic>,
    /// Partitions of the topics that there are, where they differ from what is declared.
    pub found: BTreeMap<TopicName, i32>,
    /// Where the first start begins in `payment.incoming`.
    pub start_from: StartFrom,
    /// What becomes of topics that are there and that it has not made.
    pub existing: ExistingTopics,
    /// Whether topics go when the resource goes.
    pub deletion_policy: DeletionPolicy,
    /// Currency of an account opened without one.
    pub currency: String,
    /// The accounts that it begins with, if any.
    pub accounts: Option<ConfigMapFile>,
    /// For how long a payment's id is remembered, in whole seconds.
    pub idempotency_window_seconds: u32,
    /// What the processors follow live.
    pub terms: Terms,
    /// How many pods, of every workload that the pipeline has.
    pub workloads: BTreeMap<Component, Workload>,
    /// When a change of the pods is good.
    pub upgrade: upgrade::Settings,
    /// How the stages are scaled by their load, if they are.
    pub autoscaling: Option<autoscale::Settings>,
    /// After how long a drain is late.
    pub drain_timeout_ms: i64,
    /// What happens then.
    pub drain_on_timeout: DrainTimeoutAction,
}

impl ValidatedPipeline {
    /// The full name of a topic.
    pub fn topic(&self, topic: TopicName) -> String {
        format!("{}{}", self.topic_prefix, topic.as_str())
    }

    /// Partitions of the topic that a stage consumes, as it is; 0 for the gateway and the generator.
    pub fn partitions(&self, component: Component) -> i32 {
        let of = |topic| {
            let declared = || self.topics.get(&topic).map(|topic| topic.partitions);
            self.found.get(&topic).copied().or_else(declared)
        };
        component.input().and_then(of).unwrap_or(0)
    }

    /// Replicas of a workload.
    pub fn replicas(&self, component: Component) -> i32 {
        self.workloads.get(&component).map_or(0, |workload| workload.replicas)
    }

    /// Pods of a workload: its replicas, and while they are replaced one more that takes over, where there is a partition
    /// for it.
    pub fn pods(&self, component: Component) -> i32 {
        let replicas = self.replicas(component);
        let takes_over = self.surging.contains(&component)
            && (1..self.partitions(component)).contains(&replicas)
            && self.autoscaling.is_none_or(|settings| settings.mode != AutoscalingMode::External);
        if takes_over { replicas.saturating_add(self.upgrade.max_surge) } else { replicas }
    }

    /// What the pods of a workload are made from now.
    pub fn release(&self, component: Component) -> &Release {
        self.rolled.get(&component).unwrap_or(&self.release)
    }

    /// The same pipeline with pods that are made from what the status says they are at.
    #[must_use]
    pub fn rolled(mut self, status: &PaymentPipelineStatus) -> Self {
        for component in Component::REQUIRED {
            let release = upgrade::release_of(status, &self.release, component);
            if *release != self.release {
                self.rolled.insert(component, release.clone());
            }
            if upgrade::is_replaced(status, component) {
                self.surging.insert(component);
            }
        }
        let declared = self.terms.intake_per_second;
        self.terms.intake_per_second = restart::intake_per_second(Some(status), declared);
        if let Some(autoscaling) = &mut self.autoscaling {
            autoscaling.intake_per_second = self.terms.intake_per_second.map(f64::from);
        }
        self
    }

    /// The same pipeline, that knows which topics have other partitions than it declares.
    #[must_use]
    pub fn found(mut self, topics: &BTreeMap<String, TopicReport>) -> Self {
        for (name, desired) in &self.topics {
            // One that is still to be made has none.
            let found = topics.get(name.as_str()).map(|found| found.partitions).filter(|found| *found > 0);
            if let Some(found) = found.filter(|found| *found != desired.partitions) {
                self.found.insert(*name, found);
            }
        }
        self
    }

    /// The same pipeline without a pod of a stage, while a wipe asks for that.
    #[must_use]
    pub fn stopped(mut self) -> Self {
        if self.wipe == Some(Mark::Stop) {
            for stage in Component::STAGES {
                self.workloads.entry(stage).and_modify(|workload| workload.replicas = 0);
            }
        }
        self
    }

    /// The same pipeline with the replicas that its stages have by their load: what was decided and written down, or in
    /// mode External what somebody else has set on the `StatefulSet`.
    #[must_use]
    pub fn scaled(
        mut self,
        decided: &BTreeMap<String, StageScaling>,
        live: impl Fn(Component) -> Option<i32>,
    ) -> Self {
        let Some(mode) = self.autoscaling.map(|settings| settings.mode) else { return self };
        for stage in Component::STAGES {
            let replicas = match mode {
                AutoscalingMode::Native => decided.get(stage.as_str()).map(|scaling| scaling.replicas),
                // None was ours, in a wipe.
                AutoscalingMode::External => live(stage).map(|replicas| replicas.max(1)),
                AutoscalingMode::Recommend => None,
            };
            if let (Some(replicas), Some(workload)) = (replicas, self.workloads.get_mut(&stage)) {
                workload.replicas = replicas;
            }
        }
        self
    }
}

/// How a workload should run.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Number of pods.
    pub replicas: i32,
    /// The least, where the load decides: what the resource declares.
    pub least: i32,
}

/// Checks everything and returns either all that the builders need or all that is wrong.
///
/// # Errors
/// Every field that cannot be served, not only the first.
pub fn validate(resource: &PaymentPipeline, image: &DefaultImage) -> Result<ValidatedPipeline, Vec<Invalid>> {
    let spec = &resource.spec;
    let mut invalid = Vec::new();
    let namespace = resource.metadata.namespace.clone().unwrap_or_default();
    if namespace.is_empty() {
        invalid.push(Invalid::NoNamespace);
    }
    let name = resource.metadata.name.clone().unwrap_or_default();
    let drain_timeout_ms = duration("drain.timeout", &spec.drain.timeout, &mut invalid);
    let window_ms = duration("accounts.idempotencyWindow", &spec.accounts.idempotency_window, &mut invalid);
    let topics = topics(spec, window_ms, &mut invalid);
    let autoscaling = autoscaling(spec, &mut invalid);
    let upgrade = upgrade_settings(spec, &mut invalid);
    invalid.extend(generator::check(spec));
    let start_from = start_from(spec, &mut invalid);
    let terms = match terms(spec) {
        Ok(terms) if invalid.is_empty() => terms,
        Ok(_) => return Err(invalid),
        Err(wrong) => {
            invalid.extend(wrong);
            return Err(invalid);
        }
    };
    let (image, image_tag, pull_policy) = image_of(spec, image);
    // Rounded up: an id is never forgotten early.
    let idempotency_window_seconds = u32::try_from(window_ms.saturating_add(999) / 1000).unwrap_or(u32::MAX);
    let wipe = resource.annotations().get(WIPE_ANNOTATION).map(|text| Mark::from_text(text));
    Ok(ValidatedPipeline {
        desired: spec.desired_phase,
        pauses: spec.pauses.clone(),
        wipe,
        release: release(resource, image, pull_policy.as_str(), idempotency_window_seconds),
        generator: spec
            .processors
            .generator
            .as_ref()
            .map(|generator| own(1, generator.resources.as_ref(), generator.placement.as_ref())),
        rolled: BTreeMap::new(),
        surging: BTreeSet::new(),
        image_tag,
        bootstrap_servers: spec.kafka.bootstrap_servers.clone(),
        topic_prefix: topic_prefix(&namespace, &name, spec),
        topics,
        found: BTreeMap::new(),
        start_from,
        existing: spec.topics.existing,
        deletion_policy: spec.topics.deletion_policy,
        currency: spec.accounts.currency.clone(),
        accounts: spec.accounts.bootstrap.as_ref().map(|bootstrap| bootstrap.config_map.clone()),
        idempotency_window_seconds,
        terms,
        workloads: workloads(spec),
        upgrade,
        autoscaling,
        drain_timeout_ms,
        drain_on_timeout: spec.drain.on_timeout,
        namespace,
        name,
    })
}

fn upgrade_settings(spec: &PaymentPipelineSpec, invalid: &mut Vec<Invalid>) -> upgrade::Settings {
    let wanted = &spec.upgrade;
    upgrade::Settings {
        strategy: wanted.strategy,
        max_surge: wanted.max_surge,
        step_timeout_ms: duration("upgrade.stepTimeout", &wanted.step_timeout, invalid),
        verify_ms: duration("upgrade.verify", &wanted.verify, invalid),
        inconclusive_after_ms: duration("upgrade.inconclusiveAfter", &wanted.inconclusive_after, invalid),
        max_rejected_increase: f64::from(wanted.max_rejected_increase),
        max_latency: f64::from(wanted.max_latency) / 100.0,
        max_dead_letters: wanted.max_dead_letters,
    }
}

#[allow(clippy::cast_precision_loss)] // milliseconds of less than a thousand years
fn autoscaling(spec: &PaymentPipelineSpec, invalid: &mut Vec<Invalid>) -> Option<autoscale::Settings> {
    let slo = spec.slo.latency_p99.as_deref();
    let latency_p99_ms = slo.map(|text| duration("slo.latencyP99", text, invalid) as f64);
    let wanted = spec.autoscaling.as_ref()?;
    Some(autoscale::Settings {
        mode: wanted.mode,
        max_replicas: wanted.max_replicas,
        utilization: f64::from(wanted.target_utilization) / 100.0,
        catch_up_s: duration("autoscaling.catchUp", &wanted.catch_up, invalid) as f64 / 1000.0,
        cooldown_ms: duration("autoscaling.cooldown", &wanted.cooldown, invalid),
        down_after_ms: duration("autoscaling.scaleDownAfter", &wanted.scale_down_after, invalid),
        latency_p99_ms,
        intake_per_second: spec.limits.intake_per_second.map(f64::from),
    })
}

/// What comes before every topic of the pipeline.
pub fn topic_prefix(namespace: &str, name: &str, spec: &PaymentPipelineSpec) -> String {
    spec.kafka.topic_prefix.clone().unwrap_or_else(|| format!("{namespace}.{name}."))
}

fn start_from(spec: &PaymentPipelineSpec, invalid: &mut Vec<Invalid>) -> StartFrom {
    let incoming = &spec.topics.incoming;
    let Some(text) = incoming.start_from.as_deref() else { return StartFrom::default() };
    StartFrom::parse(text, incoming.partitions).unwrap_or_else(|error| {
        invalid.push(error.into());
        StartFrom::default()
    })
}

fn duration(field: &'static str, value: &str, invalid: &mut Vec<Invalid>) -> i64 {
    parse_ms(value).unwrap_or_else(|| {
        invalid.push(Invalid::Duration { field, value: value.to_owned() });
        0
    })
}

fn image_of(spec: &PaymentPipelineSpec, default: &DefaultImage) -> (String, String, PullPolicy) {
    let own = spec.image.clone().unwrap_or_default();
    let repository = own.repository.unwrap_or_else(|| default.repository.clone());
    let tag = own.tag.unwrap_or_else(|| default.tag.clone());
    let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
    (format!("{repository}{separator}{tag}"), tag, own.pull_policy.unwrap_or(default.pull_policy))
}

fn workloads(spec: &PaymentPipelineSpec) -> BTreeMap<Component, Workload> {
    let of = |replicas| Workload { replicas, least: replicas };
    let mut workloads = BTreeMap::from([
        (Component::Gateway, of(spec.processors.gateway.replicas)),
        (Component::Inflight, of(spec.processors.inflight.replicas)),
        (Component::Account, of(spec.processors.account.replicas)),
        (Component::Confirmed, of(spec.processors.confirmed.replicas)),
    ]);
    workloads.extend(spec.processors.generator.as_ref().map(|own| (Component::Generator, of(own.replicas))));
    workloads
}

#[cfg(test)]
mod tests;
