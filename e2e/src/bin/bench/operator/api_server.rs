//! etcd and a kube-apiserver on loopback, and what was asked of it. Only I/O.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kpay_crds::{PaymentPipeline, PipelineOperation};
use kpay_e2e::broker::free_ports;
use kpay_e2e::process::Process;
use kube::api::{ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, CustomResourceExt, ResourceExt};
use serde_json::Value;

const READY_WITHIN: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(100);

/// Who may do anything, by a token that is the name.
const USERS: [&str; 2] = ["bench", "operator"];

const AUDIT: &str =
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";

/// A running API server; dropping it ends it.
pub(super) struct ApiServer {
    home: PathBuf,
    _processes: [Process; 2],
}

/// Requests of the operator so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Requests {
    pub(super) reads: usize,
    pub(super) writes: usize,
}

impl ApiServer {
    pub(super) fn start(bin: &Path, home: &Path) -> anyhow::Result<Self> {
        let [client, peer, secure] = free_ports()?;
        let (etcd, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new(bin.join("etcd"));
        command.args(["--name", "bench", "--unsafe-no-fsync", "--log-level", "warn", "--data-dir"]);
        command.arg(home.join("etcd"));
        command.args(["--listen-client-urls", &etcd, "--advertise-client-urls", &etcd]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("bench={peer}"), "--quota-backend-bytes", "4294967296"]);
        let store = Process::spawn("etcd", command, &home.join("etcd.log"))?;

        let key = home.join("sa.key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output()?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let tokens = USERS.map(|user| format!("{user},{user},{user},system:masters\n")).concat();
        fs::write(home.join("tokens.csv"), tokens)?;
        fs::write(home.join("audit.yaml"), AUDIT)?;
        let mut command = Command::new(bin.join("kube-apiserver"));
        command.args([
            &format!("--etcd-servers={etcd}"),
            "--bind-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
        ]);
        command.args([&format!("--secure-port={secure}"), "--service-cluster-ip-range=10.96.0.0/12"]);
        command.args([
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
        ]);
        command.arg("--service-account-issuer=https://kubernetes.default.svc");
        let file = |flag: &str, name: &str| format!("--{flag}={}", home.join(name).display());
        for (flag, name) in [
            ("cert-dir", "certs"),
            ("token-auth-file", "tokens.csv"),
            ("service-account-key-file", "sa.key"),
            ("service-account-signing-key-file", "sa.key"),
            ("audit-policy-file", "audit.yaml"),
            ("audit-log-path", "audit.log"),
        ] {
            command.arg(file(flag, name));
        }
        command.arg("--audit-log-maxsize=4000"); // MiB: one file
        let server = Process::spawn("kube-apiserver", command, &home.join("apiserver.log"))?;
        for user in USERS {
            fs::write(home.join(user), kubeconfig(secure, user))?;
        }
        Ok(Self { home: home.to_owned(), _processes: [server, store] })
    }

    /// The kubeconfig of a user.
    pub(super) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.home.join(user)
    }

    /// A client, once the server is ready.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let config = Kubeconfig::read_from(self.kubeconfig("bench"))?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match Api::<CustomResourceDefinition>::all(client.clone()).list(&ListParams::default()).await {
                Ok(_) => return Ok(client),
                Err(error) => ensure!(
                    Instant::now() < deadline,
                    "the API server is not ready: {error}; see {}",
                    self.home.join("apiserver.log").display()
                ),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What the operator has asked so far, by the audit log; watches are no reads.
    pub(super) fn requests(&self) -> anyhow::Result<Requests> {
        let log = fs::read_to_string(self.home.join("audit.log"))?;
        let mut requests = Requests::default();
        for line in log.lines().filter(|line| line.contains(r#""username":"operator""#)) {
            let event: Value = serde_json::from_str(line)?;
            match event.get("verb").and_then(Value::as_str).context("a verb")? {
                "get" | "list" => requests.reads += 1,
                "watch" => {}
                _ => requests.writes += 1,
            }
        }
        Ok(requests)
    }
}

/// The server made its certificate by itself; it is on loopback, and lives as long as the benchmark.
fn kubeconfig(port: u16, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\n\
         clusters: [{{name: bench, cluster: {{server: \"https://127.0.0.1:{port}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: {user}, user: {{token: {user}}}}}]\n\
         contexts: [{{name: bench, context: {{cluster: bench, user: {user}}}}}]\n"
    )
}

/// Installs kpay's resources, and waits until they can be used.
pub(super) async fn install(client: &Client) -> anyhow::Result<()> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    for definition in [PaymentPipeline::crd(), PipelineOperation::crd()] {
        api.create(&PostParams::default(), &definition).await?;
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let found = api.get(&definition.name_any()).await?;
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|c| c.type_ == "Established" && c.status == "True") {
                break;
            }
            ensure!(Instant::now() < deadline, "{} is not established", definition.name_any());
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}
