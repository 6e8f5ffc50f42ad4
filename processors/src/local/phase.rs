//! The operator's phase machine on what this process knows: the file's wish, the reports of its stages, the log. Only
//! gathers; the decisions are `kpay-control`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kpay_control::drain::{Blocker, Evidence, GroupProgress, flowing, prove};
use kpay_control::names::Component;
use kpay_control::phase::{Facts, Reason, next};
use kpay_control::policy::Terms;
use kpay_control::report::{NoReport, Reports, answered};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{DesiredPhase, Phase};
use kpay_domain::Policy;
use kpay_streams::control::Gate;
use tokio::sync::watch;
use tracing::{info, warn};

use super::Local;
use super::epoch::Epoch;
use super::pipeline::Source;
use super::wish::{Kept, Newest, Wished};
use crate::gateway::wish::Granted;
use crate::pod::pause::{Pauses, held};
use crate::pod::phase::Learned;

/// Between two looks, where no wish comes: at the file and, while a phase waits for something, at the stages.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// After so long it is told why a drain has not ended.
const LATE: Duration = Duration::from_secs(3);

/// How far the groups of the stages are.
pub(super) type Progress = Box<dyn Fn(Component) -> GroupProgress + Send + Sync>;

/// Whom the changes are told.
pub(super) struct Tell {
    pub(super) learn: watch::Sender<Option<Learned>>,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) policy: watch::Sender<Arc<Policy>>,
    pub(super) pause: watch::Sender<Arc<Pauses>>,
}

/// Follows the file, what was wished since by the gateway, and the facts, and tells the stages of each new phase. Ends only with the process.
pub(super) async fn drive(
    mut source: Source,
    mut pipeline: ValidatedPipeline,
    mut wishes: Newest,
    mut epoch: Epoch,
    stages: Arc<[Local]>,
    progress: Progress,
    tell: Tell,
) {
    let Tell { learn, gates, policy, pause } = tell;
    let mut phase = None;
    let mut late = Late::default();
    // What was wanted when the drain took too long and was given up.
    let mut given_up = None;
    loop {
        match source.changed() {
            None => {}
            Some(Ok(changed)) => {
                pipeline = follow(pipeline, &changed);
                policy.send_replace(Arc::new(pipeline.terms.policy.clone()));
            }
            Some(Err(error)) => warn!(error = format!("{error:#}"), "the file is not followed"),
        }
        let newest = wishes.look();
        let wanted = wanted(&source, &pipeline, &newest, Timestamp::now());
        let desired = wanted.pauses.desired(wanted.desired);
        pause.send_if_modified(|known| {
            let new = **known != wanted.pauses;
            if new {
                *known = Arc::new(wanted.pauses.clone());
            }
            new
        });
        let (mut facts, blockers) = facts(phase, epoch.last(), &stages, &progress);
        late.look(phase, &blockers);
        facts.late = late.than(pipeline.drain_timeout_ms).then_some(pipeline.drain_on_timeout);
        given_up = given_up.filter(|given_up| *given_up == wanted);
        facts.given_up = given_up.is_some();
        if let Some(transition) = next(phase, desired, facts) {
            let epoch = epoch.grow().await;
            phase = Some(transition.to);
            if transition.reason == Reason::DrainGivenUp {
                given_up = Some(wanted.clone());
            }
            info!(phase = %transition.to, reason = transition.reason.as_str(), epoch, "phase");
        }
        let now = phase.map(|phase| Learned {
            phase,
            epoch: epoch.last(),
            desired: wanted.desired,
            intake_per_second: pipeline.terms.intake_per_second,
            slow_start_ms: pipeline.terms.slow_start_ms,
            rejects_while_closed: pipeline.terms.rejects_while_closed,
        });
        learn.send_if_modified(|learned| std::mem::replace(learned, now) != now);
        if let Some(learned) = now {
            for gate in &gates {
                learned.tell(gate);
            }
        }
        wishes.follow(newest, wanted);
        wishes.changed(LOOK_INTERVAL).await;
    }
}

/// The desired phase is that of the last change; a file tells neither who nor why. Those hold who have a pause in the file
/// or by a gateway.
fn wanted(source: &Source, pipeline: &ValidatedPipeline, newest: &Wished, now: Timestamp) -> Granted {
    let phase = newest.phase.as_ref().filter(|kept| source.is_older_than(kept.file));
    let desired = phase.map_or(pipeline.desired, |kept| kept.desired_phase);
    let by_phase = phase.filter(|_| desired != DesiredPhase::Running).map(Kept::by_phase);
    let in_file = pipeline.pauses.iter().map(held).collect();
    let in_file = Pauses { by_phase: None, holders: in_file }.at(now).holders;
    let mut pauses = Pauses { by_phase, holders: newest.holders.clone() }.at(now);
    for holder in in_file {
        if pauses.holders.iter().all(|known| known.holder != holder.holder) {
            pauses.holders.push(holder);
        }
    }
    Granted { desired, pauses }
}

/// The wish, the limits and the rules are followed at once; the log is as it was made, and the stages as they were
/// started.
fn follow(running: ValidatedPipeline, changed: &ValidatedPipeline) -> ValidatedPipeline {
    // A pod has its currency from its flags.
    let default_currency = running.terms.policy.default_currency;
    let policy = Policy { default_currency, ..changed.terms.policy.clone() };
    let terms = Terms { policy, ..changed.terms };
    let (desired, pauses) = (changed.desired, changed.pauses.clone());
    let followed = ValidatedPipeline { desired, pauses, terms, ..running };
    if followed != *changed {
        warn!(
            "of the file only desiredPhase, pauses, limits, rules and what accounts may owe are followed while kpay runs; start it again for the rest"
        );
    }
    followed
}

/// Tells once what keeps a drain from its end.
#[derive(Default)]
struct Late {
    since: Option<Instant>,
    told: bool,
}

impl Late {
    /// Whether the drain takes longer.
    fn than(&self, timeout_ms: i64) -> bool {
        let timeout = Duration::from_millis(timeout_ms.try_into().unwrap_or(u64::MAX));
        self.since.is_some_and(|since| since.elapsed() > timeout)
    }

    fn look(&mut self, phase: Option<Phase>, blockers: &[Blocker]) {
        if phase != Some(Phase::Draining) || blockers.is_empty() {
            *self = Self::default();
            return;
        }
        let since = self.since.get_or_insert_with(Instant::now);
        if !self.told && since.elapsed() >= LATE {
            self.told = true;
            let blockers: Vec<String> = blockers.iter().map(ToString::to_string).collect();
            warn!(blockers = blockers.join("; "), "the drain goes on");
        }
    }
}

fn facts(phase: Option<Phase>, epoch: u64, stages: &[Local], progress: &Progress) -> (Facts, Vec<Blocker>) {
    let ready = stages.iter().all(|local| local.control.restored());
    let mut facts = Facts { valid: true, ready, ..Facts::default() };
    let mut blockers = Vec::new();
    if matches!(phase, Some(Phase::Draining | Phase::Resuming)) {
        let evidence = evidence(epoch, stages, progress);
        let figures = answered(&evidence.reports).find_map(|report| report.figures.as_ref());
        blockers = prove(&evidence);
        facts.drained = blockers.is_empty();
        facts.flowing = flowing(&evidence, figures.map_or(0.0, |figures| figures.per_second));
    }
    (facts, blockers)
}

fn evidence(epoch: u64, stages: &[Local], progress: &Progress) -> Evidence {
    let report =
        |local: &Local| (local.control.pod().to_owned(), local.report().map_err(|_| NoReport::Garbled));
    let reports: Reports = stages.iter().map(report).collect();
    let component = |local: &Local| local.stage.component();
    Evidence {
        epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
        expected: reports.keys().cloned().collect::<BTreeSet<_>>(),
        reports,
        partitions: stages.iter().map(|local| (component(local), local.partitions)).collect(),
        groups: stages.iter().map(component).map(|of| (of, progress(of))).collect::<BTreeMap<_, _>>(),
    }
}
