//! What every pod has: the phase watch, the worker threads, and port 9090.

pub mod control;
pub(crate) mod expiry;
pub mod http;
pub mod logs;
pub mod pages;
pub mod pause;
pub mod phase;
pub mod queries;
pub mod workers;

use std::sync::Arc;

use anyhow::Context;
use kpay_kafka::config::Connection;
use tokio::sync::watch;
use tracing::info;

use crate::args::RunArgs;
use crate::gateway::append::KeyedAppender;
use crate::names::TopicName;
use crate::pod::control::PodControl;
use crate::pod::logs::KafkaLogs;
use crate::pod::phase::Learning;
use crate::pod::workers::{Plan, Stage};

/// Runs one stage until `shutdown` changes. Leaves with an error when a worker ends by itself.
pub async fn run(
    args: RunArgs,
    learning: Learning,
    mut shutdown: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(args.pod.listen)
        .await
        .with_context(|| format!("KPAY_LISTEN: cannot listen on {}", args.pod.listen))?;
    let setup = args.clone();
    let Learning { phase, policy, .. } = learning;
    let stage = tokio::task::spawn_blocking(move || {
        let plan = Plan::of(&setup, policy);
        Stage::new(plan, KafkaLogs::find(&setup, setup.stage)?)
    });
    let stage = stage.await??;
    let (pod, name) = (args.pod.pod_name.clone(), args.stage.as_str());
    let control = Arc::new(PodControl::new(pod, Some(name), stage.reports(), phase.clone()));
    let router = http::router(Arc::clone(&control), stage.queries());
    let stopping = shutdown.clone();
    let server = tokio::spawn(http::serve(listener, router, stopping));
    let gate = stage.gate();
    let follow = tokio::spawn(phase::follow(phase, gate));
    let expiry = stage.holds().map(|(holds, partitions)| {
        let open = incoming(&args);
        tokio::spawn(expiry::run(holds, partitions, open))
    });
    let threads = tokio::task::spawn_blocking({
        let shutdown = shutdown.clone();
        move || stage.run(&shutdown)
    });
    let result = threads.await?;
    info!("workers have stopped");
    follow.abort();
    if let Some(expiry) = expiry {
        expiry.abort();
    }
    if *shutdown.borrow_and_update() {
        server.await??;
    } else {
        server.abort();
    }
    result
}

/// payment.incoming, for what the pod itself has to ask for.
fn incoming(args: &RunArgs) -> expiry::Open {
    let connection = Connection {
        bootstrap_servers: args.pod.bootstrap_servers.clone(),
        client_id: args.pod.pod_name.clone(),
    };
    let topic = args.pod.names().topic(TopicName::Incoming);
    Box::new(move || {
        let appender = KeyedAppender::open(&connection, topic.clone())?;
        Ok(Arc::new(appender))
    })
}
