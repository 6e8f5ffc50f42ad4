//! From the raw spec to a `ValidatedPipeline`; past here nobody looks at the spec again. Pure.

use std::collections::BTreeMap;

use kpay_crds::{
    AutoscalingMode, DeletionPolicy, DesiredPhase, DrainTimeoutAction, PaymentPipeline, PaymentPipelineSpec,
    PaymentPipelineStatus, PullPolicy, Release, ReleaseProcessor, StageScaling,
};
use kpay_domain::RuleError;

use crate::autoscale;
use crate::duration::{parse_ms, parse_retention_ms};
use crate::generator;
use crate::names::{Component, TopicName};
use crate::policy::{Terms, terms};
use crate::upgrade::{self, release};

const DAY_MS: i64 = 86_400_000;
/// A dead letter is the record as it came, however large, and headers that tell of it; Kafka's own limit of 1 MiB
/// for a record leaves no room for those.
const DLQ_RECORD_BYTES_MAX: u32 = 2 * 1024 * 1024;

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
    /// What the user wants it to do.
    pub desired: DesiredPhase,
    /// What pods should be made from.
    pub release: Release,
    /// What the generator's pods have of their own, where there is one. They follow the release at once: they hold nothing
    /// that a change could break.
    pub generator: Option<ReleaseProcessor>,
    /// What they are made from while that is being brought about, where it differs.
    pub rolled: BTreeMap<Component, Release>,
    /// Tag or digest alone, the version until pods report one.
    pub image_tag: String,
    /// Kafka.
    pub bootstrap_servers: String,
    /// Before every topic and group.
    pub topic_prefix: String,
    /// What each topic should be.
    pub topics: BTreeMap<TopicName, DesiredTopic>,
    /// Whether topics go when the resource goes.
    pub deletion_policy: DeletionPolicy,
    /// Currency of an account opened without one.
    pub currency: String,
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

    /// Partitions of the topic that a stage consumes; 0 for the gateway and the generator.
    pub fn partitions(&self, component: Component) -> i32 {
        component.input().and_then(|topic| self.topics.get(&topic)).map_or(0, |topic| topic.partitions)
    }

    /// Replicas of a workload.
    pub fn replicas(&self, component: Component) -> i32 {
        self.workloads.get(&component).map_or(0, |workload| workload.replicas)
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
                AutoscalingMode::External => live(stage),
                AutoscalingMode::Recommend => None,
            };
            if let (Some(replicas), Some(workload)) = (replicas, self.workloads.get_mut(&stage)) {
                workload.replicas = replicas;
            }
        }
        self
    }
}

/// What a topic should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTopic {
    /// Number of partitions.
    pub partitions: i32,
    /// Copies of each.
    pub replication: i32,
    /// Settings that differ from the broker's.
    pub config: BTreeMap<String, String>,
}

/// How a workload should run.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Number of pods.
    pub replicas: i32,
    /// The least, where the load decides: what the resource declares.
    pub least: i32,
}

/// What is wrong with a spec, by field, with what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The resource has no namespace, so it did not come from an API server.
    #[error("metadata.namespace: missing; a PaymentPipeline lives in a namespace")]
    NoNamespace,
    /// A duration that cannot be read.
    #[error("spec.{field}: `{value}` is no duration; write a number with ms, s, m, h or d, such as 5m")]
    Duration {
        /// Path of the field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
    /// No currency.
    #[error("spec.accounts.currency: `{value}` is no currency; write three letters such as USD")]
    Currency {
        /// What it holds.
        value: String,
    },
    /// A floor above zero.
    #[error("spec.accounts.overdraftFloor: {value}; 0, or the lowest balance in minor units such as -50000")]
    OverdraftFloor {
        /// What it holds.
        value: i64,
    },
    /// A limit that lets nothing through.
    #[error("spec.limits.{field}: {value}; must be {least} or more, or left out for no limit")]
    TooLow {
        /// Name of the field.
        field: &'static str,
        /// What it holds.
        value: i64,
        /// The least that it can be.
        least: i64,
    },
    /// A generator that cannot run.
    #[error("spec.processors.generator.{field}: {detail}")]
    Generator {
        /// Name of the field.
        field: &'static str,
        /// What would be right.
        detail: String,
    },
    /// A rule that does not compile.
    #[error("spec.rules[{index}].when: {0}", index = .0.index)]
    Rule(RuleError),
    /// A retention that cannot be read.
    #[error(
        "spec.topics.{topic}.retention: `{value}` is no duration; write a number with ms, s, m, h or d, or unlimited"
    )]
    Retention {
        /// Name of the topic's field.
        topic: &'static str,
        /// What it holds.
        value: String,
    },
    /// Ids would be forgotten before the window is over.
    #[error(
        "spec.topics.incoming.retention: shorter than spec.accounts.idempotencyWindow ({window}); make it at least that long"
    )]
    RetentionBelowWindow {
        /// The window as it is written.
        window: String,
    },
    /// A topic setting that kpay sets itself.
    #[error(
        "spec.topics.{topic}.config: `{key}` is set by kpay; remove it (for how long records are kept use `retention`)"
    )]
    ReservedConfig {
        /// Name of the topic's field.
        topic: &'static str,
        /// The setting.
        key: String,
    },
    /// Status and outcome would lie in different partitions.
    #[error(
        "spec.topics.confirmed.partitions: {confirmed}; must equal spec.topics.complete.partitions ({complete})"
    )]
    UnevenPartitions {
        /// Of confirmed.
        confirmed: i32,
        /// Of complete.
        complete: i32,
    },
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
    Ok(ValidatedPipeline {
        desired: spec.desired_phase,
        release: release(resource, image, pull_policy.as_str(), idempotency_window_seconds),
        generator: spec.processors.generator.as_ref().map(|own| ReleaseProcessor {
            workers: 1,
            resources: own.resources.clone().unwrap_or_default(),
            placement: own.placement.clone().unwrap_or_default(),
        }),
        rolled: BTreeMap::new(),
        image_tag,
        bootstrap_servers: spec.kafka.bootstrap_servers.clone(),
        topic_prefix: topic_prefix(&namespace, &name, spec),
        topics,
        deletion_policy: spec.topics.deletion_policy,
        currency: spec.accounts.currency.clone(),
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

fn topics(
    spec: &PaymentPipelineSpec,
    window_ms: i64,
    invalid: &mut Vec<Invalid>,
) -> BTreeMap<TopicName, DesiredTopic> {
    let t = &spec.topics;
    let entry_partitions = t.inflight.partitions;
    let mut topics = BTreeMap::new();
    for topic in TopicName::ALL {
        let (partitions, retention, config, default_ms) = match topic {
            TopicName::Incoming => (
                t.incoming.partitions,
                &t.incoming.retention,
                &t.incoming.config,
                (7 * DAY_MS).max(window_ms),
            ),
            TopicName::Inflight => (entry_partitions, &t.inflight.retention, &t.inflight.config, 7 * DAY_MS),
            TopicName::Complete => {
                (t.complete.partitions, &t.complete.retention, &t.complete.config, 7 * DAY_MS)
            }
            TopicName::Confirmed => {
                (t.confirmed.partitions, &t.confirmed.retention, &t.confirmed.config, 30 * DAY_MS)
            }
            TopicName::Ledger => (entry_partitions, &t.ledger.retention, &t.ledger.config, -1),
            TopicName::Checkpoints => (entry_partitions, &None, &t.checkpoints.config, -1),
            TopicName::Dlq => (t.dlq.partitions, &t.dlq.retention, &t.dlq.config, 30 * DAY_MS),
        };
        let retention_ms = retention_of(topic, retention.as_deref(), default_ms, invalid);
        if topic == TopicName::Incoming && retention_ms >= 0 && retention_ms < window_ms {
            invalid.push(Invalid::RetentionBelowWindow { window: spec.accounts.idempotency_window.clone() });
        }
        let replication = spec.kafka.replication;
        let config = topic_config(topic, retention_ms, replication, config, invalid);
        topics.insert(topic, DesiredTopic { partitions, replication: i32::from(replication), config });
    }
    if t.confirmed.partitions != t.complete.partitions {
        invalid.push(Invalid::UnevenPartitions {
            confirmed: t.confirmed.partitions,
            complete: t.complete.partitions,
        });
    }
    topics
}

fn retention_of(topic: TopicName, text: Option<&str>, default_ms: i64, invalid: &mut Vec<Invalid>) -> i64 {
    let Some(text) = text else { return default_ms };
    parse_retention_ms(text).unwrap_or_else(|| {
        invalid.push(Invalid::Retention { topic: topic.field(), value: text.to_owned() });
        default_ms
    })
}

fn topic_config(
    topic: TopicName,
    retention_ms: i64,
    replication: i16,
    own: &BTreeMap<String, String>,
    invalid: &mut Vec<Invalid>,
) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    if replication >= 3 {
        config.insert("min.insync.replicas".to_owned(), "2".to_owned());
    }
    if topic == TopicName::Dlq {
        config.insert("max.message.bytes".to_owned(), DLQ_RECORD_BYTES_MAX.to_string());
    }
    // How long an id is known is measured from when the record came, not from when its sender says it was made: a copy
    // with an old timestamp would otherwise be paid again.
    let stamped = "message.timestamp.type";
    for (key, value) in own {
        let stamp = topic == TopicName::Incoming && key == stamped;
        if key == "cleanup.policy" || key == "retention.ms" || stamp {
            invalid.push(Invalid::ReservedConfig { topic: topic.field(), key: key.clone() });
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    if topic == TopicName::Incoming {
        config.insert(stamped.to_owned(), "LogAppendTime".to_owned());
    }
    if topic == TopicName::Checkpoints {
        config.insert("cleanup.policy".to_owned(), "compact".to_owned());
    } else {
        config.insert("cleanup.policy".to_owned(), "delete".to_owned());
        config.insert("retention.ms".to_owned(), retention_ms.to_string());
    }
    config
}

#[cfg(test)]
mod tests;
