//! The controllers of `PaymentPipeline` and `PipelineOperation`: which changes lead to a reconcile. Only wiring.

use std::fmt::Debug;
use std::sync::Arc;

use futures::future::join_all;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kpay_control::names::MANAGER;
use kpay_crds::{PaymentPipeline, PipelineOperation};
use kube::core::{NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::watcher::Config;
use kube::runtime::{Controller, WatchStreamExt as _, controller, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::Error;
use crate::operations;
use crate::reconcile::{on_error, reconcile};
use crate::serve::Probes;

/// Reconciles at once, of each kind and namespace; more would only wait for the same API server.
const CONCURRENT_MAX: u16 = 4;
/// Objects that a list brings at once. Of many, these are the most memory that a start takes.
const PAGE: u32 = 50;

/// Reconciles what is in these namespaces, or in all when none is named, until `stop` resolves; reconciles that have begun are
/// finished.
pub async fn run(
    context: Arc<Context>,
    probes: &Probes,
    namespaces: &[String],
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let stop = stop.shared();
    let places: Vec<Option<&str>> = match namespaces {
        [] => vec![None],
        named => named.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    join_all(places.into_iter().map(|place| look_after(&context, probes, place, stop.clone()))).await;
}

/// Both controllers of one namespace, or of all.
async fn look_after(
    context: &Arc<Context>,
    probes: &Probes,
    place: Option<&str>,
    stop: impl Future<Output = ()> + Clone + Send + Sync + 'static,
) {
    let client = &context.client;
    let pipelines = controller(api::<PaymentPipeline>(client, place));
    probes.watch(pipelines.store());
    let operations = controller(api::<PipelineOperation>(client, place))
        .with_config(controller::Config::default().concurrency(CONCURRENT_MAX))
        .graceful_shutdown_on(stop.clone())
        .run(operations::reconcile, on_error, Arc::clone(context))
        .for_each(|outcome| async move { told(outcome) });
    let pipelines = pipelines
        .owns_stream(owned::<StatefulSet>(context, place))
        .owns_stream(owned::<Deployment>(context, place))
        .owns_stream(owned::<Job>(context, place))
        .owns_stream(owned::<Service>(context, place))
        .owns_stream(owned::<ServiceAccount>(context, place))
        .owns_stream(owned::<Role>(context, place))
        .owns_stream(owned::<RoleBinding>(context, place))
        .owns_stream(owned::<PodDisruptionBudget>(context, place))
        .with_config(controller::Config::default().concurrency(CONCURRENT_MAX))
        .graceful_shutdown_on(stop)
        .run(reconcile, on_error, Arc::clone(context))
        .for_each(|outcome| async move { told(outcome) });
    futures::join!(pipelines, operations);
}

/// A controller whose cache leaves out who has set which field, and what kubectl keeps for itself: of many pipelines that is
/// most of the memory, and nobody here looks at it.
fn controller<K>(api: Api<K>) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let objects = watcher(api, Config::default().page_size(PAGE))
        .modify(|object: &mut K| {
            let metadata = object.meta_mut();
            metadata.managed_fields = None;
            if let Some(annotations) = &mut metadata.annotations {
                annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
            }
        })
        .reflect(writer)
        .applied_objects();
    Controller::for_stream(objects, reader)
}

/// What is done to objects of a kind that pipelines own, the deletions too.
fn owned<K>(
    context: &Arc<Context>,
    place: Option<&str>,
) -> impl Stream<Item = Result<PartialObjectMeta<K>, watcher::Error>> + Send + 'static
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let ours = Config::default().page_size(PAGE).labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let context = Arc::clone(context);
    watcher(api::<PartialObjectMeta<K>>(&context.client, place), ours)
        .inspect_ok(move |event| context.changes.note(event))
        .touched_objects()
}

fn api<K>(client: &Client, place: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    place.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// A failure is told, counted and tried again by `on_error`; a resource may go while in the queue.
fn told<T, Q: std::error::Error + 'static>(outcome: Result<T, controller::Error<Error, Q>>) {
    match outcome {
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "watch"),
    }
}

#[cfg(test)]
mod tests;
