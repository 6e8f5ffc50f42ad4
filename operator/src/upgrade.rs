//! How far the pods of a change are, and how payments go meanwhile. Only reads; what follows from it is
//! `kpay_control::upgrade`.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_control::names::{COMPONENT_LABEL, Component, RELEASE_ANNOTATION, workload};
use kpay_control::report::{Reports, figures, in_flight};
use kpay_control::upgrade::{self, Rollout, Seen};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{PaymentPipelineStatus, Phase, Release, UpgradeFigures, UpgradeState, UpgradeStatus};
use kube::ResourceExt;

use crate::context::Context;
use crate::observe::Observed;
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
    let changes = status.release.as_ref().is_some_and(|release| *release != pipeline.release);
    let running = status.phase == Some(Phase::Running);
    let figures = if running && (changes || under_way(status)) {
        figures_of(pipeline, reports, context).await
    } else {
        None
    };
    let rollout = |component| rollout(pipeline, component, observed);
    let seen = Seen {
        rollout: &rollout,
        figures: figures.as_ref(),
        in_flight: in_flight(reports).count,
        started: !matches!(status.phase, None | Some(Phase::Pending | Phase::Failed)),
        running,
    };
    upgrade::decide(status, &pipeline.release, &seen, &pipeline.upgrade, now)
}

/// Whether pods are being replaced.
pub fn under_way(status: &PaymentPipelineStatus) -> bool {
    let state = status.upgrade.as_ref().map(|up| up.state);
    matches!(state, Some(UpgradeState::Rolling | UpgradeState::RollingBack))
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
        rejected_percent: (share * 1_000.0).round() / 10.0,
        latency_p99_ms: told.latency_p99_ms,
        dead_letters: topics::dead_letters(&context.brokers, pipeline).await,
    })
}

fn rollout(pipeline: &ValidatedPipeline, component: Component, observed: &Observed) -> Rollout {
    let name = workload(&pipeline.name, component);
    let objects = &observed.objects;
    let found = if component == Component::Gateway {
        objects.deployments.iter().find(|found| found.name_any() == name).map(|found| {
            let (spec, status) =
                (found.spec.clone().unwrap_or_default(), found.status.clone().unwrap_or_default());
            let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
            let followed = status.observed_generation == found.metadata.generation;
            (spec.template, spec.replicas, counts, followed)
        })
    } else {
        objects.stateful_sets.iter().find(|found| found.name_any() == name).map(|found| {
            let (spec, status) =
                (found.spec.clone().unwrap_or_default(), found.status.clone().unwrap_or_default());
            let counts = [Some(status.replicas), status.updated_replicas, status.ready_replicas];
            let followed = status.observed_generation == found.metadata.generation;
            (spec.template, spec.replicas, counts, followed)
        })
    };
    let Some((template, wanted, counts, followed)) = found else { return Rollout::default() };
    let annotations = template.metadata.and_then(|metadata| metadata.annotations).unwrap_or_default();
    let revision = annotations.get(RELEASE_ANNOTATION).cloned().unwrap_or_default();
    let (wanted, [all, updated, ready]) = (wanted.unwrap_or(1), counts.map(|count| count.unwrap_or(0)));
    Rollout {
        done: followed && all == wanted && updated == wanted && ready == wanted,
        trouble: trouble(&revision, component, &observed.pods),
        count: format!("{}/{wanted}", updated.min(ready)),
        revision,
    }
}

/// The first pod of a revision that does not start.
fn trouble(revision: &str, component: Component, pods: &[Pod]) -> Option<String> {
    let ours = |pod: &&Pod| {
        pod.labels().get(COMPONENT_LABEL).is_some_and(|label| label == component.as_str())
            && pod.annotations().get(RELEASE_ANNOTATION).is_some_and(|found| found == revision)
    };
    pods.iter().filter(ours).find_map(|pod| Some(format!("pod {}: {}", pod.name_any(), stuck(pod)?)))
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
