//! What can be wrong with a spec. Pure.

use kpay_domain::RuleError;

use crate::start::StartError;

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
    /// A start that cannot be read.
    #[error("spec.topics.incoming.startFrom: {0}")]
    Start(#[from] StartError),
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
