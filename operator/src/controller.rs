//! The controllers of `PaymentPipeline` and `PipelineOperation`: which changes lead to a reconcile. Only wiring.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kpay_control::names::MANAGER;
use kpay_crds::{PaymentPipeline, PipelineOperation};
use kube::Api;
use kube::runtime::watcher::Config;
use kube::runtime::{Controller, controller};

use crate::context::Context;
use crate::error::Error;
use crate::operations;
use crate::reconcile::{on_error, reconcile};
use crate::serve::Probes;

/// Reconciles at once; more would only wait for the same API server.
const CONCURRENT_MAX: u16 = 4;

/// Reconciles until `stop` resolves; reconciles that have begun are finished.
pub async fn run(
    context: Arc<Context>,
    probes: &Probes,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = &context.client;
    let owned = || Config::default().labels(&format!("app.kubernetes.io/managed-by={MANAGER}"));
    let pipelines = Controller::new(Api::<PaymentPipeline>::all(client.clone()), Config::default());
    probes.watch(pipelines.store());
    let stop = stop.shared();
    let operations = Controller::new(Api::<PipelineOperation>::all(client.clone()), Config::default())
        .with_config(controller::Config::default().concurrency(CONCURRENT_MAX))
        .graceful_shutdown_on(stop.clone())
        .run(operations::reconcile, on_error, Arc::clone(&context))
        .for_each(|outcome| async move { told(outcome) });
    let pipelines = pipelines
        .owns(Api::<StatefulSet>::all(client.clone()), owned())
        .owns(Api::<Deployment>::all(client.clone()), owned())
        .owns(Api::<Job>::all(client.clone()), owned())
        .owns(Api::<Service>::all(client.clone()), owned())
        .owns(Api::<ServiceAccount>::all(client.clone()), owned())
        .owns(Api::<Role>::all(client.clone()), owned())
        .owns(Api::<RoleBinding>::all(client.clone()), owned())
        .owns(Api::<PodDisruptionBudget>::all(client.clone()), owned())
        .with_config(controller::Config::default().concurrency(CONCURRENT_MAX))
        .graceful_shutdown_on(stop)
        .run(reconcile, on_error, Arc::clone(&context))
        .for_each(|outcome| async move { told(outcome) });
    futures::join!(pipelines, operations);
}

/// A failure is told, counted and tried again by `on_error`; a resource may go while in the queue.
fn told<T, Q: std::error::Error + 'static>(outcome: Result<T, controller::Error<Error, Q>>) {
    match outcome {
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "watch"),
    }
}
