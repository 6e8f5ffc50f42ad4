//! `Restart`: what it asks of its pipeline, how far it is, and what is left to do when it ends. Pure.
//!
//! What goes on meanwhile is said by the annotation `kpay.dev/restart`, which becomes a part of the release. So it holds
//! just while a change to that release is under way, by what is written in the status: whoever dies, and however the
//! change ends, nothing has to be put back.

use kpay_crds::{
    DrainTimeoutAction, PaymentPipeline, PaymentPipelineStatus, Phase, Release, RestartDuring, StepState,
    UpgradeState, UpgradeStatus,
};
use kube::ResourceExt;

use crate::names::RESTART_ANNOTATION;
use crate::operation::Step;

const QUERIES_ONLY: &str = "QueriesOnly";
const LIMITED_INTAKE: &str = "LimitedIntake=";

/// What of a pipeline goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Function {
    /// Everything.
    #[default]
    Full,
    /// At most so many payments a second are taken in.
    LimitedIntake(u32),
    /// The pipeline is Paused; its state can be asked.
    QueriesOnly,
}

impl Function {
    /// What an operation asks for.
    pub fn of(restart: Option<&kpay_crds::Restart>) -> Self {
        let Some(restart) = restart else { return Self::Full };
        let limit = restart.intake_per_second.and_then(|limit| u32::try_from(limit).ok());
        match restart.during {
            RestartDuring::Full => Self::Full,
            // By the schema there is a limit.
            RestartDuring::LimitedIntake => limit.map_or(Self::Full, Self::LimitedIntake),
            RestartDuring::QueriesOnly => Self::QueriesOnly,
        }
    }

    /// The annotation's value.
    pub fn to_text(self, operation_uid: &str) -> String {
        match self {
            Self::Full => operation_uid.to_owned(),
            Self::LimitedIntake(limit) => format!("{operation_uid}/{LIMITED_INTAKE}{limit}"),
            Self::QueriesOnly => format!("{operation_uid}/{QUERIES_ONLY}"),
        }
    }

    /// What an annotation asks for; one that says nothing of it restarts with everything going on.
    pub fn from_text(text: &str) -> Self {
        let Some((_, word)) = text.rsplit_once('/') else { return Self::Full };
        let limit = word.strip_prefix(LIMITED_INTAKE).and_then(|limit| limit.parse().ok());
        match limit {
            Some(limit) if limit > 0 => Self::LimitedIntake(limit),
            None if word == QUERIES_ONLY => Self::QueriesOnly,
            Some(_) | None => Self::Full,
        }
    }

    /// For people, behind what is done.
    pub fn told(self) -> String {
        match self {
            Self::Full => String::new(),
            Self::LimitedIntake(limit) => {
                format!("; meanwhile at most {limit} payments a second are taken in")
            }
            Self::QueriesOnly => {
                "; meanwhile the pipeline is Paused, and accounts and payments can be asked".to_owned()
            }
        }
    }
}

/// What goes on while one release is brought about in place of another.
pub fn meanwhile(stable: Option<&Release>, to: &Release) -> Function {
    let before = stable.and_then(|release| release.restart.as_ref());
    let asked = to.restart.as_ref().filter(|text| Some(*text) != before);
    asked.map_or(Function::Full, |text| Function::from_text(text))
}

/// What goes on now: less than everything only while a restart that asks for that is under way.
pub fn function(status: &PaymentPipelineStatus) -> Function {
    let up = status.upgrade.as_ref().filter(|up| up.state.is_under_way());
    up.map_or(Function::Full, |up| meanwhile(status.release.as_ref(), &up.to))
}

/// The most records that are taken in now in a second, where the spec declares so many.
pub fn intake_per_second(status: Option<&PaymentPipelineStatus>, declared: Option<u32>) -> Option<u32> {
    match status.map_or(Function::Full, function) {
        Function::LimitedIntake(limit) => Some(declared.map_or(limit, |declared| declared.min(limit))),
        Function::Full | Function::QueriesOnly => declared,
    }
}

/// How far the restart that this annotation asks for is, or `None` while nobody was told of it yet.
pub fn how_far(text: &str, pipeline: &PaymentPipeline) -> Option<Step> {
    let status = pipeline.status.clone().unwrap_or_default();
    let ours = status.upgrade.as_ref().filter(|up| up.to.restart.as_deref() == Some(text));
    let why = |up: &UpgradeStatus| up.failed.clone().unwrap_or_default();
    Some(match ours {
        Some(up) if up.state == UpgradeState::Succeeded => {
            Step::Done(format!("{} workloads restarted", up.steps.len()))
        }
        Some(up) if up.state == UpgradeState::RolledBack => {
            Step::Fails(format!("the pods did not pass: {}", why(up)))
        }
        Some(up) if !has_begun(up) && Function::from_text(text) == Function::QueriesOnly => {
            drains(&status, up)
        }
        Some(up) => Step::Waits(restarted(up)),
        None if pipeline.annotations().get(RESTART_ANNOTATION).is_some_and(|found| found == text) => {
            Step::Waits("waits for the change before it".to_owned())
        }
        None => return None,
    })
}

fn restarted(up: &UpgradeStatus) -> String {
    let at = up.steps.iter().filter(|step| step.until.is_some()).count();
    format!("{at} of {} workloads restarted", up.steps.len())
}

/// A restart whose pods wait for the drain; one that was given up never comes.
fn drains(status: &PaymentPipelineStatus, up: &UpgradeStatus) -> Step {
    let given_up = status.drain_timed_out.as_ref().filter(|out| out.action == DrainTimeoutAction::Resume);
    if let Some(out) = given_up {
        return Step::Fails(format!(
            "no pod was replaced: the pipeline was not drained within spec.drain.timeout (spec.drain.onTimeout: Resume); \
             in the way: {}",
            out.stuck
        ));
    }
    let phase = status.phase.unwrap_or(Phase::Pending);
    let proof = status.conditions.iter().find(|condition| condition.type_ == "Drained");
    let why = proof.filter(|_| phase == Phase::Draining).map(|proof| format!(": {}", proof.message));
    Step::Waits(format!("{}; the pipeline is {phase}{}", restarted(up), why.unwrap_or_default()))
}

/// Whether a pod was replaced, or is being replaced.
fn has_begun(up: &UpgradeStatus) -> bool {
    up.steps.iter().any(|step| step.state != StepState::Planned)
}

/// What is left to do of a restart that is over, or is no longer wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Nothing.
    LetsGo,
    /// Pods are being replaced: it goes on to its end.
    GoesOn,
    /// The annotation gets back the value that it had: nothing is restarted any more.
    TakesBack(Option<String>),
}

/// What is left to do of the restart that this annotation asks for.
pub fn leaving(text: &str, pipeline: &PaymentPipeline) -> Leaving {
    let status = pipeline.status.clone().unwrap_or_default();
    let stable = status.release.and_then(|release| release.restart);
    let asked = pipeline.annotations().get(RESTART_ANNOTATION).is_some_and(|found| found == text);
    if !asked || stable.as_deref() == Some(text) {
        return Leaving::LetsGo;
    }
    let ours = status.upgrade.filter(|up| up.to.restart.as_deref() == Some(text));
    if ours.is_some_and(|up| up.state.is_under_way() && has_begun(&up)) {
        return Leaving::GoesOn;
    }
    Leaving::TakesBack(stable)
}

#[cfg(test)]
mod tests;
