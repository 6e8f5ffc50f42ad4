//! Reads what there is: the owned objects and the pods of one pipeline. Only I/O, and only reads.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kpay_control::build::DesiredObjects;
use kpay_control::names::PIPELINE_LABEL;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// What is in the cluster for one pipeline.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The objects that carry the pipeline's label.
    pub objects: DesiredObjects,
    /// Its pods.
    pub pods: Vec<Pod>,
}

/// Lists everything with the pipeline's label.
pub async fn observe(client: &Client, namespace: &str, pipeline: &str) -> Result<Observed, Error> {
    let (service_accounts, roles, role_bindings, services, budgets, stateful_sets, deployments, pods) = futures::try_join!(
        list::<ServiceAccount>(client, namespace, pipeline),
        list::<Role>(client, namespace, pipeline),
        list::<RoleBinding>(client, namespace, pipeline),
        list::<Service>(client, namespace, pipeline),
        list::<PodDisruptionBudget>(client, namespace, pipeline),
        list::<StatefulSet>(client, namespace, pipeline),
        list::<Deployment>(client, namespace, pipeline),
        list::<Pod>(client, namespace, pipeline),
    )?;
    let objects = DesiredObjects {
        service_accounts,
        roles,
        role_bindings,
        services,
        budgets,
        stateful_sets,
        deployments,
    };
    Ok(Observed { objects, pods })
}

async fn list<K>(client: &Client, namespace: &str, pipeline: &str) -> Result<Vec<K>, Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let labelled = ListParams::default().labels(&format!("{PIPELINE_LABEL}={pipeline}"));
    let found = Api::<K>::namespaced(client.clone(), namespace).list(&labelled).await;
    Ok(found.map_err(Error::api("list", K::kind(&())))?.items)
}
