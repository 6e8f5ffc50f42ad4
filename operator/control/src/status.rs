//! The status that follows from what was observed and decided. Pure; the time is an argument.

mod conditions;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kpay_crds::{
    AccountsBootstrapStatus, AutoscalingMode, DesiredPhase, DrainTimedOut, DrainTimeoutAction,
    PaymentPipelineStatus, Phase, Release, StageScaling, TopicReport, UpgradeStatus, WorkloadReport,
};

use self::conditions::{bootstrapped, drained, list, progressing, ready, scaling, upgraded};
use crate::drain::Blocker;
use crate::duration::elapsed_ms;
use crate::names::Component;
use crate::pause::{Wanted, holders};
use crate::phase::{Reason, Transition};
use crate::report::{Reports, answered, figures, in_flight, rounded};

/// Reason of `TopicsReady` while the spec asks for what only a `WipeAndUpdate` brings about.
pub const WIPE_REQUIRED: &str = "WipeRequired";
/// The condition of what is wrong.
pub const DEGRADED: &str = "Degraded";

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
