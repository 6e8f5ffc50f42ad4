//! What has happened since the last look at a change of the pods or an operation, and whether it is over. Pure.

use jiff::Timestamp;
use kpay_crds::{OperationPhase, PaymentPipeline, PipelineOperation, UpgradeState, UpgradeStatus};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::exit::Exit;
use super::overview::{clock, lasted, operation_json, phase_word, step_word};
use super::print::plain;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    at: Option<Timestamp>,
    text: String,
    json: Value,
}

impl Event {
    fn new(at: Option<Timestamp>, text: impl Into<String>, json: Value) -> Self {
        Self { at, text: text.into(), json }
    }

    /// A line for people.
    pub(super) fn line(&self) -> String {
        let at = self.at.map_or_else(|| " ".repeat(9), clock);
        format!("{at}  {}", plain(&self.text))
    }

    /// A line for programs.
    pub(super) fn json(&self) -> String {
        let at = self.at.map(|at| ("at", at.to_string().into()));
        at.map_or_else(|| self.json.clone(), |at| with(self.json.clone(), at)).to_string()
    }
}

/// An object with one field more.
fn with(mut object: Value, (name, value): (&str, Value)) -> Value {
    object.as_object_mut().map(|fields| fields.insert(name.to_owned(), value));
    object
}

/// That a step of a change of the pods or of a wipe has ended, which began and ended at these times.
fn step_ended(what: &str, [from, to]: [Option<Timestamp>; 2], evidence: &str, step: Value) -> Event {
    let took = from.zip(to).map(|(from, to)| format!(" after {}", lasted(from, to)));
    let text = format!("{what}{}: {evidence}", took.unwrap_or_default());
    Event::new(to, text, with(step, ("event", "step".into())))
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended(pub(super) Exit);

/// A change of the pods, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct UpgradeProgress {
    /// Only the restart that this operation asks for, by its uid.
    only: Option<String>,
    /// When the change that is told of began.
    of: Option<Timestamp>,
    ended_steps: usize,
    state: Option<UpgradeState>,
}

impl UpgradeProgress {
    /// Of the change to a release that this operation asks for.
    pub(super) fn of_restart(operation_uid: &str) -> Self {
        Self { only: Some(operation_uid.to_owned()), ..Self::default() }
    }

    /// What is new.
    pub(super) fn see(&mut self, pipeline: &PaymentPipeline) -> Vec<Event> {
        // What there is before a newer spec was looked at is about an older one.
        let status = pipeline.status.as_ref().filter(|_| is_seen(pipeline));
        let up = status.and_then(|status| status.upgrade.as_ref());
        let Some(up) = up.filter(|up| self.is_meant(up)) else { return Vec::new() };
        let mut events = Vec::new();
        let since = up.since.as_ref().map(|at| at.0);
        if self.state.is_none() || self.of != since {
            *self = Self { only: self.only.take(), of: since, ..Self::default() };
            events.push(begun(up));
        }
        let ended: Vec<_> = up.steps.iter().filter(|step| step.until.is_some()).collect();
        for step in ended.iter().skip(self.ended_steps) {
            let times = [&step.since, &step.until].map(|at| at.as_ref().map(|at| at.0));
            let what = format!("{} {}", step.workload, step_word(step.state));
            events.push(step_ended(&what, times, &step.evidence, json!(step)));
        }
        self.ended_steps = ended.len();
        if self.state != Some(up.state) {
            events.extend(turned(up));
        }
        self.state = Some(up.state);
        events
    }

    fn is_meant(&self, up: &UpgradeStatus) -> bool {
        self.only
            .as_deref()
            .is_none_or(|uid| up.to.restart.as_deref().is_some_and(|text| text.starts_with(uid)))
    }
}

/// Whether the newest spec was looked at.
fn is_seen(pipeline: &PaymentPipeline) -> bool {
    let observed = pipeline.status.as_ref().and_then(|status| status.observed_generation);
    observed >= pipeline.metadata.generation
}

fn begun(up: &UpgradeStatus) -> Event {
    let workloads: Vec<&str> = up.steps.iter().map(|step| step.workload.as_str()).collect();
    let text = format!("has begun: {}; {}", workloads.join(" → "), up.changes.join("; "));
    let json = json!({"event": "begun", "workloads": workloads, "changes": up.changes});
    Event::new(up.since.as_ref().map(|at| at.0), text, json)
}

fn turned(up: &UpgradeStatus) -> Option<Event> {
    let (why, until) = (up.failed.clone().unwrap_or_default(), up.until.as_ref().map(|at| at.0));
    let json = |event: &str| json!({"event": event, "failed": up.failed});
    match up.state {
        UpgradeState::Rolling => None,
        UpgradeState::RollingBack => {
            Some(Event::new(None, format!("every workload goes back: {why}"), json("rollingBack")))
        }
        UpgradeState::Succeeded => Some(Event::new(until, "the pods are as declared", json("succeeded"))),
        UpgradeState::RolledBack => {
            Some(Event::new(until, format!("the pods are as before: {why}"), json("rolledBack")))
        }
    }
}

/// Whether the pods are what the newest spec led to, or cannot be; the error says why.
pub(super) fn upgrade_ended(pipeline: &PaymentPipeline) -> Option<(Ended, Option<String>)> {
    let status = pipeline.status.clone().unwrap_or_default();
    if !is_seen(pipeline) {
        return None;
    }
    let wrong = status.conditions.iter().find(|c| c.type_ == "Degraded" && c.reason == "SpecInvalid");
    match (wrong, status.upgrade) {
        (Some(wrong), _) => {
            Some((Ended(Exit::Refused), Some(format!("the spec cannot be served: {}", wrong.message))))
        }
        (None, Some(up)) if up.state.is_under_way() => None,
        (None, Some(up)) if up.state == UpgradeState::RolledBack => Some((Ended(Exit::Refused), None)),
        (None, Some(_)) => Some((Ended(Exit::Done), None)),
        (None, None) => Some((Ended(Exit::Done), Some("no change of the pods is under way".to_owned()))),
    }
}

/// An operation, as far as it was told.
#[derive(Debug, Default)]
pub(super) struct OperationProgress {
    ended_steps: usize,
    phase: Option<OperationPhase>,
    waits: String,
}

impl OperationProgress {
    /// What is new.
    pub(super) fn see(&mut self, operation: &PipelineOperation) -> Vec<Event> {
        let status = operation.status.clone().unwrap_or_default();
        let mut events = Vec::new();
        if status.phase == Some(OperationPhase::Pending) && self.waits != status.message {
            self.waits.clone_from(&status.message);
            events.push(Event::new(
                None,
                status.message.clone(),
                json!({"event": "waits", "message": status.message}),
            ));
        }
        if self.phase != Some(OperationPhase::Running) && status.started_at.is_some() && self.ended_steps == 0
        {
            let text = format!("{} has begun: {}", operation.spec.kind.as_str(), operation.name_any());
            let json = json!({"event": "begun", "operation": operation.name_any()});
            events.push(Event::new(status.started_at.as_ref().map(|at| at.0), text, json));
        }
        let steps = status.wipe.iter().flat_map(|wipe| &wipe.steps).filter(|step| step.until.is_some());
        let ended: Vec<_> = steps.collect();
        for step in ended.iter().skip(self.ended_steps) {
            let times = [&step.since, &step.until].map(|at| at.as_ref().map(|at| at.0));
            let what = format!("{} done", step.step.as_str());
            events.push(step_ended(&what, times, &step.evidence, json!(step)));
        }
        self.ended_steps = ended.len();
        let over = status.phase.is_some_and(OperationPhase::is_final);
        if over && self.phase != status.phase {
            let text = format!("{}: {}", phase_word(operation), status.message);
            let json = with(operation_json(operation), ("event", "ended".into()));
            events.push(Event::new(status.finished_at.as_ref().map(|at| at.0), text, json));
        }
        self.phase = status.phase;
        events
    }
}

/// Whether an operation is over.
pub(super) fn operation_ended(operation: &PipelineOperation) -> Option<Ended> {
    match operation.status.as_ref()?.phase? {
        OperationPhase::Pending | OperationPhase::Running => None,
        OperationPhase::Succeeded => Some(Ended(Exit::Done)),
        OperationPhase::Failed => Some(Ended(Exit::Refused)),
    }
}

#[cfg(test)]
mod tests;
