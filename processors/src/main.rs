//! The `kpay` binary: parses arguments and calls `run`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use kpay::args::{Cli, Command};
use kpay::{cli, gateway, generator, local, pod, rebuild};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

// The data path allocates small and often; jemalloc keeps both its time and the resident memory low.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log(&cli.command);
    let for_people = matches!(cli.command, Command::Local(_));
    // Workers are threads of their own; these serve HTTP and the watch.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = match runtime {
        Ok(runtime) => match runtime.block_on(cli::run(&cli.client, &cli.command)) {
            Some(exit) => return exit.into(),
            None => runtime.block_on(run(cli.command)),
        },
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if for_people => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => {
            error!(error = format!("{error:#}"), "leaving");
            ExitCode::FAILURE
        }
    }
}

/// JSON lines for who collects them, short lines for a person.
fn log(command: &Command) {
    let filter = match command {
        Command::Run(args) => &args.pod.log,
        Command::Gateway(args) => &args.pod.log,
        Command::Generator(args) => &args.log,
        Command::Local(args) => &args.log,
        Command::Rebuild(args) => &args.log,
        // Their errors are their answer.
        Command::Ask(_) | Command::Completions { .. } => return,
    };
    let mut filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Calls it an error that a consumer was closed before it was dropped; see kpay_kafka::group::close.
    if let Ok(silence) = "rdkafka::consumer::base_consumer=off".parse() {
        filter = filter.add_directive(silence);
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    match command {
        Command::Local(_) => lines.compact().with_writer(std::io::stderr).init(),
        _ => lines.json().init(),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let (stop, shutdown) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping");
        stop.send_replace(true);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        warn!("asked again, leaving at once");
        std::process::exit(130);
    });
    match command {
        Command::Run(args) => {
            let learning = pod::phase::watch(&args.pod)?;
            pod::run(args, learning, shutdown).await
        }
        Command::Gateway(args) => gateway_with_control(args, shutdown).await,
        Command::Generator(args) => {
            let learning = pod::phase::watch(&args)?;
            generator::pod::run(args, learning, shutdown).await
        }
        Command::Local(args) => local::run(args, shutdown).await,
        Command::Rebuild(args) => tokio::task::spawn_blocking(move || rebuild::run(&args)).await?,
        // Carried out by `cli::run`.
        Command::Ask(_) | Command::Completions { .. } => Ok(()),
    }
}

async fn gateway_with_control(
    args: kpay::args::GatewayArgs,
    shutdown: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let pod::phase::Learning { phase, pause, .. } = pod::phase::watch(&args.pod)?;
    let status = Arc::<gateway::GatewayStatus>::default();
    let control = pod::control::PodControl::new(
        args.pod.pod_name.clone(),
        None,
        pod::control::Reports::default(),
        phase.clone(),
    )
    .of_gateway(Arc::clone(&status));
    let listener = tokio::net::TcpListener::bind(args.pod.listen).await?;
    let router = pod::http::base(Arc::new(control));
    let server = tokio::spawn(pod::http::serve(listener, router, shutdown.clone()));
    let mut stopping = shutdown.clone();
    let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
    let result = gateway::run(args, phase, pause, status, stopped).await;
    if result.is_err() {
        server.abort();
    } else {
        server.await??;
    }
    result
}
