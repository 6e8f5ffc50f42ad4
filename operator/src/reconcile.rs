//! One reconcile of one pipeline, as a list of steps. I/O at both ends; what to do is decided in `kpay-control`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use k8s_openapi::jiff::Timestamp;
use kpay_control::bootstrap::{Import, unwatched};
use kpay_control::build::{DesiredObjects, Identities, build, service_accounts};
use kpay_control::drain::flowing;
use kpay_control::names::{Component, workload};
use kpay_control::pause::Wanted;
use kpay_control::phase::{Facts, Transition, next};
use kpay_control::report::{Reports, figures};
use kpay_control::start::{hold_all_back, hold_back, never_started};
use kpay_control::status::{self, Input, Verdict};
use kpay_control::validate::{Invalid, ValidatedPipeline, topic_prefix, validate};
use kpay_crds::{AutoscalingMode, PaymentPipeline, PaymentPipelineStatus, Phase};
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};

use crate::apply::{Owner, apply, identity};
use crate::bootstrap;
use crate::context::Context;
use crate::deletion::{keep_finalizer, leave};
use crate::departures;
use crate::error::Error;
use crate::evidence::{ask_groups, evidence, whole, workload_reports};
use crate::load;
use crate::observe::observe;
use crate::pods;
use crate::record::{FIGURES_EVERY, write_status};
use crate::rest::{self, Rest, WHOLE_EVERY};
use crate::topics::{TopicsPass, turn};
use crate::upgrade;

/// Until the next look while something is under way.
pub const SOON: Duration = Duration::from_millis(250);
/// Between two looks at a change of the pods.
const STEP_EVERY: Duration = Duration::from_secs(1);
const AT_REST: Duration = Duration::from_secs(10);
/// So many pipelines are looked at in a second without a reason of their own: of many, each less often. A look lists what
/// the pipeline owns, which the API server pays for.
const LOOKS_PER_SECOND: u32 = 20;
/// Until a spec that cannot be served is looked at again: the event of its correction may be lost.
const CORRECTED_WITHIN: Duration = Duration::from_mins(1);
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// One reconcile.
pub async fn reconcile(resource: Arc<PaymentPipeline>, context: Arc<Context>) -> Result<Action, Error> {
    context.metrics.reconcile();
    let action = Box::pin(step(&resource, &context)).await?;
    context.remember(&*resource, |memory| memory.failures = 0);
    Ok(action)
}

/// When a failed reconcile is tried again: at once after a conflict, else with a growing delay per resource.
#[allow(clippy::needless_pass_by_value)] // the signature that the controller wants
pub fn on_error<K: ResourceExt>(resource: Arc<K>, error: &Error, context: Arc<Context>) -> Action {
    if matches!(error, Error::Conflict) {
        return Action::requeue(SOON);
    }
    context.metrics.error(error.category());
    let failures = context.remember(&*resource, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    });
    let delay = Duration::from_millis(250).saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
    tracing::warn!(resource = resource.name_any(), %error, delay_ms = delay.as_millis(), "reconcile failed");
    Action::requeue(delay)
}

async fn step(resource: &PaymentPipeline, context: &Context) -> Result<Action, Error> {
    if resource.metadata.deletion_timestamp.is_some() {
        return leave(resource, context).await;
    }
    if keep_finalizer(resource, context).await? {
        return Ok(Action::requeue(SOON));
    }
    match validate(resource, &context.default_image) {
        Ok(pipeline) => Box::pin(serve(resource, pipeline, context)).await,
        Err(invalid) => refuse(resource, &invalid, context).await,
    }
}

async fn serve(
    resource: &PaymentPipeline,
    pipeline: ValidatedPipeline,
    context: &Context,
) -> Result<Action, Error> {
    let old = resource.status.clone().unwrap_or_default();
    let owner = resource.controller_owner_ref(&()).ok_or(Error::Unnamed("uid"))?;

    let pipeline = pipeline.rolled(&old).found(&old.topics);
    let turn = Duration::from_secs(u64::from(context.probes.count())) / LOOKS_PER_SECOND;
    if let Some(rest) = Box::pin(rest::lasts(resource, &pipeline, &old, context)).await? {
        return Ok(Action::requeue(AT_REST.max(turn).min(rest)));
    }
    context.remember(resource, |memory| memory.rest = None);
    let changes = context.changes.seen(resource);
    let observed = Box::pin(observe(&context.client, &pipeline.namespace, &pipeline.name)).await?;
    let pipeline = &scaled(pipeline, &old, &observed.objects).stopped();
    departures::see_off(resource, pipeline, &observed.pods, context).await;
    let reports = pods::ask(context.pods.as_ref(), &observed.pods).await;
    let first = never_started(pipeline, old.phase, &owner.uid, &observed.objects);
    let topics = turn::take(resource, pipeline, &old, first, context).await;
    let workloads = workload_reports(pipeline, &observed.objects);
    let mut evidence = evidence(pipeline, &old, &observed, reports);
    let blockers = ask_groups(pipeline, old.phase, &mut evidence, &context.brokers).await;

    let now = Time(Timestamp::now());
    let facts = Facts {
        valid: true,
        ready: topics.verdict.status == Some(true)
            && workloads.iter().all(|(component, w)| !component.required() || w.ready >= w.desired),
        drained: blockers.as_ref().is_some_and(Vec::is_empty),
        flowing: old.phase == Some(Phase::Resuming)
            && flowing(&evidence, figures(&evidence.reports).map_or(0.0, |figures| figures.per_second)),
        late: status::late(&old, &now, pipeline.drain_timeout_ms).then_some(pipeline.drain_on_timeout),
        given_up: status::given_up(&old, resource.metadata.generation),
    };
    let wanted = Wanted::of(resource, &now);
    let transition = next(old.phase, wanted.desired, facts);

    // While a wipe stops the stages there is nothing to judge a release by: it waits.
    let release = if pipeline.wipe.is_some() {
        None
    } else {
        Some(upgrade::decide(pipeline, &old, &observed, &evidence.reports, &now, context).await)
    };
    let decided = load::decide(resource, pipeline, &evidence.reports, &workloads, &now, context).await;
    let running = old.phase == Some(Phase::Running) && transition.is_none();
    let gateway = workloads.get(&Component::Gateway);
    let accounts = bootstrap::decide(resource, pipeline, &observed, running, gateway, &now, context).await;
    let import = accounts.as_ref().and_then(|accounts| accounts.job.as_ref());
    let applied =
        bring_about(pipeline, &owner, &observed.objects, import, May::of(&topics, first), context).await;

    let input = Input {
        now,
        generation: resource.metadata.generation,
        wanted: &wanted,
        transition,
        reports: &evidence.reports,
        reports_whole: whole(&evidence),
        workloads,
        topics: topics.report,
        topics_verdict: topics.verdict.clone(),
        degraded: degraded(applied.as_ref().err(), &topics.verdict),
        blockers: blockers.as_deref(),
        release,
        autoscaling: pipeline.autoscaling.map(|settings| settings.mode),
        decided,
        accounts: accounts.map(|accounts| accounts.status),
        drain_timeout_ms: pipeline.drain_timeout_ms,
        image_tag: pipeline.image_tag.clone(),
        topic_prefix: pipeline.topic_prefix.clone(),
    };
    let status = status::next(&old, &input);
    let pause = pause_after(&status, transition, pipeline, turn);
    let waits = status.accounts_bootstrap.as_ref().and_then(unwatched);
    let pause = waits.map_or(pause, |since| pause.min(patience(Some(since))));
    let ends = wanted.ends_in(&Time(Timestamp::now()));
    // Other accounts in their ConfigMap, which nobody watches, are seen by a whole look alone.
    let may_rest = pause >= AT_REST && status.accounts_bootstrap.is_none();
    let settled = write_status(resource, &old, status, transition, context).await?;
    applied?;
    if settled && may_rest {
        let rest = Rest::new(resource, changes, &evidence.reports, ends.unwrap_or(WHOLE_EVERY));
        context.remember(resource, |memory| memory.rest = Some(rest));
    }
    Ok(Action::requeue(ends.map_or(pause, |ends| pause.min(ends))))
}

/// The pipeline with the replicas that its load has led to.
fn scaled(
    pipeline: ValidatedPipeline,
    status: &PaymentPipelineStatus,
    live: &DesiredObjects,
) -> ValidatedPipeline {
    let name = pipeline.name.clone();
    pipeline.scaled(&status.autoscaling, |stage| {
        let set = live.stateful_sets.iter().find(|set| set.name_any() == workload(&name, stage))?;
        set.spec.as_ref()?.replicas
    })
}

/// Which pods may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    /// All.
    All,
    /// All but those of the intake: it is not settled where that begins.
    NoIntake,
    /// None: the topics are not the pipeline's.
    None,
}

impl May {
    fn of(topics: &TopicsPass, first: bool) -> Self {
        match (topics.usable, !first || topics.begun == Some(true)) {
            (false, _) => Self::None,
            (true, false) => Self::NoIntake,
            (true, true) => Self::All,
        }
    }
}

/// Builds what the pipeline needs and applies it: the identities first, since the pods name them. Whatever asks for other
/// pods comes through here, so that nothing makes those of the intake before it is settled where that begins.
async fn bring_about(
    pipeline: &ValidatedPipeline,
    owner: &OwnerReference,
    live: &DesiredObjects,
    import: Option<&Import>,
    may: May,
    context: &Context,
) -> Result<(), Error> {
    let place = Owner { namespace: &pipeline.namespace, uid: &owner.uid };
    let [stages, gateway] = service_accounts(pipeline, owner);
    let identities = Identities {
        stages: identity(&context.client, place, &stages, &live.service_accounts).await?,
        gateway: identity(&context.client, place, &gateway, &live.service_accounts).await?,
    };
    let mut desired = build(pipeline, owner, &identities, import);
    match may {
        May::All => {}
        May::NoIntake => hold_back(&mut desired, &pipeline.name, live),
        May::None => hold_all_back(&mut desired, live),
    }
    apply(&context.client, place, &desired, live).await
}

fn pause_after(
    status: &PaymentPipelineStatus,
    transition: Option<Transition>,
    pipeline: &ValidatedPipeline,
    turn: Duration,
) -> Duration {
    // What was decided is carried out once it is written.
    let decided = Component::STAGES.into_iter().any(|stage| {
        let scaling = status.autoscaling.get(stage.as_str());
        scaling.is_some_and(|scaling| scaling.replicas != pipeline.replicas(stage))
    });
    let native = pipeline.wipe.is_none()
        && pipeline.autoscaling.is_some_and(|settings| settings.mode == AutoscalingMode::Native);
    let busy = pipeline.autoscaling.is_some()
        || status.per_second.is_some_and(|per_second| per_second > 0.0)
        || status.in_flight.as_ref().is_some_and(|in_flight| in_flight.count != 0);
    match status.phase {
        _ if transition.is_some() || native && decided => SOON,
        Some(Phase::Pending) | None => patience(status.phase_since.as_ref()).max(turn),
        Some(Phase::Draining | Phase::Resuming) => patience(status.phase_since.as_ref()),
        Some(Phase::Running | Phase::Paused) if upgrade::under_way(status) => STEP_EVERY,
        Some(Phase::Running) if busy => FIGURES_EVERY.max(turn),
        Some(Phase::Running | Phase::Paused | Phase::Failed) => AT_REST.max(turn),
    }
}

/// What takes long is looked at less often: a thousand pipelines whose Kafka is away are no load.
fn patience(since: Option<&Time>) -> Duration {
    let Some(since) = since else { return SOON };
    match Timestamp::now().duration_since(since.0).as_secs() {
        ..30 => SOON,
        30..300 => Duration::from_secs(1),
        300.. => Duration::from_secs(5),
    }
}

/// A spec that cannot be served: the objects stay as they are, and the status says what would be right.
async fn refuse(resource: &PaymentPipeline, invalid: &[Invalid], context: &Context) -> Result<Action, Error> {
    let old = resource.status.clone().unwrap_or_default();
    let namespace = resource.namespace().unwrap_or_default();
    let messages: Vec<String> = invalid.iter().map(ToString::to_string).collect();
    let now = Time(Timestamp::now());
    let wanted = Wanted::of(resource, &now);
    let transition = next(old.phase, wanted.desired, Facts::default());
    let input = Input {
        now,
        generation: resource.metadata.generation,
        wanted: &wanted,
        transition,
        reports: &Reports::new(),
        reports_whole: false,
        workloads: BTreeMap::new(),
        topics: None,
        topics_verdict: Verdict::new(None, "SpecInvalid", "not looked at while the spec is invalid"),
        degraded: Some(Verdict::new(Some(true), "SpecInvalid", messages.join("; "))),
        blockers: None,
        release: None,
        autoscaling: resource.spec.autoscaling.as_ref().map(|wanted| wanted.mode),
        decided: None,
        accounts: old.accounts_bootstrap.clone(),
        drain_timeout_ms: i64::MAX,
        image_tag: old.version.clone().unwrap_or_default(),
        topic_prefix: topic_prefix(&namespace, &resource.name_any(), &resource.spec),
    };
    let status = status::next(&old, &input);
    write_status(resource, &old, status, transition, context).await?;
    Ok(Action::requeue(if transition.is_some() { SOON } else { CORRECTED_WITHIN }))
}

fn degraded(failed: Option<&Error>, topics: &Verdict) -> Option<Verdict> {
    const REFUSED: [&str; 7] = [
        "BrokerRefused",
        "KafkaUnreachable",
        "PartitionsRefused",
        "StartRefused",
        "TopicsExist",
        "TopicsTaken",
        "TopicsUnfit",
    ];
    if let Some(error) = failed {
        let message = format!("{error}; does the operator's ClusterRole fit its version?");
        return Some(Verdict::new(Some(true), "ApplyFailed", message));
    }
    let refused = REFUSED.contains(&topics.reason);
    refused.then(|| Verdict::new(Some(true), topics.reason, topics.message.clone()))
}

#[cfg(test)]
mod tests;
