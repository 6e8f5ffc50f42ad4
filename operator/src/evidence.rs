//! From what was observed to the evidence of the drain proof. Pure but for the question to the broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kpay_control::build::DesiredObjects;
use kpay_control::drain::{Blocker, Evidence, prove};
use kpay_control::names::{Component, workload};
use kpay_control::report::{Reports, answered};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{PaymentPipelineStatus, Phase, WorkloadReport};
use kube::ResourceExt;

use crate::broker::Brokers;
use crate::observe::Observed;
use crate::pods::{is_live, is_of};
use crate::topics;

/// How the workloads stand against what is wanted.
pub fn workload_reports(
    pipeline: &ValidatedPipeline,
    live: &DesiredObjects,
) -> BTreeMap<Component, WorkloadReport> {
    let mut reports = BTreeMap::new();
    for &component in pipeline.workloads.keys() {
        let name = workload(&pipeline.name, component);
        let mut report =
            WorkloadReport { desired: pipeline.replicas(component), ..WorkloadReport::default() };
        let set =
            live.stateful_sets.iter().find(|set| set.name_any() == name).and_then(|s| s.status.as_ref());
        let deployment = live.deployments.iter().find(|deployment| deployment.name_any() == name);
        if let Some(status) = set {
            report.ready = status.ready_replicas.unwrap_or(0);
            report.revision.clone_from(&status.update_revision);
        } else if let Some(deployment) = deployment {
            report.ready = deployment.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0);
            report.revision = deployment.annotations().get("deployment.kubernetes.io/revision").cloned();
        }
        reports.insert(component, report);
    }
    reports
}

/// What the proof rests on, as far as pods can tell.
pub fn evidence(
    pipeline: &ValidatedPipeline,
    status: &PaymentPipelineStatus,
    observed: &Observed,
    reports: Reports,
) -> Evidence {
    // The generator only sends: it holds no payments, so that the proof needs no word of it.
    let speaks = |pod: &&Pod| is_live(pod) && !is_of(pod, Component::Generator);
    let mut expected: BTreeSet<String> =
        observed.pods.iter().filter(speaks).map(ResourceExt::name_any).collect();
    for stage in Component::STAGES {
        let name = workload(&pipeline.name, stage);
        expected.extend((0..pipeline.replicas(stage)).map(|ordinal| format!("{name}-{ordinal}")));
    }
    Evidence {
        epoch: status.epoch,
        expected,
        reports,
        partitions: Component::STAGES.map(|stage| (stage, pipeline.partitions(stage))).into(),
        groups: BTreeMap::new(),
    }
}

/// Whether each partition of the stages that count was reported once.
pub fn whole(evidence: &Evidence) -> bool {
    [Component::Inflight, Component::Confirmed].into_iter().all(|stage| {
        let reported: usize = answered(&evidence.reports)
            .filter(|report| report.stage == stage)
            .map(|report| report.partitions.len())
            .sum();
        i32::try_from(reported).ok() == evidence.partitions.get(&stage).copied()
    })
}

/// Asks the broker only when the pods leave nothing else to ask: a look at the groups costs connections.
pub async fn ask_groups(
    pipeline: &ValidatedPipeline,
    phase: Option<Phase>,
    evidence: &mut Evidence,
    brokers: &Arc<dyn Brokers>,
) -> Option<Vec<Blocker>> {
    let asked: &[Component] = match phase {
        Some(Phase::Draining) => &[Component::Account, Component::Confirmed],
        Some(Phase::Resuming) => &[Component::Inflight],
        None | Some(Phase::Pending | Phase::Running | Phase::Paused | Phase::Failed) => return None,
    };
    let without_groups = prove(evidence);
    let only_groups = without_groups.iter().all(|b| matches!(b, Blocker::GroupUnknown { .. }));
    if only_groups || phase == Some(Phase::Resuming) {
        evidence.groups = topics::progress(brokers, pipeline, asked).await;
        return Some(prove(evidence));
    }
    Some(without_groups.into_iter().filter(|b| !matches!(b, Blocker::GroupUnknown { .. })).collect())
}

#[cfg(test)]
mod tests {
    use kpay_control::names::component_labels;
    use kpay_control::validate::{DefaultImage, validate};
    use kpay_crds::PullPolicy;
    use serde_json::json;

    use super::*;

    fn pod(name: &str, component: Component) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": component_labels("payments", component)},
            "status": {"phase": "Running"},
        }))
        .expect("a pod")
    }

    #[test]
    fn a_drain_waits_for_every_live_pod_but_not_for_a_generator() {
        let resource = serde_json::from_value(json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {"name": "payments", "namespace": "default"},
            "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "processors": {"generator": {}}},
        }))
        .expect("a resource");
        let image =
            DefaultImage { repository: "kpay".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
        let pipeline = validate(&resource, &image).expect("valid");
        let mut ended = pod("payments-gateway-old", Component::Gateway);
        ended.status = serde_json::from_value(json!({"phase": "Failed"})).expect("a status");
        let observed = Observed {
            pods: vec![
                pod("payments-gateway-a", Component::Gateway),
                pod("payments-inflight-7", Component::Inflight),
                pod("payments-generator-a", Component::Generator),
                ended,
            ],
            ..Observed::default()
        };
        let evidence = evidence(&pipeline, &PaymentPipelineStatus::default(), &observed, Reports::new());
        let expected: Vec<_> = evidence.expected.iter().map(String::as_str).collect();
        assert_eq!(
            expected,
            [
                "payments-account-0",
                "payments-account-1",
                "payments-confirmed-0",
                "payments-gateway-a",
                "payments-inflight-0",
                "payments-inflight-7"
            ]
        );
        let reports = workload_reports(&pipeline, &DesiredObjects::default());
        assert_eq!(reports[&Component::Generator].desired, 1);
    }
}
