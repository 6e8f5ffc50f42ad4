//! The end of a pipeline, and the finalizer that lets its topics go with it. Only I/O.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kpay_control::names::{TOPICS_FINALIZER, WIPE_FINALIZER};
use kpay_control::owner::{place, shares};
use kpay_control::status::{Verdict, cannot_go};
use kpay_control::topics::{claims, own};
use kpay_control::validate::topic_prefix;
use kpay_crds::{DeletionPolicy, PaymentPipeline};
use kube::api::DeleteParams;
use kube::runtime::controller::Action;
use kube::{Api, Client, ResourceExt};

use crate::context::Context;
use crate::error::Error;
use crate::finalizer::{self, is_kept_by};
use crate::observe::observe;
use crate::pods::is_live;
use crate::reconcile::SOON;
use crate::record::write_status;
use crate::topics;
use crate::wipe;

/// Between two looks at a wipe that keeps its pipeline.
const AFTER_WIPE: Duration = Duration::from_secs(2);

/// Deletion: Kubernetes collects what is owned; topics go only when the user wants that, after the pods.
pub async fn leave(resource: &PaymentPipeline, context: &Context) -> Result<Action, Error> {
    if is_kept_by(resource, WIPE_FINALIZER) {
        // It lets go when every account is in its topics again, or at once where they go too.
        if !wipe::goes_on(resource, context).await? {
            finalizer::set(resource, WIPE_FINALIZER, false, context).await?;
        }
        return Ok(Action::requeue(AFTER_WIPE));
    }
    if !is_kept_by(resource, TOPICS_FINALIZER) {
        return Ok(Action::await_change());
    }
    let namespace = resource.namespace().unwrap_or_default();
    let name = resource.name_any();
    if resource.spec.topics.deletion_policy == DeletionPolicy::Delete {
        if stop_pods(&context.client, &namespace, &name).await? {
            return Ok(Action::requeue(SOON));
        }
        delete_topics(resource, context).await?;
    }
    finalizer::set(resource, TOPICS_FINALIZER, false, context).await?;
    context.memory.lock().remove(&resource.uid().unwrap_or_default());
    Ok(Action::await_change())
}

/// Deletes the topics that are the pipeline's own, unless another pipeline has them too.
async fn delete_topics(resource: &PaymentPipeline, context: &Context) -> Result<(), Error> {
    let claims = claims(&resource.status.clone().unwrap_or_default());
    let prefix =
        topic_prefix(&resource.namespace().unwrap_or_default(), &resource.name_any(), &resource.spec);
    let topics: Vec<String> = own(&claims).map(|topic| format!("{prefix}{}", topic.as_str())).collect();
    let all = context.probes.pipelines();
    if let Some(other) = shares(resource, all.iter().map(AsRef::as_ref)) {
        tracing::warn!(prefix, other = place(other), "the topics stay: they are another pipeline's too");
        return Ok(());
    }
    if !topics.is_empty() {
        let servers = &resource.spec.kafka.bootstrap_servers;
        if let Err(reason) = topics::delete(&context.brokers, servers, topics).await {
            tell(resource, &format!("at {servers}: {reason}"), context).await?;
            return Err(reason.into());
        }
    }
    Ok(())
}

/// Says in the status why the pipeline is still there.
async fn tell(resource: &PaymentPipeline, reason: &str, context: &Context) -> Result<(), Error> {
    let old = resource.status.clone().unwrap_or_default();
    let why = format!(
        "its topics go with it (spec.topics.deletionPolicy: Delete) and cannot be deleted {reason}; it is tried again; set \
         deletionPolicy to Retain to let the pipeline go and leave the topics"
    );
    let why = Verdict::new(Some(true), "TopicsNotDeleted", why);
    let new = cannot_go(&old, why, &Time(Timestamp::now()), resource.metadata.generation);
    write_status(resource, &old, new, None, context).await.map(drop)
}

/// Deletes the workloads; true while pods are left.
async fn stop_pods(client: &Client, namespace: &str, name: &str) -> Result<bool, Error> {
    let observed = Box::pin(observe(client, namespace, name)).await?;
    let background = DeleteParams::background();
    for set in observed.objects.stateful_sets.iter().filter(|set| set.metadata.deletion_timestamp.is_none()) {
        let api = Api::<StatefulSet>::namespaced(client.clone(), namespace);
        api.delete(&set.name_any(), &background).await.map_err(Error::api("delete", "StatefulSet"))?;
    }
    for deployment in observed.objects.deployments.iter().filter(|d| d.metadata.deletion_timestamp.is_none())
    {
        let api = Api::<Deployment>::namespaced(client.clone(), namespace);
        api.delete(&deployment.name_any(), &background).await.map_err(Error::api("delete", "Deployment"))?;
    }
    tracing::debug!(left = observed.pods.len(), "waiting for pods to end");
    Ok(observed.pods.iter().any(is_live))
}

/// True when it wrote: the next reconcile goes on with the new version.
pub async fn keep_finalizer(resource: &PaymentPipeline, context: &Context) -> Result<bool, Error> {
    let wanted = resource.spec.topics.deletion_policy == DeletionPolicy::Delete;
    let present = is_kept_by(resource, TOPICS_FINALIZER);
    if wanted != present {
        finalizer::set(resource, TOPICS_FINALIZER, wanted, context).await?;
    }
    Ok(wanted != present)
}
