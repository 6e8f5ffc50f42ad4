//! Services and `PodDisruptionBudget`s. Pure.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::component_metadata;
use crate::names::{self, CONTROL_PORT, Component, GATEWAY_PORT};
use crate::validate::ValidatedPipeline;

/// The gateway's Service, or the headless one that gives each pod of a stage its name. A pod has its name from
/// the start: peers ask it for keys, and the operator for its phase, before it is ready.
pub(super) fn service(pipeline: &ValidatedPipeline, component: Component, owner: &OwnerReference) -> Service {
    let headless = component != Component::Gateway;
    let (name, port, target) =
        if headless { ("control", CONTROL_PORT, "control") } else { ("http", GATEWAY_PORT, "http") };
    Service {
        metadata: component_metadata(pipeline, component, owner),
        spec: Some(ServiceSpec {
            cluster_ip: headless.then(|| "None".to_owned()),
            publish_not_ready_addresses: headless.then_some(true),
            selector: Some(names::selector(&pipeline.name, component)),
            ports: Some(vec![ServicePort {
                name: Some(name.to_owned()),
                port,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(target.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// At most one pod of a workload is taken away at a time.
pub(super) fn budget(
    pipeline: &ValidatedPipeline,
    component: Component,
    owner: &OwnerReference,
) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: component_metadata(pipeline, component, owner),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(names::selector(&pipeline.name, component)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
