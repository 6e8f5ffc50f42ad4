//! `WipeAndUpdate`: what it asks of its pipeline, what goes and what stays, and its status after each look. Pure; the time
//! is an argument.
//!
//! What lies by account (`payment.inflight`, `account.checkpoints`) is made anew with the declared number of partitions.
//! `account.ledger` keeps every record, and grows where it has to. Nothing else is touched: ids and outcomes are found by the
//! partitions of `payment.incoming` and `payment.complete`.

mod report;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_crds::{
    OperationPhase, PaymentPipelineStatus, Phase, PipelineOperationStatus, RecordedAccounts, WipeInventory,
    WipeStage, WipeStatus, WipeStep, WipedTopic,
};
use serde_json::json;

pub use self::report::RebuildReport;
use crate::differ::stable_hash;
use crate::names::{Component, TopicName, group, workload};
use crate::operation::Step;
use crate::topics::{Claims, TopicRefusal, TopicState, is_own, plan};
use crate::validate::ValidatedPipeline;

/// The topics that are deleted and made anew.
pub const DERIVED: [TopicName; 2] = [TopicName::Inflight, TopicName::Checkpoints];

/// What a wipe asks of its pipeline: the value of the annotation `kpay.dev/wipe`, after the operation's uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Be Paused, whatever the spec says.
    Drain,
    /// And have no pod of a stage, and leave the topics alone.
    Stop,
}

impl Mark {
    /// The annotation's value.
    pub fn to_text(self, operation_uid: &str) -> String {
        let word = match self {
            Self::Drain => "Drain",
            Self::Stop => "Stop",
        };
        format!("{operation_uid}/{word}")
    }

    /// What an annotation asks for; anything that is there drains: it may be of a newer operator.
    pub fn from_text(text: &str) -> Self {
        if text.ends_with("/Stop") { Self::Stop } else { Self::Drain }
    }
}

/// Why a pipeline cannot be wiped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WipeRefusal {
    /// A topic is not there.
    #[error("topic {0} is not there; it is made while the pipeline is Running")]
    Missing(String),
    /// A topic that it changes is not the pipeline's own.
    #[error(
        "topic {0} is managed by others (spec.topics.existing: CheckOnly), and a wipe changes it; set spec.topics.existing to Adopt first"
    )]
    Unmanaged(String),
    /// The spec asks for what a wipe does not do.
    #[error("a wipe does not do this: {0}")]
    Refused(TopicRefusal),
}

/// What a wipe of the pipeline would touch, by its topics as they are.
///
/// # Errors
/// When a topic is missing or others manage it, or the spec asks for other partitions of what is not derived.
pub fn inventory(
    pipeline: &ValidatedPipeline,
    claims: &Claims,
    actual: &BTreeMap<String, TopicState>,
) -> Result<WipeInventory, WipeRefusal> {
    let mut refused = plan(pipeline, claims, actual).refusals.into_iter();
    if let Some(refusal) = refused.find(|refusal| !matches!(refusal, TopicRefusal::NeedsWipe { .. })) {
        return Err(WipeRefusal::Refused(refusal));
    }
    let account = group(&pipeline.topic_prefix, Component::Account);
    let mut inventory = WipeInventory {
        groups: vec![format!("{account} on {}", pipeline.topic(TopicName::Inflight))],
        stopped: Component::STAGES.map(|stage| workload(&pipeline.name, stage)).into(),
        ..WipeInventory::default()
    };
    for (name, desired) in &pipeline.topics {
        let topic = pipeline.topic(*name);
        let Some(state) = actual.get(&topic) else { return Err(WipeRefusal::Missing(topic)) };
        let changes = DERIVED.contains(name) || *name == TopicName::Ledger;
        if changes && !claims.get(name).copied().is_some_and(is_own) {
            return Err(WipeRefusal::Unmanaged(topic));
        }
        let wiped = WipedTopic { topic, partitions: state.partitions, becomes: desired.partitions };
        if DERIVED.contains(name) {
            inventory.deleted.push(wiped);
        } else if *name == TopicName::Ledger && state.partitions < desired.partitions {
            inventory.grown.push(wiped);
        } else {
            inventory.kept.push(wiped.topic);
        }
    }
    Ok(inventory)
}

/// What stands for an inventory of this pipeline: 16 hexadecimal digits.
pub fn confirmation(pipeline_uid: &str, inventory: &WipeInventory) -> String {
    stable_hash(&json!({"pipeline": pipeline_uid, "inventory": inventory}))
}

/// What would be done, for people.
pub fn told(status: &WipeStatus) -> String {
    let change =
        |topic: &WipedTopic| format!("{} ({} → {} partitions)", topic.topic, topic.partitions, topic.becomes);
    let list = |topics: &[WipedTopic]| topics.iter().map(change).collect::<Vec<_>>().join(", ");
    let WipeInventory { deleted, grown, kept, .. } = &status.inventory;
    let grown = if grown.is_empty() { String::new() } else { format!("; gets partitions: {}", list(grown)) };
    format!(
        "deleted and made anew: {}{grown}; kept: {}; wipeAndUpdate.confirmation of the operation that does it: {}",
        list(deleted),
        kept.join(", "),
        status.confirmation
    )
}

/// A wipe that begins now.
pub fn begin(inventory: WipeInventory, confirmation: String, now: &Time) -> WipeStatus {
    let planned = |step| WipeStep { step, since: None, until: None, evidence: String::new() };
    let mut steps = WipeStage::ALL.map(planned).to_vec();
    if let Some(first) = steps.first_mut() {
        first.since = Some(now.clone());
    }
    WipeStatus { inventory, confirmation, steps, recorded: None }
}

/// The step that is under way; none before the first and after the last.
pub fn current(status: &PipelineOperationStatus) -> Option<WipeStage> {
    let steps = &status.wipe.as_ref()?.steps;
    steps.iter().find(|step| step.until.is_none()).map(|step| step.step)
}

/// Whether everything can still be taken back.
pub fn is_safe(status: &PipelineOperationStatus) -> bool {
    let done = status.phase.is_some_and(OperationPhase::is_final);
    !done && current(status).is_none_or(WipeStage::is_safe)
}

/// What a look at a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is not through; what it waits for.
    Waits(String),
    /// It is; what was seen.
    Done(String),
    /// It is, and these are the accounts.
    Recorded(RecordedAccounts),
    /// It never will be. Only of a step before the line: nothing was deleted.
    Fails(String),
}

/// The wipe after a look at its current step. The next step is written as begun before anything is done for it.
#[must_use]
pub fn after(mut wipe: WipeStatus, look: Look, now: &Time) -> WipeStatus {
    let Some(at) = wipe.steps.iter().position(|step| step.until.is_none()) else { return wipe };
    let (evidence, done) = match look {
        Look::Waits(why) | Look::Fails(why) => (why, false),
        Look::Done(what) => (what, true),
        Look::Recorded(accounts) => {
            let what = counts(&accounts);
            wipe.recorded = Some(accounts);
            (what, true)
        }
    };
    if let Some(step) = wipe.steps.get_mut(at) {
        step.evidence = evidence;
        step.until = done.then(|| now.clone());
    }
    if let Some(next) = wipe.steps.get_mut(at.saturating_add(1)).filter(|_| done) {
        next.since = Some(now.clone());
    }
    wipe
}

/// Figures of accounts, for people.
pub fn counts(accounts: &RecordedAccounts) -> String {
    let RecordedAccounts { accounts, balances, notes, digest } = accounts;
    let sums: Vec<String> = balances.iter().map(|(currency, minor)| format!("{minor} {currency}")).collect();
    format!("{accounts} accounts with {} in minor units, {notes} notes, digest {digest}", sums.join(", "))
}

/// Whether the drain that the wipe asks for is proven. `asked`: the pipeline that was read has its mark already.
pub fn drained(asked: bool, status: &PaymentPipelineStatus) -> Look {
    let phase = status.phase.unwrap_or(Phase::Pending);
    let proof = status.conditions.iter().find(|condition| condition.type_ == "Drained");
    match (proof, &status.drain_timed_out) {
        (Some(_), Some(out)) if asked => Look::Fails(format!(
            "the drain took longer than spec.drain.timeout, and spec.drain.onTimeout {:?} did not wait for its proof: {}; find \
             out what is stuck, or set onTimeout to Hold, and make another operation",
            out.action, out.stuck
        )),
        (Some(proof), None) if asked && phase == Phase::Paused && proof.status == "True" => {
            Look::Done(format!("nothing is in flight, by epoch {}", status.epoch))
        }
        (Some(proof), None) if asked => Look::Waits(format!("the pipeline is {phase}: {}", proof.message)),
        _ => Look::Waits("the pipeline is told to stop its intake".to_owned()),
    }
}

/// What becomes of a wipe whose pipeline is not there any more; `why` says so. Past the line the pipeline is kept until it
/// is through, so that only force takes it away: what was copied is still there, should it be made again.
pub fn gone(status: &PipelineOperationStatus, why: String, now: &Time) -> Step {
    match (status.wipe.clone(), current(status)) {
        (Some(wipe), Some(WipeStage::Resume)) => {
            let done = Look::Done("the pipeline was deleted; its topics have every account".to_owned());
            Step::Wipes(Box::new(after(wipe, done, now)))
        }
        (Some(_), Some(stage)) if !stage.is_safe() => Step::Waits(why),
        _ => Step::Fails(why),
    }
}

/// What the rebuilt accounts come to, against those that were recorded.
pub fn compared(recorded: Option<&RecordedAccounts>, rebuilt: &RecordedAccounts) -> Look {
    match recorded {
        Some(recorded) if recorded == rebuilt => {
            Look::Done(format!("equal to what was recorded: {}", counts(rebuilt)))
        }
        Some(recorded) => Look::Waits(format!(
            "NOT equal to what was recorded, so that nothing goes on: rebuilt {}; recorded {}",
            counts(rebuilt),
            counts(recorded)
        )),
        None => Look::Waits("nothing was recorded, so that nothing goes on".to_owned()),
    }
}

#[cfg(test)]
mod tests;
