//! `kpay local`: the whole pipeline in one process on the embedded log. The same stages, the same phase machine reading
//! the same YAML, the same gateway. Only wiring and I/O.
//!
//! | module | what it is |
//! |---|---|
//! | `logs` | the embedded log behind the workers, the lookups and the gateway |
//! | `letters` | the dead letters behind the gateway |
//! | `peers` | the stages of this process behind the gateway's questions |
//! | `pipeline` | the resource from its file |
//! | `wish` | what was wished of it by the gateway |
//! | `epoch` | how often its phase has changed |
//! | `kept` | where both outlive the process |
//! | `phase` | the phase machine on what this process knows |

mod epoch;
mod kept;
mod letters;
mod logs;
mod peers;
mod phase;
mod pipeline;
mod wish;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::Phase;
use kpay_domain::Policy;
use kpay_streams::clock::now_ms;
use kpay_streams::embedded::{Limits, Store};
use kpay_streams::worker::Settings;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use self::letters::EmbeddedLetters;
use self::logs::{EmbeddedAppender, EmbeddedLogs, Kept};
use self::peers::LocalPeers;
use self::pipeline::Source;
use crate::args::LocalArgs;
use crate::gateway::append::Appender;
use crate::gateway::{self, Backends};
use crate::names::{Names, StageName, TopicName};
use crate::pod::control::PodControl;
use crate::pod::expiry;
use crate::pod::phase::Learned;
use crate::pod::queries::Queries;
use crate::pod::workers::{Plan, Stage};

const CHECKPOINT_INTERVAL_MS: i64 = 30_000;
/// Between two looks for what is older than its topic keeps.
const RETENTION_INTERVAL: Duration = Duration::from_mins(1);
/// Between two compactions: each reads the whole topic.
const COMPACTION_MINUTES: u64 = 60;

/// One stage of this process, as the others see it.
pub(crate) struct Local {
    pub(crate) stage: StageName,
    pub(crate) partitions: i32,
    pub(crate) control: Arc<PodControl>,
    pub(crate) queries: Queries,
}

impl Local {
    /// What the stage says of itself, as its readers in a cluster read it.
    pub(crate) fn report<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&serde_json::to_vec(&self.control.report())?)
    }
}

/// Runs everything until `shutdown` turns true, or a worker fails.
pub async fn run(args: LocalArgs, mut shutdown: watch::Receiver<bool>) -> anyhow::Result<()> {
    let source = Source::open(args.file.clone())?;
    let pipeline = source.read()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("--listen: cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    let folder = args.data_dir.map_or_else(default_folder, Ok)?;
    prepare(&folder).with_context(|| format!("--data-dir {}", folder.display()))?;
    let topics = logs::topics(&pipeline);
    let store = {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || Store::open(&folder, &topics, Limits::default())).await?
    };
    let store = store.with_context(|| format!("--data-dir {}", folder.display()))?;

    let (wishes, newest_wish) = wish::Folder::open(&folder, args.file)?;
    let epoch = epoch::Epoch::open(&folder)?;
    let (stop_stages, stopping) = watch::channel(false);
    let (learn, learned) = watch::channel(None);
    let (tell_pause, pause) = watch::channel(Arc::default());
    let (decide, policy) = watch::channel(Arc::new(pipeline.terms.policy.clone()));
    let (mut stages, mut runs, mut gates) = (Vec::new(), Vec::new(), Vec::new());
    for name in StageName::ALL {
        let plan = plan(&pipeline, name, policy.clone());
        let stage = Stage::new(plan, EmbeddedLogs::new(store.clone(), &pipeline, name))?;
        let control = PodControl::new(
            format!("{}-{}", pipeline.name, name.as_str()),
            Some(name.as_str()),
            stage.reports(),
            learned.clone(),
        );
        gates.push(stage.gate());
        stages.push(Local {
            stage: name,
            partitions: pipeline.partitions(name.component()),
            control: Arc::new(control),
            queries: stage.queries(),
        });
        runs.push(stage);
    }
    let stages: Arc<[Local]> = stages.into();
    let progress = logs::progress(store.clone(), &pipeline);
    let accepted = {
        let (store, pipeline) = (store.clone(), pipeline.clone());
        tokio::task::spawn_blocking(move || logs::unread(&store, &pipeline)).await??
    };
    let appender: Arc<dyn Appender> = Arc::new(EmbeddedAppender::new(store.clone(), &pipeline)?);
    let backends = Backends {
        accepted,
        appender: Arc::clone(&appender),
        peers: Arc::new(LocalPeers::new(Arc::clone(&stages), store.clone())),
        wishes: Arc::new(wishes),
        letters: Box::new(EmbeddedLetters::new(store.clone(), &pipeline)),
        names: names(&pipeline),
        generator: args.generator,
        pause,
    };

    // From here on nothing fails before the stages are told to stop, which end only then.
    let (mut threads, mut expiries) = (JoinSet::new(), Vec::new());
    for stage in runs {
        if let Some((holds, partitions)) = stage.holds() {
            let appender = Arc::clone(&appender);
            let open: expiry::Open = Box::new(move || Ok(Arc::clone(&appender)));
            expiries.push(tokio::spawn(expiry::run(holds, partitions, open)));
        }
        let stopping = stopping.clone();
        threads.spawn_blocking(move || stage.run(&stopping));
    }
    let changes = phase::Tell { learn, gates, policy: decide, pause: tell_pause };
    let phase =
        tokio::spawn(phase::drive(source, pipeline.clone(), newest_wish, epoch, stages, progress, changes));
    let retention = tokio::spawn(keep_within(store, pipeline.clone()));
    tokio::spawn(tell_once(pipeline.clone(), learned.clone(), address.to_string(), folder));
    let (stop_gateway, mut stopped) = watch::channel(false);
    let stopped = async move { drop(stopped.wait_for(|stop| *stop).await) };
    let served = tokio::spawn(gateway::serve(listener, backends, learned, Arc::default(), stopped));
    // The gateway first: whoever waits for an outcome still gets it.
    let early = tokio::select! {
        ended = threads.join_next() => ended,
        _ = shutdown.wait_for(|stop| *stop) => None,
    };
    stop_gateway.send_replace(true);
    let mut result = match early {
        Some(stage) => ended(stage),
        None => served.await.context("the gateway has panicked"),
    };
    stop_stages.send_replace(true);
    while let Some(stage) = threads.join_next().await {
        result = result.and(ended(stage));
    }
    phase.abort();
    retention.abort();
    expiries.iter().for_each(JoinHandle::abort);
    result
}

/// Tells people where it is as soon as it has settled.
async fn tell_once(
    pipeline: ValidatedPipeline,
    mut learned: watch::Receiver<Option<Learned>>,
    address: String,
    folder: PathBuf,
) {
    let settled = |learned: &Option<Learned>| learned.is_some_and(|l| l.phase != Phase::Pending);
    if learned.wait_for(settled).await.is_ok() {
        tell(&pipeline, &address, &folder);
    }
}

fn ended(stage: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    stage.context("a stage has panicked")?
}

/// What a stage does here; the rest is as in a pod.
fn plan(pipeline: &ValidatedPipeline, stage: StageName, policy: watch::Receiver<Arc<Policy>>) -> Plan {
    Plan {
        stage,
        names: names(pipeline),
        workers: 1,
        policy,
        window_ms: i64::from(pipeline.idempotency_window_seconds) * 1000,
        checkpoint_interval_ms: CHECKPOINT_INTERVAL_MS,
        source: format!("/kpay/{}/{}", pipeline.namespace, pipeline.name),
        settings: Settings::default(),
    }
}

fn names(pipeline: &ValidatedPipeline) -> Names {
    Names { prefix: pipeline.topic_prefix.clone() }
}

/// `$XDG_DATA_HOME/kpay`, else `~/.local/share/kpay`.
fn default_folder() -> anyhow::Result<PathBuf> {
    if let Some(data) = std::env::var_os("XDG_DATA_HOME").filter(|data| !data.is_empty()) {
        return Ok(PathBuf::from(data).join("kpay"));
    }
    let home = std::env::var_os("HOME").context("HOME is not set; give --data-dir")?;
    Ok(PathBuf::from(home).join(".local/share/kpay"))
}

/// Removes what is older than its topic keeps and was read, and of the checkpoints what is superseded.
async fn keep_within(store: Store, pipeline: ValidatedPipeline) {
    for minute in 1_u64.. {
        tokio::time::sleep(RETENTION_INTERVAL).await;
        for topic in TopicName::ALL {
            let (store, kept) = (store.clone(), logs::kept(&pipeline, topic));
            let name = pipeline.topic(topic);
            let removed = tokio::task::spawn_blocking(move || match kept {
                Kept::For { ms, reader } => {
                    store.retain(store.topic(&name)?, reader.as_deref(), now_ms() - ms)
                }
                Kept::Newest if minute % COMPACTION_MINUTES == 1 => store.compact(store.topic(&name)?),
                Kept::Newest | Kept::ForEver => Ok(0),
            });
            if let Ok(Err(error)) = removed.await {
                tracing::warn!(%error, topic = topic.as_str(), "what is too old was not removed");
            }
        }
    }
}

/// Makes the folder, for its owner alone; refuses one that holds something else.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let empty = std::fs::read_dir(folder)?.next().is_none();
    ensure!(empty || folder.join("lock").exists(), "holds something else; give an empty or a new folder");
    Ok(())
}

/// Tells how to go on, in lines that may be pasted.
fn tell(pipeline: &ValidatedPipeline, address: &str, folder: &Path) {
    eprintln!(
        "kpay: pipeline {}/{} on http://{address}, data in {}",
        pipeline.namespace,
        pipeline.name,
        folder.display()
    );
    eprintln!(
        r#"  curl {address}/v1/accounts --json '{{"id": "alice", "currency": "USD", "funding": 100000}}'"#
    );
    eprintln!(r#"  curl {address}/v1/accounts --json '{{"id": "bob", "currency": "USD"}}'"#);
    eprintln!(
        r#"  curl {address}/v1/payments -H 'Prefer: wait=5' --json '{{"id": "p-1", "from": "alice", "to": "bob", "amount": {{"value": 1234, "currency": "USD"}}}}'"#
    );
    eprintln!("  curl {address}/v1/pipeline");
    if pipeline.accounts.is_some() {
        eprintln!(
            "spec.accounts.bootstrap: there are no ConfigMaps here; kpay --gateway http://{address} account import FILE opens the accounts of a file"
        );
    }
}
