//! How busy the stages are: a look at their groups at intervals, and what is decided from two of them. Only I/O; the
//! decision itself is `kpay_control::autoscale`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_control::autoscale::{self, Bounds, Load};
use kpay_control::names::Component;
use kpay_control::report::{Reports, figures};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{PaymentPipeline, Phase, StageScaling, WorkloadReport};

use crate::context::Context;
use crate::topics;

/// Between two looks at the groups.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Two looks that lie further apart tell nothing of now.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// What the stages should have, when it is time to look; none leaves it at the last decision.
pub async fn decide(
    resource: &PaymentPipeline,
    pipeline: &ValidatedPipeline,
    reports: &Reports,
    workloads: &BTreeMap<Component, WorkloadReport>,
    now: &Time,
    context: &Context,
) -> Option<BTreeMap<String, StageScaling>> {
    let settings = pipeline.autoscaling?;
    let status = resource.status.as_ref().filter(|status| status.phase == Some(Phase::Running))?;
    let before = context.recall(resource).load;
    if before.as_ref().is_some_and(|(at, _)| at.elapsed() < LOOK_EVERY) {
        return None;
    }
    let offsets = topics::offsets(&context.brokers, pipeline).await;
    let looked = Instant::now();
    context.remember(resource, |memory| memory.load = offsets.clone().map(|offsets| (looked, offsets)));
    let before = before.filter(|(at, _)| at.elapsed() < LOOK_MAX);
    if offsets.is_some() && before.is_none() {
        return None; // the first of two looks
    }
    let p99_ms = figures(reports).map_or(0.0, |figures| figures.latency_p99_ms);
    let load = |stage: &Component| {
        let (at, before) = before.as_ref()?;
        let ready = workloads.get(stage).map_or(0, |report| report.ready);
        let (before, now) = (*before.get(stage)?, *offsets.as_ref()?.get(stage)?);
        Some(Load::between(before, now, looked.duration_since(*at).as_secs_f64(), p99_ms, ready))
    };
    let decided = Component::STAGES.map(|stage| {
        let workload = pipeline.workloads.get(&stage);
        let bounds = Bounds {
            least: workload.map_or(1, |workload| workload.least),
            partitions: pipeline.partitions(stage),
            current: pipeline.replicas(stage),
            intake: stage == Component::Inflight,
        };
        let old = status.autoscaling.get(stage.as_str());
        (stage.to_string(), autoscale::decide(old, load(&stage).as_ref(), bounds, &settings, now))
    });
    Some(decided.into())
}
