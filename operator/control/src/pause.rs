//! What a pipeline should do, and what keeps it from running: its desired phase, a wipe or a replacement of its pods, and
//! every pause that somebody holds. Pure; the time is an argument.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_crds::{
    DesiredPhase, HOLDER_BYTES_MAX, Holder, Pause, PaymentPipeline, PaymentPipelineSpec, UpgradeStrategy,
};
use kube::ResourceExt;

use crate::duration::elapsed_ms;
use crate::names::WIPE_ANNOTATION;
use crate::restart::{self, Function};

/// The most holders that a message names; the rest is counted. `status.holders` has them all.
const NAMED_MAX: usize = 5;

/// What a pipeline should do, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// What it should do.
    pub desired: DesiredPhase,
    /// What keeps it from running, each with what ends it, for people.
    pub held: Vec<String>,
    /// The pauses that hold.
    pub pauses: Vec<Pause>,
}

impl Wanted {
    /// What is wanted of a pipeline at this time.
    pub fn of(resource: &PaymentPipeline, now: &Time) -> Self {
        let spec = &resource.spec;
        let pauses: Vec<Pause> = in_force(&spec.pauses, now).cloned().collect();
        let mut held = Vec::new();
        if resource.annotations().contains_key(WIPE_ANNOTATION) {
            held.push("a wipe is under way, see the PipelineOperation".to_owned());
        }
        if drains_to_roll(resource) {
            held.push("pods are being replaced (spec.upgrade.strategy: DrainThenRoll)".to_owned());
        }
        if resource.status.as_ref().is_some_and(|status| restart::function(status) == Function::QueriesOnly) {
            held.push(
                "pods are being replaced (restart.during: QueriesOnly of the PipelineOperation)".to_owned(),
            );
        }
        held.extend(told(&pauses));
        let desired = desired(spec.desired_phase, !held.is_empty());
        if spec.desired_phase != DesiredPhase::Running {
            held.push(format!("spec.desiredPhase is {:?}: set it to Running to resume", spec.desired_phase));
        }
        Self { desired, held, pauses }
    }

    /// A statement, and what keeps the pipeline from running.
    pub fn explains(&self, statement: &str) -> String {
        [statement].into_iter().chain(self.held.iter().map(String::as_str)).collect::<Vec<_>>().join("; ")
    }

    /// How long until the first of the pauses ends.
    pub fn ends_in(&self, now: &Time) -> Option<Duration> {
        let ends = self.pauses.iter().filter_map(|pause| pause.until.as_ref()).min()?;
        // Not before it has ended.
        Some(Duration::from_millis(u64::try_from(elapsed_ms(now, ends)).unwrap_or(0).saturating_add(1)))
    }
}

/// What the spec alone asks for.
pub fn wish(spec: &PaymentPipelineSpec, now: &Time) -> DesiredPhase {
    desired(spec.desired_phase, in_force(&spec.pauses, now).next().is_some())
}

/// What is wanted when that is the desired phase, and somebody holds a pause or not: the last of all lets it run.
pub fn desired(phase: DesiredPhase, is_held: bool) -> DesiredPhase {
    if is_held { DesiredPhase::Paused } else { phase }
}

/// Those of the pauses that have not ended.
pub fn in_force<'a>(pauses: &'a [Pause], now: &Time) -> impl Iterator<Item = &'a Pause> {
    pauses.iter().filter(|pause| !is_over(pause.until.as_ref(), now))
}

/// Whether a pause until then has ended.
pub fn is_over(until: Option<&Time>, now: &Time) -> bool {
    until.is_some_and(|until| until <= now)
}

/// The holders, each with since when it was first seen to hold.
pub fn holders(pauses: &[Pause], before: &[Holder], now: &Time) -> Vec<Holder> {
    let holder = |Pause { holder, reason, until }: &Pause| {
        let known = before.iter().find(|before| before.holder == *holder);
        let since = known.and_then(|known| known.since.clone()).unwrap_or_else(|| now.clone());
        let (holder, reason, until) = (holder.clone(), reason.clone(), until.clone());
        Holder { holder, reason, since: Some(since), until }
    };
    pauses.iter().map(holder).collect()
}

/// Whether a holder may be called so ([`kpay_crds::HOLDER_PATTERN`]).
pub fn is_holder(name: &str) -> bool {
    let at_the_ends = |c: char| c.is_ascii_alphanumeric();
    let within = |c: char| at_the_ends(c) || "-._:@/+".contains(c);
    name.len() <= HOLDER_BYTES_MAX
        && name.starts_with(at_the_ends)
        && name.ends_with(at_the_ends)
        && name.chars().all(within)
}

/// A holder, for people: `alice until 2026-07-25T12:00:00Z (month's end)`.
pub fn describe(holder: &str, reason: Option<&str>, until: Option<&Time>) -> String {
    let until = until.map(|until| format!(" until {}", until.0)).unwrap_or_default();
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!("{holder}{until}{reason}")
}

/// Who holds, and how each lets go.
fn told(pauses: &[Pause]) -> Option<String> {
    let describe = |pause: &Pause| describe(&pause.holder, pause.reason.as_deref(), pause.until.as_ref());
    let mut named: Vec<String> = pauses.iter().take(NAMED_MAX).map(describe).collect();
    let more = pauses.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let how = "each lets go by `kpay resume --holder NAME`, or by taking its entry out of spec.pauses";
    (!named.is_empty()).then(|| format!("held by {}: {how}", named.join(", ")))
}

/// Whether pods are being replaced that must not meet what is in flight.
fn drains_to_roll(resource: &PaymentPipeline) -> bool {
    let upgrade = resource.status.as_ref().and_then(|status| status.upgrade.as_ref());
    resource.spec.upgrade.strategy == UpgradeStrategy::DrainThenRoll
        && upgrade.is_some_and(|upgrade| upgrade.state.is_under_way())
}

#[cfg(test)]
mod tests;
