//! The `StatefulSet`s of the stages and the Deployments of the gateway and the generator. Pure.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment, StatefulSet, StatefulSetSpec,
    StatefulSetUpdateStrategy,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Identities, component_metadata, pod};
use crate::names::{self, Component};
use crate::validate::ValidatedPipeline;

const REVISIONS_KEPT: i32 = 5;

/// A stage: stable pod names, because transactional ids and static membership hang on them. All pods start at
/// once, since none waits for another; an update replaces one at a time.
pub(super) fn stateful_set(
    pipeline: &ValidatedPipeline,
    stage: Component,
    owner: &OwnerReference,
    identities: &Identities,
) -> StatefulSet {
    StatefulSet {
        metadata: component_metadata(pipeline, stage, owner),
        spec: Some(StatefulSetSpec {
            replicas: Some(pipeline.pods(stage)),
            service_name: Some(names::workload(&pipeline.name, stage)),
            selector: selector(pipeline, stage),
            template: pod::template(pipeline, stage, identities.of(stage)),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("RollingUpdate".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            revision_history_limit: Some(REVISIONS_KEPT),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// The gateway or the generator. Of the gateway a new pod is ready before an old one goes; of the generator an old one
/// goes first, since one pod more would send more than was asked for.
pub(super) fn deployment(
    pipeline: &ValidatedPipeline,
    component: Component,
    owner: &OwnerReference,
    identities: &Identities,
) -> Deployment {
    let (surge, unavailable) = if component == Component::Generator { (0, 1) } else { (1, 0) };
    Deployment {
        metadata: component_metadata(pipeline, component, owner),
        spec: Some(DeploymentSpec {
            replicas: Some(pipeline.replicas(component)),
            selector: selector(pipeline, component),
            template: pod::template(pipeline, component, identities.of(component)),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            }),
            revision_history_limit: Some(REVISIONS_KEPT),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

fn selector(pipeline: &ValidatedPipeline, component: Component) -> LabelSelector {
    LabelSelector {
        match_labels: Some(names::selector(&pipeline.name, component)),
        ..LabelSelector::default()
    }
}
