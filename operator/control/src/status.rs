//! The status that follows from what was observed and decided. Pure; the time is an argument.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kpay_crds::{
    AccountsBootstrapStatus, AutoscalingMode, BootstrapState, DesiredPhase, DrainTimedOut,
    DrainTimeoutAction, PaymentPipelineStatus, Phase, Release, StageScaling, StepState, TopicReport,
    UpgradeState, UpgradeStatus, WorkloadReport,
};

use crate::drain::Blocker;
use crate::duration::elapsed_ms;
use crate::names::Component;
use crate::pause::{Wanted, holders};
use crate::phase::{Reason, Transition};
use crate::report::{Reports, answered, figures, in_flight, rounded};

/// Reason of `TopicsReady` while the spec asks for what only a `WipeAndUpdate` brings about.
pub const WIPE_REQUIRED: &str = "WipeRequired";
/// The condition of what is wrong.
const DEGRADED: &str = "Degraded";
/// The most blockers that a message lists; the rest is counted.
const BLOCKERS_LISTED: usize = 5;

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `Some(true)`: True, `None`: Unknown.
    pub status: Option<bool>,
    /// One CamelCase word.
    pub reason: &'static str,
    /// What is so and what to do about it.
    pub message: String,
}

impl Verdict {
    /// A verdict.
    pub fn new(status: Option<bool>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
}

/// All that the status is made of.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// Now.
    pub now: Time,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// What it should do, and what keeps it from running.
    pub wanted: &'a Wanted,
    /// A change of phase, if there is one.
    pub transition: Option<Transition>,
    /// What the pods said.
    pub reports: &'a Reports,
    /// Whether every partition was reported, so that sums over pods are whole.
    pub reports_whole: bool,
    /// The workloads.
    pub workloads: BTreeMap<Component, WorkloadReport>,
    /// The topics, when they were looked at.
    pub topics: Option<BTreeMap<String, TopicReport>>,
    /// What is said of the topics.
    pub topics_verdict: Verdict,
    /// What is wrong, if anything.
    pub degraded: Option<Verdict>,
    /// What speaks against the drain proof; none when nobody looked.
    pub blockers: Option<&'a [Blocker]>,
    /// What is written down of the pods: the release that is good, and the change that is under way or was the last; none
    /// leaves both.
    pub release: Option<(Release, Option<UpgradeStatus>)>,
    /// Who scales the stages by their load, if anybody does.
    pub autoscaling: Option<AutoscalingMode>,
    /// What was decided for the stages by name; none to leave it at the last decision.
    pub decided: Option<BTreeMap<String, StageScaling>>,
    /// What has become of the accounts that the pipeline begins with, where it begins with any.
    pub accounts: Option<AccountsBootstrapStatus>,
    /// After how long a drain is late.
    pub drain_timeout_ms: i64,
    /// Version to show until pods report one.
    pub image_tag: String,
    /// Before every topic.
    pub topic_prefix: String,
}

/// The next status.
pub fn next(old: &PaymentPipelineStatus, input: &Input<'_>) -> PaymentPipelineStatus {
    let mut status = old.clone();
    if let Some(transition) = input.transition {
        status.phase = Some(transition.to);
        status.epoch = old.epoch.saturating_add(1);
        status.phase_since = Some(input.now.clone());
        status.drain_timed_out = timed_out(transition, old, input);
    }
    if input.wanted.desired == DesiredPhase::Running {
        status.drain_timed_out = None;
    }
    status.holders = holders(&input.wanted.pauses, &old.holders, &input.now);
    status.observed_generation = input.generation;
    status.topic_prefix = Some(input.topic_prefix.clone());
    status.processors = input.workloads.iter().map(|(c, report)| (c.to_string(), report.clone())).collect();
    if let Some(topics) = &input.topics {
        status.topics.clone_from(topics);
    }
    status.version = Some(version(input));
    if input.reports_whole {
        status.in_flight = Some(in_flight(input.reports));
    }
    if let Some(figures) = figures(input.reports) {
        status.per_second = Some(rounded(figures.per_second));
        status.latency_p99_ms = Some(rounded(figures.latency_p99_ms));
        status.confirmed_today = Some(figures.today.amounts());
    }
    if let Some((release, upgrade)) = &input.release {
        status.release = Some(release.clone());
        status.upgrade.clone_from(upgrade);
    }
    match (input.autoscaling, &input.decided) {
        (None, _) => status.autoscaling.clear(),
        (Some(_), Some(decided)) => status.autoscaling.clone_from(decided),
        (Some(_), None) => {}
    }
    status.accounts_bootstrap.clone_from(&input.accounts);
    let phase = status.phase.unwrap_or(Phase::Pending);
    let scaling = input.autoscaling.map(|mode| ("AutoscalingActive", scaling(mode, phase, &status)));
    let verdicts = [
        ("Ready", ready(phase, &status, input)),
        ("Progressing", progressing(phase, input)),
        ("Drained", drained(phase, &status, input)),
        ("TopicsReady", input.topics_verdict.clone()),
        (
            DEGRADED,
            input.degraded.clone().unwrap_or(Verdict::new(Some(false), "AsExpected", "nothing is wrong")),
        ),
    ];
    let upgrade = [("UpgradeReady", upgraded(status.upgrade.as_ref()))];
    let accounts = input.accounts.as_ref().map(|accounts| ("AccountsBootstrapped", bootstrapped(accounts)));
    let verdicts = verdicts.into_iter().chain(upgrade).chain(scaling).chain(accounts);
    status.conditions =
        verdicts.map(|(kind, verdict)| condition(kind, verdict, old, &input.now, input.generation)).collect();
    status
}

/// The status of a pipeline that is being deleted and cannot go, with what is in the way.
pub fn cannot_go(
    old: &PaymentPipelineStatus,
    why: Verdict,
    now: &Time,
    generation: Option<i64>,
) -> PaymentPipelineStatus {
    let mut status = old.clone();
    let told = condition(DEGRADED, why, old, now, generation);
    status.conditions.retain(|condition| condition.type_ != told.type_);
    status.conditions.push(told);
    status
}

/// Whether the pods are what the spec asks for.
fn upgraded(upgrade: Option<&UpgradeStatus>) -> Verdict {
    let Some(up) = upgrade else { return Verdict::new(Some(true), "AsDeclared", "the pods are as declared") };
    let failed = up.failed.as_deref().unwrap_or_default();
    let at = up.steps.iter().position(|step| step.state.is_under_way());
    match up.state {
        UpgradeState::Succeeded => {
            Verdict::new(Some(true), "Succeeded", "the last change of the pods went well")
        }
        UpgradeState::Rolling => {
            let step = at.and_then(|at| Some((at + 1, up.steps.get(at)?)));
            let step = step.map(|(number, step)| {
                let word =
                    if step.state == StepState::Verifying { "payments are watched" } else { &step.evidence };
                format!("{number} of {}, {}: {word}", up.steps.len(), step.workload)
            });
            Verdict::new(Some(false), "Rolling", step.unwrap_or_default())
        }
        UpgradeState::RollingBack => Verdict::new(Some(false), "RollingBack", failed),
        UpgradeState::RolledBack => {
            let again = "the spec is as it was written, and tried again when its pods change";
            Verdict::new(Some(false), "RolledBack", format!("{failed}; {again}"))
        }
    }
}

/// Whether the accounts that the pipeline begins with are there.
fn bootstrapped(accounts: &AccountsBootstrapStatus) -> Verdict {
    let done = accounts.state == BootstrapState::Done;
    Verdict::new(Some(done), accounts.reason.as_str(), accounts.message.clone())
}

/// Whether the stages follow their load.
fn scaling(mode: AutoscalingMode, phase: Phase, status: &PaymentPipelineStatus) -> Verdict {
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

/// The part of a status whose changes are written at once. The rest — figures, and messages that change while
/// a reason stays — is written at intervals.
pub fn steady(status: &PaymentPipelineStatus) -> PaymentPipelineStatus {
    let mut steady = status.clone();
    steady.in_flight = None;
    steady.confirmed_today = None;
    steady.per_second = None;
    steady.latency_p99_ms = None;
    for scaling in steady.autoscaling.values_mut() {
        (scaling.inputs, scaling.shown_per_replica) = (None, None);
        (scaling.reason, scaling.message) = (String::new(), String::new());
        (scaling.fewer_since, scaling.fewer) = (None, None);
    }
    for step in steady.upgrade.iter_mut().flat_map(|upgrade| &mut upgrade.steps) {
        step.evidence.clear();
    }
    for condition in &mut steady.conditions {
        condition.message.clear();
    }
    steady
}

fn version(input: &Input<'_>) -> String {
    let mut versions: Vec<&str> = answered(input.reports).filter_map(|r| r.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.is_empty() { input.image_tag.clone() } else { versions.join(",") }
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

fn ready(phase: Phase, status: &PaymentPipelineStatus, input: &Input<'_>) -> Verdict {
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

fn progressing(phase: Phase, input: &Input<'_>) -> Verdict {
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

fn drained(phase: Phase, status: &PaymentPipelineStatus, input: &Input<'_>) -> Verdict {
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

/// Whether a drain takes longer than `spec.drain.timeout`.
pub fn late(status: &PaymentPipelineStatus, now: &Time, timeout_ms: i64) -> bool {
    let Some(since) = status.phase_since.as_ref().filter(|_| status.phase == Some(Phase::Draining)) else {
        return false;
    };
    elapsed_ms(since, now) > timeout_ms
}

/// Whether the drain that this generation of the spec asks for was given up.
pub fn given_up(status: &PaymentPipelineStatus, generation: Option<i64>) -> bool {
    let timed_out = status.drain_timed_out.as_ref();
    timed_out.is_some_and(|out| out.action == DrainTimeoutAction::Resume && out.generation == generation)
}

/// What is remembered of a drain that was not waited for.
fn timed_out(
    transition: Transition,
    old: &PaymentPipelineStatus,
    input: &Input<'_>,
) -> Option<DrainTimedOut> {
    let action = match transition.reason {
        Reason::DrainGivenUp => DrainTimeoutAction::Resume,
        Reason::DrainForced => DrainTimeoutAction::Force,
        Reason::PaymentsFlow => return old.drain_timed_out.clone(),
        Reason::Created
        | Reason::PipelineReady
        | Reason::DrainRequested
        | Reason::DrainProven
        | Reason::ResumeRequested
        | Reason::SpecInvalid
        | Reason::SpecCorrected => return None,
    };
    let stuck = input.blockers.map_or_else(|| "the pods were not asked".to_owned(), list);
    Some(DrainTimedOut { action, generation: input.generation, stuck })
}

fn list(blockers: &[Blocker]) -> String {
    let listed: Vec<String> = blockers.iter().take(BLOCKERS_LISTED).map(ToString::to_string).collect();
    match blockers.len().saturating_sub(BLOCKERS_LISTED) {
        0 => listed.join("; "),
        more => format!("{}; and {more} more", listed.join("; ")),
    }
}

fn condition(
    kind: &str,
    verdict: Verdict,
    old: &PaymentPipelineStatus,
    now: &Time,
    generation: Option<i64>,
) -> Condition {
    let status = match verdict.status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let before =
        old.conditions.iter().find(|condition| condition.type_ == kind && condition.status == status);
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: verdict.reason.to_owned(),
        message: verdict.message,
        observed_generation: generation,
        last_transition_time: before.map_or_else(|| now.clone(), |c| c.last_transition_time.clone()),
    }
}

#[cfg(test)]
mod tests;
