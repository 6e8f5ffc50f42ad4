//! What each condition of a pipeline says, and why. Pure.

use kpay_crds::{
    AccountsBootstrapStatus, AutoscalingMode, BootstrapState, PaymentPipelineStatus, Phase, StepState,
    UpgradeState, UpgradeStatus, UpgradeStep,
};

use super::{Input, Verdict, WIPE_REQUIRED, late};
use crate::drain::Blocker;
use crate::names::Component;

/// The most blockers that a message lists; the rest is counted.
const BLOCKERS_LISTED: usize = 5;

/// Whether the pods are what the spec asks for.
pub(super) fn upgraded(upgrade: Option<&UpgradeStatus>) -> Verdict {
    let Some(up) = upgrade else { return Verdict::new(Some(true), "AsDeclared", "the pods are as declared") };
    let failed = up.failed.as_deref().unwrap_or_default();
    match up.state {
        UpgradeState::Succeeded => {
            Verdict::new(Some(true), "Succeeded", "the last change of the pods went well")
        }
        UpgradeState::Rolling => Verdict::new(Some(false), "Rolling", rolling(&up.steps)),
        UpgradeState::RollingBack => Verdict::new(Some(false), "RollingBack", failed),
        UpgradeState::RolledBack => {
            let again = "the spec is as it was written, and tried again when its pods change";
            Verdict::new(Some(false), "RolledBack", format!("{failed}; {again}"))
        }
    }
}

/// How far an upgrade is: the step that is under way, or how many are done between two.
fn rolling(steps: &[UpgradeStep]) -> String {
    let all = steps.len();
    let under_way = steps.iter().zip(1..).find(|(step, _)| step.state.is_under_way());
    let Some((step, number)) = under_way else {
        let done = steps.iter().filter(|step| step.state != StepState::Planned).count();
        return format!("{done} of {all} workloads are done");
    };
    let word = if step.state == StepState::Verifying { "payments are watched" } else { &step.evidence };
    format!("{number} of {all}, {}: {word}", step.workload)
}

/// Whether the accounts that the pipeline begins with are there.
pub(super) fn bootstrapped(accounts: &AccountsBootstrapStatus) -> Verdict {
    let done = accounts.state == BootstrapState::Done;
    Verdict::new(Some(done), accounts.reason.as_str(), accounts.message.clone())
}

/// Whether the stages follow their load.
pub(super) fn scaling(mode: AutoscalingMode, phase: Phase, status: &PaymentPipelineStatus) -> Verdict {
    let no = |reason, message: &str| Verdict::new(Some(false), reason, message);
    match mode {
        AutoscalingMode::External => {
            return no("External", "replicas are left to an HPA, KEDA or a person (spec.autoscaling.mode)");
        }
        AutoscalingMode::Recommend => {
            return no("RecommendOnly", "status.autoscaling says what would be set (spec.autoscaling.mode)");
        }
        AutoscalingMode::Native => {}
    }
    if phase != Phase::Running {
        return no("NotRunning", "the last decision holds until the pipeline is Running");
    }
    let missing = status.autoscaling.iter().find(|(_, scaling)| scaling.reason == "MetricsMissing");
    if let Some((stage, scaling)) = missing {
        return Verdict::new(None, "MetricsMissing", format!("{stage}: {}", scaling.message));
    }
    let stages: Vec<String> = status
        .autoscaling
        .iter()
        .map(|(stage, scaling)| format!("{stage} {} ({})", scaling.replicas, scaling.reason))
        .collect();
    Verdict::new(Some(true), "Native", stages.join(", "))
}

/// Which of those workloads have fewer pods ready than they should.
fn unready(input: &Input<'_>, of: impl Fn(Component) -> bool) -> Option<String> {
    let waiting: Vec<String> = input
        .workloads
        .iter()
        .filter(|(component, report)| of(**component) && report.ready < report.desired)
        .map(|(component, report)| format!("{component} {}/{}", report.ready, report.desired))
        .collect();
    (!waiting.is_empty()).then(|| format!("pods ready: {}", waiting.join(", ")))
}

pub(super) fn ready(phase: Phase, status: &PaymentPipelineStatus, input: &Input<'_>) -> Verdict {
    let no = |reason, message: String| Verdict::new(Some(false), reason, message);
    if let Some(degraded) = &input.degraded {
        return no(degraded.reason, degraded.message.clone());
    }
    match phase {
        Phase::Running => match unready(input, Component::required) {
            // What waits for a wipe goes on as it is.
            None if input.topics_verdict.status == Some(false)
                && input.topics_verdict.reason != WIPE_REQUIRED =>
            {
                no(input.topics_verdict.reason, input.topics_verdict.message.clone())
            }
            None => Verdict::new(Some(true), "Running", "payments are taken in"),
            Some(message) => no("PodsNotReady", message),
        },
        Phase::Pending => {
            let message =
                unready(input, Component::required).unwrap_or_else(|| input.topics_verdict.message.clone());
            no("Pending", message)
        }
        Phase::Draining => {
            let stopped = "the intake is stopped; what is in flight is being finished";
            no("Draining", input.wanted.explains(stopped))
        }
        Phase::Paused => {
            let flight = if status.drain_timed_out.is_some() {
                "payments may be in flight"
            } else {
                "nothing is in flight"
            };
            no("Paused", input.wanted.explains(flight))
        }
        Phase::Resuming => no("Resuming", "the intake has started again".into()),
        Phase::Failed => no("Failed", "the spec cannot be served; see the Degraded condition".into()),
    }
}

pub(super) fn progressing(phase: Phase, input: &Input<'_>) -> Verdict {
    match phase {
        Phase::Pending | Phase::Draining | Phase::Resuming => {
            let message = format!("{phase}, wanted is {:?}", input.wanted.desired);
            Verdict::new(Some(true), phase.as_str(), input.wanted.explains(&message))
        }
        Phase::Running | Phase::Paused | Phase::Failed => match unready(input, |_| true) {
            Some(message) => Verdict::new(Some(true), "PodsNotReady", message),
            None => Verdict::new(Some(false), "Settled", "nothing is under way"),
        },
    }
}

pub(super) fn drained(phase: Phase, status: &PaymentPipelineStatus, input: &Input<'_>) -> Verdict {
    match (phase, &status.drain_timed_out) {
        (Phase::Paused, Some(out)) => {
            let message = "paused without a proof after spec.drain.timeout (spec.drain.onTimeout: Force); then in the way: ";
            return Verdict::new(Some(false), "Forced", format!("{message}{}", out.stuck));
        }
        (Phase::Resuming | Phase::Running, Some(out)) => {
            let message = "not drained within spec.drain.timeout, so payments are taken in again \
                (spec.drain.onTimeout: Resume); any change of the spec tries once more; then in the way: ";
            return Verdict::new(Some(false), "DrainGivenUp", format!("{message}{}", out.stuck));
        }
        _ => {}
    }
    match phase {
        Phase::Paused => {
            let proven = "every pod has stopped the intake and nothing is in flight";
            Verdict::new(Some(true), "Proven", input.wanted.explains(proven))
        }
        Phase::Draining => match input.blockers {
            // The epoch of this phase is only being written: what was asked was about the one before.
            _ if input.transition.is_some() => {
                Verdict::new(Some(false), "Draining", "the processors are being told to stop the intake")
            }
            None => Verdict::new(None, "Unknown", "the pods have not been asked yet"),
            Some([]) => Verdict::new(Some(true), "Proven", "nothing is in flight"),
            Some(blockers) => {
                let message = list(blockers);
                if late(status, &input.now, input.drain_timeout_ms) {
                    let hold = "past spec.drain.timeout, holding (spec.drain.onTimeout): ";
                    Verdict::new(Some(false), "DrainTimeout", format!("{hold}{message}"))
                } else {
                    Verdict::new(Some(false), "Draining", message)
                }
            }
        },
        Phase::Pending | Phase::Running | Phase::Resuming | Phase::Failed => {
            Verdict::new(Some(false), phase.as_str(), "no drain is under way")
        }
    }
}

pub(super) fn list(blockers: &[Blocker]) -> String {
    let listed: Vec<String> = blockers.iter().take(BLOCKERS_LISTED).map(ToString::to_string).collect();
    match blockers.len().saturating_sub(BLOCKERS_LISTED) {
        0 => listed.join("; "),
        more => format!("{}; and {more} more", listed.join("; ")),
    }
}
