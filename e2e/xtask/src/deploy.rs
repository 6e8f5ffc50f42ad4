//! From images to a running example pipeline: helm, the manifest, and waiting for its phase.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::images::Image;
use crate::instance::Instance;
use crate::process;
use crate::steps::step;

pub(crate) const NAMESPACE: &str = "kpay-system";
const OPERATOR_PODS: &str = "app.kubernetes.io/instance=kpay";
const PIPELINE_TIMEOUT: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(500);

/// A cluster that kubectl and helm can reach.
pub(crate) struct Target {
    /// Some: the programs run inside this instance's network.
    inside: Option<Instance>,
    bin: PathBuf,
    pub(crate) kubeconfig: PathBuf,
    context: Option<String>,
    /// What the example pipeline is told, when it is not what its manifest says.
    kafka: Option<String>,
}

impl Target {
    pub(crate) fn inside(instance: &Instance) -> Self {
        Self {
            inside: Some(instance.clone()),
            bin: instance.cache.join("bin"),
            kubeconfig: instance.state().join("pki/admin.kubeconfig"),
            context: None,
            kafka: None,
        }
    }

    pub(crate) fn outside(
        instance: &Instance,
        kubeconfig: PathBuf,
        context: Option<&str>,
        kafka: &str,
    ) -> Self {
        Self {
            inside: None,
            bin: instance.cache.join("bin"),
            kubeconfig,
            context: context.map(str::to_owned),
            kafka: Some(kafka.to_owned()),
        }
    }

    fn program(&self, program: &str) -> Command {
        let path = self.bin.join(program);
        let mut command =
            self.inside.as_ref().map_or_else(|| Command::new(&path), |instance| instance.inside(&path));
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs kubectl and returns what it printed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = self.program("kubectl");
        command.args(self.context.iter().flat_map(|context| ["--context", context]));
        process::output(command.args(args))
    }

    pub(crate) fn apply(&self, manifest: &Path) -> Result<()> {
        self.kubectl(&["apply", "--filename", &manifest.to_string_lossy()]).map(drop)
    }

    fn helm(&self, args: &[&str], log: &Path) -> Result<()> {
        let mut command = self.program("helm");
        command.args(self.context.iter().flat_map(|context| ["--kube-context", context]));
        process::logged(command.args(args), log, |_| {})
    }
}

/// The operator by helm: `images` are the operator's and the pipeline's.
pub(crate) fn operator(
    instance: &Instance,
    target: &Target,
    images: &[Image; 2],
    pull_policy: &str,
) -> Result<String> {
    let chart = instance.repo.join("charts/kpay");
    ensure!(
        chart.join("Chart.yaml").is_file(),
        "{} is not there; `up --no-deploy` needs no chart",
        chart.display()
    );
    let [operator, pipeline] = images;
    let values = format!(
        "image.repository={},image.tag={},image.pullPolicy={pull_policy},\
         pipelineImage.repository={},pipelineImage.tag={},pipelineImage.pullPolicy={pull_policy}",
        operator.repository, operator.tag, pipeline.repository, pipeline.tag
    );
    let chart = chart.to_string_lossy();
    let mut args =
        vec!["upgrade", "--install", "kpay", &chart, "--namespace", NAMESPACE, "--create-namespace"];
    // A hash may be all digits; --set-string keeps it a string.
    args.extend(["--set-string", &values, "--wait", "--timeout", "5m"]);
    target.helm(&args, &instance.log("helm")).with_context(|| why_not(target))?;
    // helm installs the chart's CRDs once and never touches them again.
    let crds = instance.repo.join("charts/kpay/crds");
    if crds.is_dir() {
        target.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename",
            &crds.to_string_lossy(),
        ])?;
    }
    Ok(format!("operator {}, pipeline {}", operator.tag, pipeline.tag))
}

/// What the cluster says about an operator that does not become ready.
fn why_not(target: &Target) -> String {
    let ask = |args: &[&str]| target.kubectl(args).unwrap_or_default(); // only for the message
    let pods = ask(&["get", "pods", "--namespace", NAMESPACE, "--output", "wide"]);
    let logs = ask(&["logs", "--namespace", NAMESPACE, "--selector", OPERATOR_PODS, "--tail", "20"]);
    format!("helm failed; the pods and the operator's last lines:\n{pods}{logs}")
}

/// The operator and the example pipeline, until it runs.
pub(crate) fn deploy(
    instance: &Instance,
    target: &Target,
    images: &[Image; 2],
    pull_policy: &str,
) -> Result<()> {
    step("helm", || operator(instance, target, images, pull_policy))?;
    step("pipeline", || {
        target.apply(&instance.repo.join("manifests/payments.yaml"))?;
        if let Some(kafka) = &target.kafka {
            let patch = serde_json::json!({"spec": {"kafka": {"bootstrapServers": kafka}}}).to_string();
            target.kubectl(&["patch", "pp", "payments", "--type", "merge", "--patch", &patch])?;
        }
        running(target)
    })
}

/// Waits until the example pipeline's phase is Running; an error says what it is instead, and why.
fn running(target: &Target) -> Result<String> {
    let started = Instant::now();
    let read = |path: &str| target.kubectl(&["get", "pp", "payments", "--output", path]);
    while started.elapsed() < PIPELINE_TIMEOUT {
        if read("jsonpath={.status.phase}")? == "Running" {
            return Ok("payments is Running".to_owned());
        }
        thread::sleep(POLL);
    }
    let why = read(
        r#"jsonpath={.status.phase}{range .status.conditions[*]}{"\n"}{.type}={.status} {.reason}: {.message}{end}"#,
    )?;
    let pods = target.kubectl(&["get", "pods", "--all-namespaces", "--output", "wide"])?;
    bail!(
        "payments is not Running after {} s; its phase and conditions:\n{why}\n{pods}",
        PIPELINE_TIMEOUT.as_secs()
    )
}
