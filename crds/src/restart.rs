//! `Restart`: what goes on while every pod is replaced. Pure data with defaults, bounds and CEL rules.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of the pipeline goes on while its pods are replaced.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.during == 'LimitedIntake' || !has(self.intakePerSecond)")
    .message("restart.intakePerSecond: belongs to during: LimitedIntake"))]
#[x_kube(validation = Rule::new("self.during != 'LimitedIntake' || has(self.intakePerSecond)")
    .message("restart.intakePerSecond: is needed with during: LimitedIntake"))]
pub struct Restart {
    /// `Full`: payments go on as ever. `LimitedIntake`: no more than `intakePerSecond` are taken in. `QueriesOnly`: the
    /// pipeline is Paused first and until all pods are replaced; accounts and payments can be asked, and what comes is
    /// buffered or refused as `spec.intakeWhilePaused` of the pipeline says. It ends with the restart, however that ends.
    /// Default `Full`.
    #[serde(default)]
    pub during: RestartDuring,
    /// With `LimitedIntake`: the most records that are taken from `payment.incoming` in a second, all pods together. A
    /// lower `spec.limits.intakePerSecond` of the pipeline holds all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub intake_per_second: Option<i32>,
}

/// How much goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartDuring {
    /// Everything.
    #[default]
    Full,
    /// Everything, with fewer payments.
    LimitedIntake,
    /// No payments.
    QueriesOnly,
}
