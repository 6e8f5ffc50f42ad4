//! Builders: plain functions from a `ValidatedPipeline` to one Kubernetes object each. Pure; absent is `None`.

mod access;
mod bootstrap;
mod job;
mod network;
mod pod;
mod rebuild;
mod workload;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use crate::bootstrap::Import;
use crate::names::{self, Component};
use crate::validate::ValidatedPipeline;

/// All that the pipeline owns in Kubernetes, in the order in which it is applied.
#[derive(Clone, Debug, Default)]
pub struct DesiredObjects {
    /// The identities of the stages and of the gateway.
    pub service_accounts: Vec<ServiceAccount>,
    /// What they may do: watch their own pipeline, and the gateway pauses and resumes it.
    pub roles: Vec<Role>,
    /// Gives them that.
    pub role_bindings: Vec<RoleBinding>,
    /// Stable addresses of the stages' pods, and the gateway.
    pub services: Vec<Service>,
    /// How many pods may be taken away at once.
    pub budgets: Vec<PodDisruptionBudget>,
    /// The stages.
    pub stateful_sets: Vec<StatefulSet>,
    /// The gateway, and the generator where there should be one.
    pub deployments: Vec<Deployment>,
    /// The import of accounts, where there is one. It stays as it was made: the pods of a Job cannot change.
    pub jobs: Vec<Job>,
}

/// Builds everything. `identities` are the [`service_accounts`] as they are now.
pub fn build(
    pipeline: &ValidatedPipeline,
    owner: &OwnerReference,
    identities: &Identities,
    import: Option<&Import>,
) -> DesiredObjects {
    let (stages, required) = (Component::STAGES, Component::REQUIRED);
    let generator = pipeline.workloads.contains_key(&Component::Generator).then_some(Component::Generator);
    let deployments = [Component::Gateway].into_iter().chain(generator);
    DesiredObjects {
        service_accounts: service_accounts(pipeline, owner).into(),
        roles: access::roles(pipeline, owner),
        role_bindings: access::role_bindings(pipeline, owner),
        services: required.map(|component| network::service(pipeline, component, owner)).into(),
        budgets: required.map(|component| network::budget(pipeline, component, owner)).into(),
        stateful_sets: stages.map(|stage| workload::stateful_set(pipeline, stage, owner, identities)).into(),
        deployments: deployments
            .map(|component| workload::deployment(pipeline, component, owner, identities))
            .collect(),
        jobs: import.map(|import| bootstrap::job(pipeline, import, owner)).into_iter().collect(),
    }
}

pub use access::{Identities, service_accounts};
pub use rebuild::{Task, job as rebuild_job};

/// Metadata of an object that belongs to the whole pipeline.
fn pipeline_metadata(pipeline: &ValidatedPipeline, name: String, owner: &OwnerReference) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(pipeline.namespace.clone()),
        labels: Some(names::labels(&pipeline.name)),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Metadata of an object that belongs to one workload.
fn component_metadata(
    pipeline: &ValidatedPipeline,
    component: Component,
    owner: &OwnerReference,
) -> ObjectMeta {
    let name = names::workload(&pipeline.name, component);
    ObjectMeta {
        labels: Some(names::component_labels(&pipeline.name, component)),
        ..pipeline_metadata(pipeline, name, owner)
    }
}

#[cfg(test)]
mod tests;
