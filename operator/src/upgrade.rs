//! How far the pods of a change are, and how payments go meanwhile. Only reads; what follows from it is
//! `kpay_control::upgrade`.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_control::build::DesiredObjects;
use kpay_control::names::{Component, RELEASE_ANNOTATION, workload};
use kpay_control::report::{Reports, figures, in_flight, rounded};
use kpay_control::upgrade::{self, Rollout, Seen};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{PaymentPipelineStatus, Phase, Release, UpgradeFigures, UpgradeStatus};
use kube::ResourceExt;

use crate::context::Context;
use crate::observe::Observed;
use crate::pods::is_of;
use crate::topics;

/// Why a container waits that does not start by itself.
const STUCK: [&str; 7] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "RunContainerError",
];
/// So many restarts are no accident.
const RESTARTS: i32 = 3;

/// What is written down next of the pods.
pub async fn decide(
    pipeline: &ValidatedPipeline,
    status: &PaymentPipelineStatus,
    observed: &Observed,
    reports: &Reports,
    now: &Time,
    context: &Context,
) -> (Release, Option<UpgradeStatus>) {
    let running = status.phase == Some(Phase::Running);
    let figures =
        if running && upgrade::watches(status) { figures_of(pipeline, reports, context).await } else { None };
    let rollout = |component| rollout(pipeline, component, observed);
    let seen = Seen {
        rollout: &rollout,
        figures: figures.as_ref(),
        in_flight: in_flight(reports).count,
        started: !matches!(status.phase, None | Some(Phase::Pending | Phase::Failed)),
        running,
        paused: status.phase == Some(Phase::Paused),
    };
    upgrade::decide(status, &pipeline.release, &seen, &pipeline.upgrade, now)
}

/// Whether pods are being replaced.
pub fn under_way(status: &PaymentPipelineStatus) -> bool {
    status.upgrade.as_ref().is_some_and(|up| up.state.is_under_way())
}

async fn figures_of(
    pipeline: &ValidatedPipeline,
    reports: &Reports,
    context: &Context,
) -> Option<UpgradeFigures> {
    let told = figures(reports)?;
    let share = if told.per_second > 0.0 { told.rejected_per_second / told.per_second } else { 0.0 };
    Some(UpgradeFigures {
        per_second: told.per_second,
        rejected_percent: rounded(share * 100.0),
        latency_p99_ms: told.latency_p99_ms,
        dead_letters: topics::dead_letters(&context.brokers, pipeline).await,
    })
}

/// What a Deployment and a `StatefulSet` both tell of their pods.
struct Workload<'a> {
    template: &'a PodTemplateSpec,
    wanted: Option<i32>,
    /// All, those of the newest template, and those that are ready.
    counts: [Option<i32>; 3],
    observed_generation: Option<i64>,
    generation: Option<i64>,
}

fn find<'a>(live: &'a DesiredObjects, name: &str, component: Component) -> Option<Workload<'a>> {
    if component == Component::Gateway {
        let found = live.deployments.iter().find(|found| found.name_any() == name)?;
        let (spec, status) = (found.spec.as_ref()?, found.status.as_ref());
        return Some(Workload {
            template: &spec.template,
            wanted: spec.replicas,
            counts: status.map_or([None; 3], |s| [s.replicas, s.updated_replicas, s.ready_replicas]),
            observed_generation: status.and_then(|s| s.observed_generation),
            generation: found.metadata.generation,
        });
    }
    let found = live.stateful_sets.iter().find(|found| found.name_any() == name)?;
    let (spec, status) = (found.spec.as_ref()?, found.status.as_ref());
    Some(Workload {
        template: &spec.template,
        wanted: spec.replicas,
        counts: status.map_or([None; 3], |s| [Some(s.replicas), s.updated_replicas, s.ready_replicas]),
        observed_generation: status.and_then(|s| s.observed_generation),
        generation: found.metadata.generation,
    })
}

fn rollout(pipeline: &ValidatedPipeline, component: Component, observed: &Observed) -> Rollout {
    let name = workload(&pipeline.name, component);
    let Some(found) = find(&observed.objects, &name, component) else { return Rollout::default() };
    let annotations = found.template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let revision = annotations.and_then(|all| all.get(RELEASE_ANNOTATION)).cloned().unwrap_or_default();
    let (wanted, [all, updated, ready]) =
        (found.wanted.unwrap_or(1), found.counts.map(Option::unwrap_or_default));
    let followed = found.observed_generation == found.generation;
    Rollout {
        // The one that took over may still be there.
        done: followed && all >= wanted && updated == all && ready >= wanted,
        trouble: trouble(&revision, component, &observed.pods),
        count: format!("{}/{wanted}{}", updated.min(ready), homeless(&revision, component, &observed.pods)),
        revision,
    }
}

/// The first pod of a revision that does not start.
fn trouble(revision: &str, component: Component, pods: &[Pod]) -> Option<String> {
    made_from(revision, component, pods)
        .find_map(|pod| Some(format!("pod {}: {}", pod.name_any(), stuck(pod)?)))
}

/// Why a pod of a revision has no node, if one has none. Another may come, so that it is no trouble by itself.
fn homeless(revision: &str, component: Component, pods: &[Pod]) -> String {
    let why = |pod: &Pod| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let unscheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        let message = unscheduled.message.as_deref().unwrap_or("not scheduled");
        Some(format!(", pod {} has no node: {message}", pod.name_any()))
    };
    made_from(revision, component, pods).find_map(why).unwrap_or_default()
}

fn made_from<'a>(revision: &'a str, component: Component, pods: &'a [Pod]) -> impl Iterator<Item = &'a Pod> {
    pods.iter().filter(move |pod| {
        is_of(pod, component)
            && pod.annotations().get(RELEASE_ANNOTATION).is_some_and(|found| found == revision)
    })
}

fn stuck(pod: &Pod) -> Option<String> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find_map(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        if let Some((reason, message)) =
            waiting.and_then(|w| Some((w.reason.as_deref()?, w.message.as_deref())))
            && STUCK.contains(&reason)
        {
            return Some(message.map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}")));
        }
        (container.restart_count >= RESTARTS).then(|| format!("{} restarts", container.restart_count))
    })
}
