//! The names that the operator, the processors and the tests agree on (docs/architecture.md). Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Who applies and owns the objects: the field manager and the value of `managed-by`.
pub const MANAGER: &str = "kpay-operator";
/// Label with the pipeline's name, on every object and pod.
pub const PIPELINE_LABEL: &str = "kpay.dev/pipeline";
/// Label with the stage, on every workload and pod.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
/// [`COMPONENT_LABEL`] of the Job that imports the accounts that a pipeline begins with, and of its pods. It is no
/// [`Component`]: it has no port, and nothing waits for it.
pub const BOOTSTRAP: &str = "accounts-bootstrap";
/// Annotation with a hash of what was last applied.
pub const HASH_ANNOTATION: &str = "kpay.dev/desired-hash";
/// Annotation of a pod with the uid of the `ServiceAccount` that its token is for.
pub const IDENTITY_ANNOTATION: &str = "kpay.dev/service-account-uid";
/// Annotation of a pod with what it is made from, as one word.
pub const RELEASE_ANNOTATION: &str = "kpay.dev/release";
/// Annotation of a pipeline: another value restarts every pod, one workload after the other. What follows the last slash may
/// say what goes on meanwhile ([`crate::restart::Function`]).
pub const RESTART_ANNOTATION: &str = "kpay.dev/restart";
/// Finalizer of a restart with restricted function: until nothing is restricted by it any more.
pub const RESTART_FINALIZER: &str = "kpay.dev/restart";
/// Annotation of a pipeline with why its desired phase was set to Paused by the gateway.
pub const PAUSE_REASON_ANNOTATION: &str = "kpay.dev/pause-reason";
/// Annotation of a pipeline that is being wiped: what the operation asks of it.
pub const WIPE_ANNOTATION: &str = "kpay.dev/wipe";
/// Finalizer of an operation that is wiping: until it is through, or has taken everything back.
pub const WIPE_FINALIZER: &str = "kpay.dev/wipe";
/// [`COMPONENT_LABEL`] of the Jobs of a wipe and their pods. They belong to the operation and have no label of a pipeline.
pub const WIPE: &str = "wipe";
/// Where the accounts are while the topics of a pipeline are made anew, after its prefix.
pub const REBUILT_TOPIC: &str = "account.checkpoints.rebuilt";
/// Finalizer of a pipeline whose topics go with it.
pub const TOPICS_FINALIZER: &str = "kpay.dev/topics";

/// Port for control, health, metrics and queries of every pod.
pub const CONTROL_PORT: i32 = 9090;
/// Port of the gateway's public API.
pub const GATEWAY_PORT: i32 = 8080;

/// A kind of pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// The REST gateway.
    Gateway,
    /// The stage that takes payments in.
    Inflight,
    /// The stage that holds the accounts.
    Account,
    /// The stage that closes payments.
    Confirmed,
    /// The load generator, where the spec asks for one.
    Generator,
}

impl Component {
    /// The kinds that take payments in and carry them: every pipeline has them. A generator is like any other client: it
    /// holds nothing, and no phase waits for it.
    pub const REQUIRED: [Self; 4] = [Self::Gateway, Self::Inflight, Self::Account, Self::Confirmed];
    /// The kinds with state: a `StatefulSet` each.
    pub const STAGES: [Self; 3] = [Self::Inflight, Self::Account, Self::Confirmed];

    /// Its name in labels, arguments and group names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Inflight => "inflight",
            Self::Account => "account",
            Self::Confirmed => "confirmed",
            Self::Generator => "generator",
        }
    }

    /// Whether payments need it: one of [`Component::REQUIRED`].
    pub fn required(self) -> bool {
        Self::REQUIRED.contains(&self)
    }

    /// The topic that a stage consumes; the gateway and the generator consume none.
    pub fn input(self) -> Option<TopicName> {
        match self {
            Self::Gateway | Self::Generator => None,
            Self::Inflight => Some(TopicName::Incoming),
            Self::Account => Some(TopicName::Inflight),
            Self::Confirmed => Some(TopicName::Complete),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A topic of the pipeline, without its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicName {
    /// `payment.incoming`
    Incoming,
    /// `payment.inflight`
    Inflight,
    /// `payment.complete`
    Complete,
    /// `payment.confirmed`
    Confirmed,
    /// `account.ledger`
    Ledger,
    /// `account.checkpoints`
    Checkpoints,
    /// `ops.dlq`
    Dlq,
}

impl TopicName {
    /// Every topic.
    pub const ALL: [Self; 7] = [
        Self::Incoming,
        Self::Inflight,
        Self::Complete,
        Self::Confirmed,
        Self::Ledger,
        Self::Checkpoints,
        Self::Dlq,
    ];

    /// The name after the prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "payment.incoming",
            Self::Inflight => "payment.inflight",
            Self::Complete => "payment.complete",
            Self::Confirmed => "payment.confirmed",
            Self::Ledger => "account.ledger",
            Self::Checkpoints => "account.checkpoints",
            Self::Dlq => "ops.dlq",
        }
    }

    /// The field of `spec.topics`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Inflight => "inflight",
            Self::Complete => "complete",
            Self::Confirmed => "confirmed",
            Self::Ledger => "ledger",
            Self::Checkpoints => "checkpoints",
            Self::Dlq => "dlq",
        }
    }
}

/// The name of a workload, its Service and its `PodDisruptionBudget`.
pub fn workload(pipeline: &str, component: Component) -> String {
    format!("{pipeline}-{component}")
}

/// The name of a pod's `ServiceAccount`, and of its `Role` and `RoleBinding`: all but the gateway share one.
pub fn access(pipeline: &str, component: Component) -> String {
    match component {
        Component::Gateway => workload(pipeline, component),
        Component::Inflight | Component::Account | Component::Confirmed | Component::Generator => {
            format!("{pipeline}-processor")
        }
    }
}

/// The name of the Job that imports the accounts of a content, by how its digest begins.
pub fn bootstrap_job(pipeline: &str, digest: &str) -> String {
    format!("{pipeline}-accounts-{digest}")
}

/// The name of a Job of a wipe, by how the operation's uid begins.
pub fn wipe_job(pipeline: &str, task: &str, operation_uid: &str) -> String {
    let uid: String = operation_uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{pipeline}-{task}-{uid}")
}

/// The name of a stage's consumer group.
pub fn group(prefix: &str, component: Component) -> String {
    format!("{prefix}{component}")
}

/// The labels of every object of a pipeline.
pub fn labels(pipeline: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "kpay".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), pipeline.to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned()),
        (PIPELINE_LABEL.to_owned(), pipeline.to_owned()),
    ])
}

/// The labels of a workload, its pods and what belongs to it.
pub fn component_labels(pipeline: &str, component: Component) -> BTreeMap<String, String> {
    let mut labels = labels(pipeline);
    labels.insert(COMPONENT_LABEL.to_owned(), component.to_string());
    labels
}

/// The labels by which a workload, a Service or a budget finds its pods. These can never change.
pub fn selector(pipeline: &str, component: Component) -> BTreeMap<String, String> {
    BTreeMap::from([
        (PIPELINE_LABEL.to_owned(), pipeline.to_owned()),
        (COMPONENT_LABEL.to_owned(), component.to_string()),
    ])
}
