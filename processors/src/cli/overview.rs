//! A pipeline of a cluster as its resource tells of it: a tree for people, one object for programs. Pure; the time is an
//! argument.

use jiff::Timestamp;
use kpay_control::pause::describe;
use kpay_control::restart::{Function, function};
use kpay_crds::{
    Amounts, Holder, OperationPhase, PaymentPipeline, PaymentPipelineStatus, PipelineOperation, StepState,
    UpgradeState, UpgradeStatus, WipeStatus,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::pipeline::sum;
use super::tree::Node;
use crate::gateway::dto::Sum;
use crate::pod::pause::Pauses;

/// A pipeline, who pauses it, and what is done to it.
pub(super) struct Overview<'a> {
    pub(super) pipeline: &'a PaymentPipeline,
    /// Those of this pipeline that have not ended.
    pub(super) operations: &'a [PipelineOperation],
    pub(super) now: Timestamp,
}

impl Overview<'_> {
    /// For programs: the status as the resource has it, with what it is wanted to do and by whom, and the operations.
    pub(super) fn json(&self) -> Value {
        let mut all = serde_json::to_value(self.status()).unwrap_or_default();
        let pause = self.pauses().by_phase.unwrap_or_default();
        let more = [
            ("namespace", json!(self.pipeline.namespace())),
            ("name", json!(self.pipeline.name_any())),
            ("generation", json!(self.pipeline.metadata.generation)),
            ("desiredPhase", json!(self.pipeline.spec.desired_phase)),
            ("pausedBy", json!(pause.by)),
            ("reason", json!(pause.reason)),
            ("since", json!(pause.since.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()))),
            ("operations", self.operations.iter().map(operation_json).collect()),
        ];
        if let Some(fields) = all.as_object_mut() {
            let there = more.into_iter().filter(|(_, value)| !value.is_null());
            fields.extend(there.map(|(name, value)| (name.to_owned(), value)));
        }
        all
    }

    /// For people.
    pub(super) fn tree(&self) -> String {
        let status = self.status();
        let (name, namespace) = (self.pipeline.name_any(), self.pipeline.namespace().unwrap_or_default());
        let phase = status.phase.map_or("not looked at yet", |phase| phase.as_str());
        let since = status.phase_since.as_ref().map(|since| format!(" since {}", date(since.0)));
        let root =
            format!("{namespace}/{name}: {phase}{}, epoch {}", since.unwrap_or_default(), status.epoch);
        let version = status.version.as_ref().map(|version| Node::new(format!("version: {version}")));
        Node::new(root)
            .with(self.unseen())
            .with([self.desired(), payments(&status)])
            .with(version)
            .with([conditions(&status), processors(&status)])
            .with(status.upgrade.as_ref().map(|up| upgrade(up, &status, self.now)))
            .with(self.operations.iter().map(|operation| operation_node(operation, self.now)))
            .render()
    }

    fn status(&self) -> PaymentPipelineStatus {
        self.pipeline.status.clone().unwrap_or_default()
    }

    fn pauses(&self) -> Pauses {
        Pauses::of(self.pipeline).at(self.now)
    }

    /// A spec that is newer than what is told.
    fn unseen(&self) -> Option<Node> {
        let (written, seen) = (self.pipeline.metadata.generation, self.status().observed_generation);
        let (written, seen) = (written?, seen.unwrap_or_default());
        let text = format!("spec: generation {written} is not looked at yet, what follows is about {seen}");
        (seen < written).then(|| Node::new(text))
    }

    /// What it is wanted to do, and who holds it paused.
    fn desired(&self) -> Node {
        let pauses = self.pauses();
        let desired = format!("desired: {:?}", pauses.desired(self.pipeline.spec.desired_phase));
        let pause = pauses.by_phase.unwrap_or_default();
        let by = pause.by.map(|by| format!(", by {by}")).unwrap_or_default();
        let since = pause.since.map(|since| format!(", since {}", date(since))).unwrap_or_default();
        let why = pause.reason.map(|why| format!(": {why}")).unwrap_or_default();
        let held = |one: &Holder| {
            let told = describe(&one.holder, one.reason.as_deref(), one.until.as_ref());
            Node::new(format!("held by {told}"))
        };
        Node::new(format!("{desired}{by}{since}{why}")).with(pauses.holders.iter().map(held))
    }
}

fn payments(status: &PaymentPipelineStatus) -> Node {
    let told =
        |amounts: Option<&Amounts>, what: &str| amounts.map(|amounts| format!("{} {what}", worth(amounts)));
    let parts = [
        told(status.in_flight.as_ref(), "in flight"),
        told(status.confirmed_today.as_ref(), "confirmed today"),
        status.per_second.map(|rate| format!("{rate}/s")),
        status.latency_p99_ms.map(|p99| format!("p99 {p99} ms")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let text = if parts.is_empty() { "not known yet".to_owned() } else { parts.join(", ") };
    Node::new(format!("payments: {text}"))
}

fn worth(amounts: &Amounts) -> String {
    let value = amounts.value.iter().map(|(currency, minor)| (currency.clone(), i128::from(*minor)));
    sum(&Sum { count: amounts.count, value: value.collect() })
}

fn conditions(status: &PaymentPipelineStatus) -> Node {
    let each = status.conditions.iter().map(|condition| {
        let (kind, is, reason) = (&condition.type_, &condition.status, &condition.reason);
        Node::new(format!("{kind}: {is}, {reason}: {}", condition.message))
    });
    Node::new("conditions").with(each)
}

fn processors(status: &PaymentPipelineStatus) -> Node {
    let each = status.processors.iter().map(|(name, workload)| {
        let scaling = status.autoscaling.get(name);
        let scaling = scaling.map(|scaling| {
            Node::new(format!(
                "autoscaling: {} pods, {}: {}",
                scaling.replicas, scaling.reason, scaling.message
            ))
        });
        Node::new(format!("{name}: {}/{} ready", workload.ready, workload.desired)).with(scaling)
    });
    Node::new("processors").with(each)
}

/// A change of the pods: the plan, and how far it is.
fn upgrade(up: &UpgradeStatus, status: &PaymentPipelineStatus, now: Timestamp) -> Node {
    let state = match up.state {
        UpgradeState::Rolling => "under way",
        UpgradeState::RollingBack => "is being taken back",
        UpgradeState::Succeeded => "succeeded",
        UpgradeState::RolledBack => "was taken back",
    };
    let span = span(up.since.as_ref().map(|at| at.0), up.until.as_ref().map(|at| at.0), now);
    let changes = up.changes.iter().map(|change| Node::new(format!("change: {change}")));
    let before = up.before.as_ref().map(|before| {
        let (rate, rejected, p99) = (before.per_second, before.rejected_percent, before.latency_p99_ms);
        Node::new(format!("before: {rate}/s, {rejected} % rejected, p99 {p99} ms"))
    });
    let meanwhile = match function(status) {
        Function::Full => None,
        Function::LimitedIntake(limit) => {
            Some(format!("meanwhile: at most {limit} payments a second are taken in"))
        }
        Function::QueriesOnly => Some("meanwhile: Paused, queries only".to_owned()),
    };
    let steps = up.steps.iter().map(|step| {
        let span = self::span(step.since.as_ref().map(|at| at.0), step.until.as_ref().map(|at| at.0), now);
        let evidence = if step.evidence.is_empty() { String::new() } else { format!(": {}", step.evidence) };
        Node::new(format!("{}: {}{span}{evidence}", step.workload, step_word(step.state)))
    });
    Node::new(format!("upgrade: {state}{span}"))
        .with(up.failed.as_ref().map(|why| Node::new(format!("failed: {why}"))))
        .with(changes)
        .with(before)
        .with(meanwhile.map(Node::new))
        .with(steps)
}

/// How a step stands.
pub(super) fn step_word(state: StepState) -> &'static str {
    match state {
        StepState::Planned => "planned",
        StepState::Rolling => "pods are being replaced",
        StepState::Verifying => "payments are watched",
        StepState::Passed => "passed",
        StepState::Inconclusive => "inconclusive",
        StepState::Failed => "failed",
    }
}

/// How an operation stands, for people.
pub(super) fn operation_node(operation: &PipelineOperation, now: Timestamp) -> Node {
    let status = operation.status.clone().unwrap_or_default();
    let (name, kind) = (operation.name_any(), operation.spec.kind.as_str());
    let span = span(status.started_at.map(|at| at.0), status.finished_at.map(|at| at.0), now);
    let root = format!("operation {name}: {kind}, {}{span}: {}", phase_word(operation), status.message);
    let by = operation.spec.by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
    Node::new(root)
        .with([Node::new(format!("reason: {}{by}", operation.spec.reason))])
        .with(status.wipe.iter().flat_map(|wipe| wipe_nodes(wipe, now)))
}

/// The phase of an operation, also of one that nobody has looked at.
pub(super) fn phase_word(operation: &PipelineOperation) -> &'static str {
    match operation.status.as_ref().and_then(|status| status.phase) {
        None | Some(OperationPhase::Pending) => "Pending",
        Some(OperationPhase::Running) => "Running",
        Some(OperationPhase::Succeeded) => "Succeeded",
        Some(OperationPhase::Failed) => "Failed",
    }
}

fn wipe_nodes(wipe: &WipeStatus, now: Timestamp) -> Vec<Node> {
    let steps = wipe.steps.iter().map(|step| {
        let span = span(step.since.as_ref().map(|at| at.0), step.until.as_ref().map(|at| at.0), now);
        let word = match (&step.since, &step.until) {
            (_, Some(_)) => "done",
            (Some(_), None) => "under way",
            (None, None) => "planned",
        };
        let evidence = if step.evidence.is_empty() { String::new() } else { format!(": {}", step.evidence) };
        Node::new(format!("{}: {word}{span}{evidence}", step.step.as_str()))
    });
    steps.collect()
}

/// What a dry run of a wipe has listed.
pub(super) fn inventory(wipe: &WipeStatus) -> String {
    let list = &wipe.inventory;
    let topics = |title: &str, topics: &[kpay_crds::WipedTopic]| {
        let each = topics.iter().map(|topic| {
            Node::new(format!("{}: {} → {} partitions", topic.topic, topic.partitions, topic.becomes))
        });
        (!topics.is_empty()).then(|| Node::new(title).with(each))
    };
    let names = |title: &str, names: &[String]| {
        (!names.is_empty()).then(|| Node::new(title).with(names.iter().map(Node::new)))
    };
    Node::new("a wipe would do this")
        .with(topics("deleted and made anew", &list.deleted))
        .with(topics("gets partitions, and keeps every record", &list.grown))
        .with(names("stays as it is", &list.kept))
        .with(names("begins anew", &list.groups))
        .with(names("has no pod meanwhile", &list.stopped))
        .render()
}

/// An operation for programs.
pub(super) fn operation_json(operation: &PipelineOperation) -> Value {
    json!({"name": operation.name_any(), "spec": operation.spec, "status": operation.status})
}

/// ` at … (how long)` of what has begun.
fn span(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> String {
    match (since, until) {
        (Some(since), Some(until)) => format!(" {} ({})", clock(until), lasted(since, until)),
        (Some(since), None) => format!(" since {} ({})", clock(since), lasted(since, now)),
        (None, Some(until)) => format!(" {}", clock(until)),
        (None, None) => String::new(),
    }
}

/// Date and time, UTC.
pub(super) fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The time of the day, UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// How long something took, in the units that matter.
pub(super) fn lasted(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600.. => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests;
