//! `PaymentPipeline`: what a person asks for. Pure data with defaults, bounds and CEL rules.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::accounts::AccountsBootstrap;
use crate::autoscaling::{Autoscaling, ServiceLevel};
use crate::image::Image;
use crate::kafka::Kafka;
use crate::pause::{PAUSES_MAX, Pause};
use crate::policy::{Limits, PaymentRule};
use crate::processors::Processors;
use crate::status::PaymentPipelineStatus;
use crate::topics::Topics;
use crate::upgrade::Upgrade;

/// What the pipeline should be.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kpay.dev",
    version = "v1alpha1",
    kind = "PaymentPipeline",
    plural = "paymentpipelines",
    singular = "paymentpipeline",
    shortname = "pp",
    category = "kpay",
    namespaced,
    status = "PaymentPipelineStatus",
    derive = "PartialEq",
    doc = "A pipeline that takes payments from a Kafka topic, moves the money exactly once, and publishes each outcome.",
    annotation("helm.sh/resource-policy", "keep"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 40")
        .message("metadata.name: at most 40 lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit; Services and pods are named after it"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "What the pipeline is doing"),
    printcolumn(name = "Desired", type_ = "string", json_path = ".spec.desiredPhase", description = "What it was asked to do"),
    printcolumn(name = "InFlight", type_ = "integer", json_path = ".status.inFlight.count", description = "Payments accepted and not finished"),
    printcolumn(name = "Conf/s", type_ = "number", json_path = ".status.perSecond", description = "Payments finished per second"),
    printcolumn(name = "P99", type_ = "number", json_path = ".status.latencyP99Ms", description = "99th percentile from accepted to finished, in milliseconds"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "Version that the processors report"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "HeldBy", type_ = "string", json_path = ".spec.pauses[*].holder", description = "The first of those that hold it paused", priority = 1),
    printcolumn(name = "Upgrade", type_ = "string", json_path = ".status.upgrade.state", description = "How the last change of the pods stands", priority = 1),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", description = "Grows with every change of phase", priority = 1),
    printcolumn(name = "Today", type_ = "integer", json_path = ".status.confirmedToday.count", description = "Payments finished today (UTC)", priority = 1),
    printcolumn(name = "Prefix", type_ = "string", json_path = ".status.topicPrefix", description = "Before every topic and group", priority = 1)
)]
#[serde(rename_all = "camelCase")]
pub struct PaymentPipelineSpec {
    /// What the pipeline should do: `Running` takes payments, `Draining` stops the intake and finishes what is in
    /// flight, `Paused` does the same and is reached only when nothing is left in flight. What it is doing is in
    /// `status.phase`. `pauses` is for several that pause it.
    #[serde(default)]
    pub desired_phase: DesiredPhase,

    /// Who holds the pipeline paused, why and until when, whatever `desiredPhase` says: the last one to let go lets it run.
    /// Each holder has an entry of its own, so that several can hold at once. Nobody but people and their tools changes this
    /// list: an entry that has ended stays, and does not count. `status.holders` tells who holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = PAUSES_MAX),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["holder"])
    )]
    pub pauses: Vec<Pause>,

    /// The processors' image. What is left out is the operator's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,

    /// The Kafka cluster that carries the payments.
    pub kafka: Kafka,

    /// Partitions, retention and settings of the pipeline's topics.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self.confirmed.partitions == self.complete.partitions")
        .message("topics.confirmed.partitions must equal topics.complete.partitions: the status of a payment is restored from the partition of the same number"))]
    pub topics: Topics,

    /// What holds for every account.
    #[serde(default)]
    pub accounts: Accounts,

    /// What the gateway does with requests while the pipeline takes no payments in: `Buffer` (default) keeps them in
    /// `payment.incoming` and answers 202 with a note, `Reject` answers 503 with Retry-After, unless it knows the id
    /// already. Records that others write to the topic are always kept. Followed live.
    #[serde(default)]
    pub intake_while_paused: IntakeWhilePaused,

    /// What may be paid, and how fast. Followed live; nothing restarts.
    #[serde(default)]
    pub limits: Limits,

    /// What refuses a payment, or holds it for a person. Judged in order; the first rule that applies decides.
    /// Followed live; where a rule is wrong the processors keep the rules that they have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub rules: Vec<PaymentRule>,

    /// How many processors of each kind, and what each may use.
    #[serde(default)]
    pub processors: Processors,

    /// Scales the stages by their load. Absent: each has `processors.<stage>.replicas` pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,

    /// What the pipeline aims for.
    #[serde(default)]
    pub slo: ServiceLevel,

    /// When a change of the pods is good, and when it is taken back.
    #[serde(default)]
    pub upgrade: Upgrade,

    /// How a drain behaves.
    #[serde(default)]
    pub drain: Drain,
}

/// What a person wants the pipeline to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredPhase {
    /// Take payments and move money.
    #[default]
    Running,
    /// Stop the intake, finish what is in flight, stay so.
    Draining,
    /// Drain, and say so once it is proven that nothing is in flight.
    Paused,
}

/// What becomes of requests while the pipeline takes no payments in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IntakeWhilePaused {
    /// They wait in the topic.
    #[default]
    Buffer,
    /// They are refused, to be sent again later.
    Reject,
}

/// What holds for every account.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accounts {
    /// Currency (ISO 4217) of an account that is opened without one.
    #[serde(default = "defaults::currency")]
    #[schemars(regex(pattern = r"^[A-Z]{3}$"))]
    pub currency: String,
    /// How long a repeated payment id gives the first answer instead of a second payment. `payment.incoming` is
    /// kept at least this long.
    #[serde(default = "defaults::idempotency_window")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$"))]
    pub idempotency_window: String,
    /// How far below zero a payment may take an account, in minor units: 0 or below, such as -50000. Default 0.
    #[serde(default)]
    #[schemars(range(min = -9_000_000_000_000_000_i64, max = 0))]
    pub overdraft_floor: i64,
    /// How long a payment that a rule holds waits for a person before it is refused. Default 7d.
    #[serde(default = "defaults::hold_expiry")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$"))]
    pub hold_expiry: String,
    /// Accounts that are opened once the pipeline is Running. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<AccountsBootstrap>,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            currency: defaults::currency(),
            idempotency_window: defaults::idempotency_window(),
            overdraft_floor: 0,
            hold_expiry: defaults::hold_expiry(),
            bootstrap: None,
        }
    }
}

/// How a drain behaves.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// How long a drain should take at most, such as `30s` or `5m`. Past it `onTimeout` decides, and the Drained
    /// condition says what is stuck and where.
    #[serde(default = "defaults::drain_timeout")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,8}(ms|s|m|h|d)$"))]
    pub timeout: String,
    /// What happens past the timeout. `Hold`: stay Draining and say why, until what is stuck moves or
    /// desiredPhase is Running again. `Resume`: take payments in again; the next change of the spec tries once more.
    /// `Force`: Paused without a proof, and the Drained condition is False and says what may be in flight.
    #[serde(default)]
    pub on_timeout: DrainTimeoutAction,
}

impl Default for Drain {
    fn default() -> Self {
        Self { timeout: defaults::drain_timeout(), on_timeout: DrainTimeoutAction::Hold }
    }
}

/// What happens when a drain takes longer than its timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DrainTimeoutAction {
    /// Stay Draining and say why.
    #[default]
    Hold,
    /// Take payments in again.
    Resume,
    /// Paused without a proof.
    Force,
}

mod defaults {
    pub(super) fn currency() -> String {
        "USD".into()
    }
    pub(super) fn idempotency_window() -> String {
        "24h".into()
    }
    pub(super) fn hold_expiry() -> String {
        "7d".into()
    }
    pub(super) fn drain_timeout() -> String {
        "5m".into()
    }
}
