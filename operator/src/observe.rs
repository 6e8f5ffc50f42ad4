//! Reads what there is: the owned objects and the pods of one pipeline. Only I/O, and only reads.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kpay_control::build::DesiredObjects;
use kpay_control::names::{BOOTSTRAP, COMPONENT_LABEL, PIPELINE_LABEL};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::error::Error;

/// What is in the cluster for one pipeline.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The objects that carry the pipeline's label.
    pub objects: DesiredObjects,
    /// The pods of its workloads.
    pub pods: Vec<Pod>,
    /// The pods that import accounts: nobody asks them anything.
    pub importers: Vec<Pod>,
}

/// Lists everything with the pipeline's label.
pub async fn observe(client: &Client, namespace: &str, pipeline: &str) -> Result<Observed, Error> {
    let (service_accounts, roles, role_bindings, services, budgets, stateful_sets, deployments, jobs, pods) =
        futures::try_join!(
            list::<ServiceAccount>(client, namespace, pipeline),
            list::<Role>(client, namespace, pipeline),
            list::<RoleBinding>(client, namespace, pipeline),
            list::<Service>(client, namespace, pipeline),
            list::<PodDisruptionBudget>(client, namespace, pipeline),
            list::<StatefulSet>(client, namespace, pipeline),
            list::<Deployment>(client, namespace, pipeline),
            list::<Job>(client, namespace, pipeline),
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
        jobs,
    };
    let (importers, pods) = pods.into_iter().partition(imports);
    Ok(Observed { objects, pods, importers })
}

/// Only the pods of its workloads.
pub async fn pods(client: &Client, namespace: &str, pipeline: &str) -> Result<Vec<Pod>, Error> {
    let pods = list::<Pod>(client, namespace, pipeline).await?;
    Ok(pods.into_iter().filter(|pod| !imports(pod)).collect())
}

fn imports(pod: &Pod) -> bool {
    pod.labels().get(COMPONENT_LABEL).is_some_and(|label| label == BOOTSTRAP)
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
