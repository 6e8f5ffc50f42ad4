//! `bench operator`: what many pipelines cost the operator. A real API server and a real broker; there is no node, so that no
//! processor runs: pods that the workloads would have are said to be ready, as a kubelet would say it.

mod api_server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Namespace;
use kpay_crds::{PaymentPipeline, Phase};
use kpay_e2e::broker::{Broker, free_ports};
use kpay_e2e::figures::{machine, publish};
use kpay_e2e::process::{Process, usage};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::api_server::ApiServer;

/// Pipelines of one namespace.
const TOGETHER: u64 = 50;
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at everything, which cost the API server more than the operator does.
const ROUND: Duration = Duration::from_secs(5);
/// What a busy time has freed goes back to the machine, and what was put off is written.
const SETTLE: Duration = Duration::from_secs(30);
const WITHIN: Duration = Duration::from_mins(30);

/// What is measured, and where the figures go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pipelines.
    #[arg(long, default_value_t = 1_000)]
    pipelines: u64,
    /// For how long writes at rest are counted.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// Folder with `etcd` and `kube-apiserver`.
    #[arg(long, env = "KPAY_CLUSTER_BIN")]
    cluster_bin: PathBuf,
    /// The operator to run; the release build beside this program by default.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Write the figures as JSON to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Figures {
    pipelines: u64,
    /// From the first one that is created to the last one that is Running.
    reconciled_seconds: f64,
    /// At rest without a pipeline, with all of them, and after a restart with all of them.
    rss_mib: BTreeMap<&'static str, f64>,
    /// What a pipeline adds.
    bytes_each: f64,
    /// At rest, over `idle_seconds`.
    idle: Idle,
    /// From the start of the process.
    restart: Restart,
    conditions: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Idle {
    seconds: u64,
    api_writes: usize,
    api_reads_per_second: f64,
    operator_cpu_percent: f64,
}

#[derive(Debug, Serialize)]
struct Restart {
    /// Until it is ready and knows every pipeline.
    ready_seconds: f64,
    /// Until there were as many reconciles as pipelines.
    all_seen_seconds: f64,
    api_writes: usize,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let home = std::env::temp_dir().join(format!("kpay-bench-operator-{}", std::process::id()));
    std::fs::create_dir_all(&home)?;
    let server = ApiServer::start(&args.cluster_bin, &home)?;
    let broker = Broker::start("bench-broker")?;
    let client = runtime.block_on(server.client())?;
    let bench = Bench { args, runtime, client, server, broker, home };
    let figures = bench.measure()?;
    publish(&figures, args.json.as_deref())
}

struct Bench<'a> {
    args: &'a Args,
    runtime: tokio::runtime::Runtime,
    client: Client,
    server: ApiServer,
    broker: Broker,
    home: PathBuf,
}

impl Bench<'_> {
    fn measure(&self) -> anyhow::Result<Figures> {
        self.runtime.block_on(api_server::install(&self.client))?;
        let operator = Operator::start(self)?;
        std::thread::sleep(SETTLE);
        let empty = operator.rss_mib()?;

        let began = Instant::now();
        self.create()?;
        self.until_running()?;
        let reconciled_seconds = began.elapsed().as_secs_f64();
        eprintln!("{} pipelines are Running", self.args.pipelines);
        std::thread::sleep(SETTLE);
        let full = operator.rss_mib()?;
        let idle = self.idle(&operator)?;
        operator.process.stop()?;

        let before = self.server.requests()?;
        let began = Instant::now();
        let operator = Operator::start(self)?;
        let until = |metric: &str| -> anyhow::Result<f64> {
            while operator.sum_of(metric)? < self.args.pipelines {
                ensure!(began.elapsed() < WITHIN, "{metric} is not {}", self.args.pipelines);
                std::thread::sleep(POLL);
            }
            Ok(began.elapsed().as_secs_f64())
        };
        let ready_seconds = until("kpay_operator_pipelines")?;
        let all_seen_seconds = until("kpay_operator_reconciles_total")?;
        std::thread::sleep(SETTLE);
        let restart = Restart {
            ready_seconds,
            all_seen_seconds,
            api_writes: self.server.requests()?.writes - before.writes,
        };
        let again = operator.rss_mib()?;
        #[allow(clippy::cast_precision_loss)] // a count of resources
        let bytes_each = (full - empty) * 1024.0 * 1024.0 / self.args.pipelines as f64;
        let mut conditions = machine();
        conditions.extend([
            ("shared_with", "API server, etcd and broker on the same cores".to_owned()),
            ("processors", "none: their pods are said to be ready".to_owned()),
            ("namespaces", self.args.pipelines.div_ceil(TOGETHER).to_string()),
            ("topics", "7 a pipeline, one partition each".to_owned()),
        ]);
        Ok(Figures {
            pipelines: self.args.pipelines,
            reconciled_seconds,
            rss_mib: [("empty", empty), ("full", full), ("restarted", again)].into(),
            bytes_each,
            idle,
            restart,
            conditions,
        })
    }

    fn create(&self) -> anyhow::Result<()> {
        let one = json!({"partitions": 1});
        let spec = json!({
            "kafka": {"bootstrapServers": self.broker.bootstrap, "replication": 1},
            "topics": {"incoming": one, "inflight": one, "complete": one, "confirmed": one, "dlq": one},
            "processors": {"account": {"replicas": 1}},
        });
        let creator = PostParams::default();
        for number in 0..self.args.pipelines {
            let namespace = format!("bench-{}", number / TOGETHER);
            if number % TOGETHER == 0 {
                let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
                self.runtime.block_on(Api::all(self.client.clone()).create(&creator, &made))?;
            }
            let pipeline: PaymentPipeline = serde_json::from_value(json!({
                "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
                "metadata": {"name": format!("p-{number}"), "namespace": namespace},
                "spec": spec,
            }))?;
            let api = Api::<PaymentPipeline>::namespaced(self.client.clone(), &namespace);
            self.runtime.block_on(api.create(&creator, &pipeline))?;
        }
        Ok(())
    }

    /// Says of every workload that its pods are ready, until all pipelines are Running.
    fn until_running(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            self.runtime.block_on(make_ready::<StatefulSet>(&self.client))?;
            self.runtime.block_on(make_ready::<Deployment>(&self.client))?;
            let all = Api::<PaymentPipeline>::all(self.client.clone());
            let all = self.runtime.block_on(all.list(&ListParams::default()))?;
            let phase = |pipeline: &PaymentPipeline| pipeline.status.as_ref().and_then(|status| status.phase);
            let running = all.iter().filter(|pipeline| phase(pipeline) == Some(Phase::Running)).count();
            if u64::try_from(running)? == self.args.pipelines {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "only {running} pipelines are Running");
            std::thread::sleep(ROUND);
        }
    }

    fn idle(&self, operator: &Operator) -> anyhow::Result<Idle> {
        let (before, cpu) = (self.server.requests()?, usage(operator.process.pid())?.cpu_seconds);
        std::thread::sleep(Duration::from_secs(self.args.idle_seconds));
        let (after, seconds) = (self.server.requests()?, self.args.idle_seconds);
        let cpu = usage(operator.process.pid())?.cpu_seconds - cpu;
        let of = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let whole = of(usize::try_from(seconds)?);
        Ok(Idle {
            seconds,
            api_writes: after.writes - before.writes,
            api_reads_per_second: of(after.reads - before.reads) / whole,
            operator_cpu_percent: cpu / whole * 100.0,
        })
    }
}

/// Tells of those that have no pod ready that all are.
async fn make_ready<K>(client: &Client) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    for found in Api::<K>::all(client.clone()).list(&ListParams::default()).await? {
        let object = serde_json::to_value(&found)?;
        let wanted = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        if object.pointer("/status/readyReplicas").and_then(Value::as_i64) == Some(wanted) {
            continue;
        }
        let status = json!({"status": {"replicas": wanted, "readyReplicas": wanted, "updatedReplicas": wanted,
            "availableReplicas": wanted, "observedGeneration": found.meta().generation}});
        let namespace = found.namespace().context("a workload has a namespace")?;
        Api::<K>::namespaced(client.clone(), &namespace)
            .patch_status(&found.name_any(), &PatchParams::default(), &Patch::Merge(&status))
            .await?;
    }
    Ok(())
}

/// The operator as a process, with the environment that the chart gives it.
struct Operator {
    process: Process,
    address: String,
}

impl Operator {
    /// Starts it and waits until it is ready.
    fn start(bench: &Bench) -> anyhow::Result<Self> {
        let binary = match &bench.args.binary {
            Some(given) => given.clone(),
            None => std::env::current_exe()?.with_file_name("kpay-operator"),
        };
        let [port] = free_ports()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(&binary);
        command.args(["run", "--no-leader-election", "--listen", &address]);
        command.env("KUBECONFIG", bench.server.kubeconfig("operator"));
        command.env("MALLOC_ARENA_MAX", "1").env("MALLOC_TRIM_THRESHOLD_", "65536");
        let process = Process::spawn("operator", command, &bench.home.join("operator.log"))?;
        let mut operator = Self { process, address };
        let deadline = Instant::now() + Duration::from_mins(2);
        while operator.get("/healthz/ready").is_err() {
            ensure!(operator.process.running(), "the operator has ended: {}", log_of(&bench.home));
            ensure!(Instant::now() < deadline, "the operator is not ready: {}", log_of(&bench.home));
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(operator)
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        let answer = reqwest::blocking::get(format!("http://{}{path}", self.address))?;
        Ok(answer.error_for_status()?.text()?)
    }

    /// The sum of a metric over its labels.
    fn sum_of(&self, metric: &str) -> anyhow::Result<u64> {
        let text = self.get("/metrics")?;
        let of_it = |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with([' ', '{']));
        let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
        Ok(text.lines().filter(of_it).filter_map(value).sum())
    }

    fn rss_mib(&self) -> anyhow::Result<f64> {
        Ok(usage(self.process.pid())?.rss_mib)
    }
}

fn log_of(home: &Path) -> String {
    home.join("operator.log").display().to_string()
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        if std::env::var_os("KPAY_KEEP").is_none() {
            drop(std::fs::remove_dir_all(&self.home));
        }
    }
}
