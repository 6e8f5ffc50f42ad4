//! The step machine of a change of the pods: which release each workload's pods have, and what follows from what was seen
//! of them. Pure; all that is remembered is in the status, where each step is written before it is carried out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_crds::{
    PaymentPipeline, PaymentPipelineStatus, Phase, Placement, Release, ReleaseProcessor, Resources, Stage,
    StepState, UpgradeFigures, UpgradeState, UpgradeStatus, UpgradeStep, UpgradeStrategy,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::differ::stable_hash;
use crate::duration::elapsed_ms;
use crate::names::{Component, RESTART_ANNOTATION};
use crate::restart::{Function, meanwhile};

mod gate;

pub use gate::Settings;
use gate::{FIGURES_MS, Gate, judge};

/// Downstream first, so that nobody reads what a newer writer has written; the gateway asks all of them.
const ORDER: [Component; 4] =
    [Component::Confirmed, Component::Account, Component::Inflight, Component::Gateway];

/// How the pods of a workload are, as the API server tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// The [`revision`] that its pods are being brought to.
    pub revision: String,
    /// Whether all pods have it and are ready, and none of another is left.
    pub done: bool,
    /// A pod of that revision that does not start, and why.
    pub trouble: Option<String>,
    /// `ready/wanted`, for people.
    pub count: String,
}

/// What a decision rests on.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The workloads' pods.
    pub rollout: &'a dyn Fn(Component) -> Rollout,
    /// How payments go; none when the confirmed stage says nothing.
    pub figures: Option<&'a UpgradeFigures>,
    /// Payments that are accepted and not finished.
    pub in_flight: i64,
    /// Whether the pipeline has ever been beyond Pending: before that there is nothing to be careful with.
    pub started: bool,
    /// Whether payments are taken in.
    pub running: bool,
    /// Whether nothing is in flight.
    pub paused: bool,
}

/// What a workload's pods are made from, as one word.
pub fn revision(release: &Release, component: Component) -> String {
    let own = release.processors.get(component.as_str());
    stable_hash(&json!({"release": common(release), "own": own}))
}

fn common(release: &Release) -> Value {
    json!(Release { processors: BTreeMap::new(), ..release.clone() })
}

/// The release that a workload's pods have by what is written down.
pub fn release_of<'a>(
    status: &'a PaymentPipelineStatus,
    desired: &'a Release,
    component: Component,
) -> &'a Release {
    let Some(stable) = &status.release else { return desired };
    let touched = |up: &&UpgradeStatus| {
        up.state == UpgradeState::Rolling
            && step_of(up, component).is_some_and(|step| step.state != StepState::Planned)
    };
    status.upgrade.as_ref().filter(touched).map_or(stable, |up| &up.to)
}

/// Whether the pods of a workload are being replaced while payments go on, so that one more takes over from each. On the way
/// back there is none: for want of room for it the change may have failed.
pub fn is_replaced(status: &PaymentPipelineStatus, component: Component) -> bool {
    let running = status.phase == Some(Phase::Running);
    let rolling = status.upgrade.as_ref().filter(|up| running && up.state == UpgradeState::Rolling);
    let step = rolling.and_then(|up| step_of(up, component));
    // Not any more once all were ready, whatever becomes of them then.
    step.is_some_and(|step| step.state == StepState::Rolling && step.ready_since.is_none())
}

/// What is written down next: the release that is known to be good, and the change that is under way or was the last.
pub fn decide(
    status: &PaymentPipelineStatus,
    desired: &Release,
    seen: &Seen<'_>,
    settings: &Settings,
    now: &Time,
) -> (Release, Option<UpgradeStatus>) {
    let Some(stable) = status.release.as_ref().filter(|_| seen.started) else {
        return (desired.clone(), None);
    };
    let machine = Machine { stable, desired, seen, settings, now };
    match &status.upgrade {
        Some(up) if up.state == UpgradeState::Rolling && up.to == *desired => machine.roll(up.clone()),
        Some(up) if up.state == UpgradeState::Rolling => {
            (stable.clone(), Some(machine.fail(up.clone(), "the spec was changed before it was through")))
        }
        Some(up) if up.state == UpgradeState::RollingBack => {
            (stable.clone(), Some(machine.go_back(up.clone())))
        }
        Some(up) if up.state == UpgradeState::RolledBack && up.to == *desired => {
            (stable.clone(), Some(up.clone()))
        }
        last if desired == stable => (stable.clone(), last.clone()),
        _ => machine.begin(),
    }
}

/// Whether how payments go decides what is written down next: before the first step, and once the pods of one are there.
/// Only then does anybody have to be asked.
pub fn watches(status: &PaymentPipelineStatus) -> bool {
    let rolling = status.upgrade.as_ref().filter(|up| up.state == UpgradeState::Rolling);
    rolling.is_some_and(|up| up.steps.iter().all(|step| step.state != StepState::Rolling))
}

fn step_of(up: &UpgradeStatus, component: Component) -> Option<&UpgradeStep> {
    up.steps.iter().find(|step| step.workload == component.as_str())
}

fn component_of(step: &UpgradeStep) -> Option<Component> {
    ORDER.into_iter().find(|component| component.as_str() == step.workload)
}

struct Machine<'a> {
    stable: &'a Release,
    desired: &'a Release,
    seen: &'a Seen<'a>,
    settings: &'a Settings,
    now: &'a Time,
}

impl Machine<'_> {
    fn begin(&self) -> (Release, Option<UpgradeStatus>) {
        let changes = |c: &Component| revision(self.stable, *c) != revision(self.desired, *c);
        let steps: Vec<UpgradeStep> = ORDER
            .into_iter()
            .filter(changes)
            .map(|c| UpgradeStep { workload: c.to_string(), ..UpgradeStep::default() })
            .collect();
        if steps.is_empty() {
            return (self.desired.clone(), None);
        }
        let up = UpgradeStatus {
            state: UpgradeState::Rolling,
            to: self.desired.clone(),
            changes: differences(&json!(self.stable), &json!(self.desired), ""),
            steps,
            since: Some(self.now.clone()),
            ..UpgradeStatus::default()
        };
        (self.stable.clone(), Some(up))
    }

    fn start(&self, step: &mut UpgradeStep) {
        step.state = StepState::Rolling;
        step.since = Some(self.now.clone());
    }

    /// One look at how payments go before anything moves, for as long as after each step. Whether it can begin.
    fn preflight(&self, up: &mut UpgradeStatus) -> bool {
        let queries_only = meanwhile(Some(self.stable), &up.to) == Function::QueriesOnly;
        if queries_only || self.settings.strategy == UpgradeStrategy::DrainThenRoll {
            return self.seen.paused;
        }
        let watched = self.passed(up.since.as_ref());
        up.before = self.seen.figures.filter(|_| self.seen.running).cloned();
        let known = up.before.is_some() && watched >= self.settings.verify_ms;
        known || !self.seen.running || watched >= self.settings.inconclusive_after_ms
    }

    /// One look at the step that is under way.
    fn roll(&self, mut up: UpgradeStatus) -> (Release, Option<UpgradeStatus>) {
        if up.steps.iter().all(|step| step.state == StepState::Planned) {
            if self.preflight(&mut up)
                && let Some(first) = up.steps.first_mut()
            {
                self.start(first);
            }
            return (self.stable.clone(), Some(up));
        }
        let before = up.before.clone();
        let ended = up
            .steps
            .iter_mut()
            .find(|step| step.state.is_under_way())
            .map(|step| self.look(step, before.as_ref()));
        match ended {
            Some(Ok(false)) => (self.stable.clone(), Some(up)),
            Some(Err(why)) => (self.stable.clone(), Some(self.fail(up, &why))),
            Some(Ok(true)) | None => {
                if let Some(next) = up.steps.iter_mut().find(|step| step.state == StepState::Planned) {
                    self.start(next);
                    return (self.stable.clone(), Some(up));
                }
                up.state = UpgradeState::Succeeded;
                up.until = Some(self.now.clone());
                (up.to.clone(), Some(up))
            }
        }
    }

    /// Whether the step has ended; an error says which gate it did not pass.
    fn look(&self, step: &mut UpgradeStep, before: Option<&UpgradeFigures>) -> Result<bool, String> {
        let Some(component) = component_of(step) else { return Ok(true) };
        let rollout = (self.seen.rollout)(component);
        let ours = rollout.revision == revision(self.desired, component);
        if let Some(trouble) = rollout.trouble.filter(|_| ours) {
            return Err(trouble);
        }
        if !(ours && rollout.done) {
            step.state = StepState::Rolling;
            step.evidence = format!("ready {}", rollout.count);
            return if self.passed(step.since.as_ref()) > self.settings.step_timeout_ms {
                let seconds = self.settings.step_timeout_ms / 1000;
                Err(format!("not all pods were replaced and ready after {seconds} s: {}", rollout.count))
            } else {
                Ok(false)
            };
        }
        if step.state == StepState::Rolling {
            step.state = StepState::Verifying;
            step.ready_since = Some(self.now.clone());
        }
        self.verify(step, before)
    }

    fn verify(&self, step: &mut UpgradeStep, before: Option<&UpgradeFigures>) -> Result<bool, String> {
        let mut end = |state, evidence: String| {
            (step.state, step.evidence, step.until) = (state, evidence, Some(self.now.clone()));
            Ok(true)
        };
        if !self.seen.running {
            return end(StepState::Inconclusive, "the pipeline does not take payments".to_owned());
        }
        let watched = self.passed(step.ready_since.as_ref());
        if watched < self.settings.verify_ms {
            return Ok(false);
        }
        let late = watched >= self.settings.verify_ms.saturating_add(self.settings.inconclusive_after_ms);
        match judge(before, self.seen.figures, self.settings) {
            Gate::Passes(evidence) => end(StepState::Passed, evidence),
            // What the replacement itself has slowed down passes by; what is wrong with the release stays.
            Gate::Fails(_) if watched < self.settings.verify_ms.saturating_mul(2) => Ok(false),
            Gate::Fails(why) => Err(why),
            Gate::Silent if late => Err("the confirmed stage tells no figures".to_owned()),
            Gate::Idle if late && self.seen.in_flight > 0 => {
                // Only a whole window of figures since the replacement tells that payments stand still.
                if watched < FIGURES_MS {
                    return Ok(false);
                }
                Err(format!("{} payments are in flight and none is finished", self.seen.in_flight))
            }
            Gate::Idle if late => end(StepState::Inconclusive, "there were no payments to watch".to_owned()),
            Gate::Silent | Gate::Idle => Ok(false),
        }
    }

    fn passed(&self, since: Option<&Time>) -> i64 {
        since.map_or(0, |at| elapsed_ms(at, self.now))
    }

    /// Every workload goes back.
    fn fail(&self, mut up: UpgradeStatus, why: &str) -> UpgradeStatus {
        let mut failed = why.to_owned();
        if let Some(step) = up.steps.iter_mut().find(|step| step.state.is_under_way()) {
            step.state = StepState::Failed;
            step.until = Some(self.now.clone());
            why.clone_into(&mut step.evidence);
            failed = format!("{}: {why}", step.workload);
        }
        UpgradeStatus { state: UpgradeState::RollingBack, failed: Some(failed), ..up }
    }

    fn go_back(&self, up: UpgradeStatus) -> UpgradeStatus {
        let back = |step: &UpgradeStep| {
            component_of(step).is_none_or(|c| {
                let rollout = (self.seen.rollout)(c);
                rollout.done && rollout.revision == revision(self.stable, c)
            })
        };
        if up.steps.iter().all(back) {
            return UpgradeStatus { state: UpgradeState::RolledBack, until: Some(self.now.clone()), ..up };
        }
        up
    }
}

/// `path: from → to` of every leaf that differs.
fn differences(from: &Value, to: &Value, path: &str) -> Vec<String> {
    let place = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (from, to) {
        (Value::Object(old), Value::Object(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            let of = |map: &serde_json::Map<String, Value>, key: &String| {
                map.get(key).cloned().unwrap_or_default()
            };
            keys.into_iter().flat_map(|key| differences(&of(old, key), &of(new, key), &place(key))).collect()
        }
        (from, to) if from == to => Vec::new(),
        (from, to) => vec![format!("{path}: {from} → {to}")],
    }
}

/// The release as the resource has it, with what its workloads have of their own.
pub fn release(
    resource: &PaymentPipeline,
    image: String,
    pull_policy: &str,
    idempotency_window_seconds: u32,
) -> Release {
    let spec = &resource.spec;
    let stage = |stage: &Stage| own(stage.workers, stage.resources.as_ref(), stage.placement.as_ref());
    let (gateway, account) = (&spec.processors.gateway, &spec.processors.account);
    let processors = [
        (Component::Gateway, own(1, gateway.resources.as_ref(), gateway.placement.as_ref())),
        (Component::Inflight, stage(&spec.processors.inflight)),
        (Component::Account, own(account.workers, account.resources.as_ref(), account.placement.as_ref())),
        (Component::Confirmed, stage(&spec.processors.confirmed)),
    ];
    Release {
        image,
        pull_policy: pull_policy.to_owned(),
        pull_secrets: spec.image.as_ref().map(|image| image.pull_secrets.clone()).unwrap_or_default(),
        bootstrap_servers: spec.kafka.bootstrap_servers.clone(),
        currency: spec.accounts.currency.clone(),
        idempotency_window_seconds,
        restart: resource.annotations().get(RESTART_ANNOTATION).cloned(),
        processors: processors.into_iter().map(|(c, own)| (c.to_string(), own)).collect(),
    }
}

/// What the pods of one workload have of their own.
pub fn own(workers: i32, resources: Option<&Resources>, placement: Option<&Placement>) -> ReleaseProcessor {
    ReleaseProcessor {
        workers,
        resources: resources.cloned().unwrap_or_default(),
        placement: placement.cloned().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
