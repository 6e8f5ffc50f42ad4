//! The resource types of kpay, and the YAML of their `CustomResourceDefinition`s.
//!
//! Nothing else: no client, no clock, no decisions. The operator and the processors both depend on this
//! crate. The doc comment of a field is its `kubectl explain`, so it is written for the person who applies
//! the resource.

#[allow(unreachable_pub)] // the derives make items inside function bodies
mod accounts;
#[allow(unreachable_pub)] // as above
mod autoscaling;
mod generate;
#[allow(unreachable_pub)] // as above
mod generator;
#[allow(unreachable_pub)] // as above
mod image;
#[allow(unreachable_pub)] // as above
mod kafka;
#[allow(unreachable_pub)] // as above
mod operation;
#[allow(unreachable_pub)] // as above
mod pause;
#[allow(unreachable_pub)] // as above
mod pipeline;
#[allow(unreachable_pub)] // as above
mod policy;
#[allow(unreachable_pub)] // as above
mod processors;
#[allow(unreachable_pub)] // as above
mod restart;
#[allow(unreachable_pub)] // as above
mod status;
#[allow(unreachable_pub)] // as above
mod topics;
#[allow(unreachable_pub)] // as above
mod upgrade;
#[allow(unreachable_pub)] // as above
mod wipe;

pub use accounts::{
    AccountsBootstrap, AccountsBootstrapStatus, BootstrapReason, BootstrapState, ConfigMapFile, RefusedLine,
};
pub use autoscaling::{
    Autoscaling, AutoscalingMode, BeforeScaleUp, ScalingInputs, ServiceLevel, StageScaling,
};
pub use generate::{GenerateError, Generated, generated};
pub use generator::{Generator, Skew};
pub use image::{Image, PullPolicy};
pub use kafka::Kafka;
pub use operation::{
    OperationPhase, OperationType, PipelineOperation, PipelineOperationSpec, PipelineOperationStatus,
    ReplayDeadLetters, ReplayReport,
};
pub use pause::{HOLDER_BYTES_MAX, HOLDER_PATTERN, Holder, PAUSES_MAX, Pause, REASON_MAX};
pub use pipeline::{
    Accounts, DesiredPhase, Drain, DrainTimeoutAction, IntakeWhilePaused, PaymentPipeline,
    PaymentPipelineSpec,
};
pub use policy::{Limits, PaymentRule, RuleAction};
pub use processors::{AccountStage, Gateway, Placement, Processors, Resources, Stage, Toleration};
pub use restart::{Restart, RestartDuring};
pub use status::{Amounts, DrainTimedOut, PaymentPipelineStatus, Phase, WorkloadReport};
pub use topics::{
    ConfiguredTopic, DeletionPolicy, ExistingTopics, IncomingTopic, RetainedTopic, Topic, TopicOrigin,
    TopicReport, TopicReportState, Topics,
};
pub use upgrade::{
    Release, ReleaseProcessor, StepState, Upgrade, UpgradeFigures, UpgradeState, UpgradeStatus, UpgradeStep,
    UpgradeStrategy,
};
pub use wipe::{RecordedAccounts, WipeAndUpdate, WipeInventory, WipeStage, WipeStatus, WipeStep, WipedTopic};

#[cfg(test)]
mod tests;
