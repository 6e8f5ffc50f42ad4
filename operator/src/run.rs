//! The process: endpoints, lease, controller, a graceful end. Only I/O and wiring.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kpay_control::names::MANAGER;
use kube::client::{Body, ClientBuilder};
use kube::runtime::events::Reporter;
use kube::{Client, Config};
use kube_lease_manager::LeaseManagerBuilder;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tower::util::MapRequestLayer;

use crate::broker::Kafka;
use crate::context::Context;
use crate::controller;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::pods::PodClient;
use crate::rest::Changes;
use crate::serve::{Probes, router};
use crate::settings::Settings;

const LEASE_SECONDS: u64 = 15;
const LEASE_GRACE_SECONDS: u64 = 5;
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
const GIVE_BACK_EVERY: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot listen, cannot reach the API server, or has lost its lease.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    let probes = Probes::default();
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    tokio::spawn(serve(listener, probes.clone()));

    let mut config = Config::infer().await.context("no way to the API server")?;
    // What fails is tried again by its reconcile, after a delay that holds up no other.
    config.default_retry = false;
    let client = counted(config, &probes.metrics)?;
    let version = client.apiserver_version().await.context("the API server does not answer")?;
    tracing::info!(kubernetes = version.git_version, listen = %settings.listen, "connected");
    probes.set_ready(true);

    let reporter = Reporter { controller: MANAGER.to_owned(), instance: Some(settings.pod_name.clone()) };
    let context = Arc::new(Context {
        brokers: Arc::new(Kafka),
        pods: Arc::new(PodClient::new()?),
        metrics: probes.metrics.clone(),
        probes: probes.clone(),
        recorder: Events::new(client.clone(), reporter),
        default_image: (&settings.image).into(),
        changes: Changes::default(),
        memory: Mutex::new(HashMap::new()),
        client: client.clone(),
    });
    tokio::spawn(give_back_memory(Arc::clone(&context)));
    if settings.no_leader_election {
        controller::run(context, &probes, &settings.watch_namespaces, until(stop)).await;
        return Ok(());
    }
    lead(&settings, client, context, &probes, stop).await
}

/// Waits for the lease, works while it holds it, gives it back at the end.
async fn lead(
    settings: &Settings,
    client: Client,
    context: Arc<Context>,
    probes: &Probes,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let lease = LeaseManagerBuilder::new(client, &settings.lease)
        .with_namespace(&settings.pod_namespace)
        .with_identity(&settings.pod_name)
        .with_duration(LEASE_SECONDS)
        .with_grace(LEASE_GRACE_SECONDS)
        .build()
        .await
        .context("no lease")?;
    let (mut leads, task) = lease.watch().await;
    tokio::select! {
        led = leads.wait_for(|leads| *leads) => { led.context("the lease was not renewed")?; }
        () = until(stop.clone()) => {}
    }
    if !*stop.borrow() {
        tracing::info!(lease = settings.lease, holder = settings.pod_name, "leads");
        let mut lost = leads.clone();
        let end = async move {
            tokio::select! {
                _ = lost.wait_for(|leads| !*leads) => {}
                () = until(stop) => {}
            }
        };
        controller::run(context, probes, &settings.watch_namespaces, end).await;
    }
    let still = *leads.borrow();
    // Without a listener the task gives the lease back, so that the next leader need not wait for it to run out.
    drop(leads);
    if tokio::time::timeout(RELEASE_TIMEOUT, task).await.is_err() {
        tracing::warn!("the lease was not given back in time");
    }
    anyhow::ensure!(still, "the lease was lost");
    tracing::info!("stopped");
    Ok(())
}

fn counted(config: Config, metrics: &Metrics) -> anyhow::Result<Client> {
    let metrics = metrics.clone();
    let count = MapRequestLayer::new(move |request: axum::http::Request<Body>| {
        metrics.request(request.method().as_str(), request.uri().path());
        request
    });
    Ok(ClientBuilder::try_from(config).context("no TLS")?.with_layer(&count).build())
}

fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop");
        stop.send_replace(true);
        // Kept, so that waiting on it never ends for want of a sender.
        std::future::pending::<()>().await;
    });
    Ok(stopped)
}

async fn until(mut stop: watch::Receiver<bool>) {
    // An error means that nobody can tell us to stop any more: stop.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What is remembered of pipelines that are gone goes. A client for Kafka lives for one pass and leaves holes in the heap.
async fn give_back_memory(context: Arc<Context>) {
    let mut every = tokio::time::interval(GIVE_BACK_EVERY);
    loop {
        every.tick().await;
        context.forget_gone();
        drop(tokio::task::spawn_blocking(kpay_kafka::ffi::give_back_memory).await); // it does not panic
    }
}

async fn serve(listener: tokio::net::TcpListener, probes: Probes) {
    if let Err(error) = axum::serve(listener, router(probes)).await {
        tracing::error!(%error, "health and metrics");
    }
}
