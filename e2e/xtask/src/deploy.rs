//! From images to a running example pipeline: helm, the manifest, and waiting for its phase.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::images::Image;
use crate::instance::Instance;
use crate::process;
use crate::steps::{note, step};

pub(crate) const NAMESPACE: &str = "kpay-system";
/// Not those of the chart's test, which have another name.
const OPERATOR_PODS: &str = "app.kubernetes.io/name=kpay-operator,app.kubernetes.io/instance=kpay";
/// An upgrade without payments alone takes five: a minute for each of four workloads, and their pods' starts.
const PIPELINE_TIMEOUT: Duration = Duration::from_mins(10);
/// Where the example's manifest looks for Kafka.
const TESTBED_KAFKA: &str = "kafka.kpay-system.svc:9092";
const POLL: Duration = Duration::from_millis(500);
/// For how long the pipeline must look as wanted: a new operator's first look takes a moment, and may replace pods.
const HELD: Duration = Duration::from_secs(2);

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

    pub(crate) fn helm(&self, args: &[&str], log: &Path) -> Result<()> {
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
    Ok(format!("operator {}, pipeline {}", operator.tag, pipeline.tag))
}

/// What the cluster says about an operator that does not become ready.
pub(crate) fn why_not(target: &Target) -> String {
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
        target.apply(&example(instance, target)?)?;
        let [_, pipeline] = images;
        running(target, &pipeline.reference())
    })
}

/// The example's manifest, with the Kafka of the target: a pipeline that runs is not sent to another and back.
fn example(instance: &Instance, target: &Target) -> Result<PathBuf> {
    let manifest = instance.repo.join("manifests/payments.yaml");
    let Some(kafka) = &target.kafka else { return Ok(manifest) };
    let text = fs::read_to_string(&manifest).with_context(|| format!("{}", manifest.display()))?;
    let of_target = instance.cache.join("payments.yaml");
    fs::write(&of_target, text.replace(TESTBED_KAFKA, kafka))?;
    Ok(of_target)
}

/// Waits until the example pipeline runs as its manifest and the image say: the operator has seen this generation of the
/// resource, its phase is Running, and every pod is one of the new image and ready. How far an upgrade is, is told meanwhile.
/// An error says what is missing.
pub(crate) fn running(target: &Target, image: &str) -> Result<String> {
    let started = Instant::now();
    let (mut since, mut told) = (None, None);
    while started.elapsed() < PIPELINE_TIMEOUT {
        let seen = Seen::read(&target.kubectl(&["get", "pp", "payments", "--output", SEEN])?);
        if seen.upgrade.is_some() && seen.upgrade != told {
            if told.is_none() {
                note(
                    "the pipeline's pods are upgraded; where no payments come, that waits a minute for each workload",
                );
            }
            note(seen.upgrade.as_deref().unwrap_or_default());
            told = seen.upgrade;
        }
        if seen.running && led(target)? && rolled(target, image)? {
            if since.get_or_insert_with(Instant::now).elapsed() >= HELD {
                return Ok("payments is Running".to_owned());
            }
        } else {
            since = None;
        }
        thread::sleep(POLL);
    }
    let why = target.kubectl(&[
        "get",
        "pp",
        "payments",
        "--output",
        r#"jsonpath={.status.phase}{range .status.conditions[*]}{"\n"}{.type}={.status} {.reason}: {.message}{end}"#,
    ])?;
    let pods = target.kubectl(&["get", "pods", "--all-namespaces", "--output", "wide"])?;
    bail!(
        "payments does not run with {image} after {} s; its phase and conditions:\n{why}\n{pods}",
        PIPELINE_TIMEOUT.as_secs()
    )
}

/// Whether the operator that works is a pod of now and not the one that was replaced.
fn led(target: &Target) -> Result<bool> {
    let get = |args: &[&str]| target.kubectl(&[args, &["--namespace", NAMESPACE]].concat());
    let holder = get(&["get", "leases", "--output", "jsonpath={.items[*].spec.holderIdentity}"])?;
    let pods = get(&["get", "pods", "--selector", OPERATOR_PODS, "--output", "name"])?;
    let pods: Vec<&str> = pods.lines().filter_map(|line| line.strip_prefix("pod/")).collect();
    Ok(matches!(pods[..], [only] if only == holder.trim()))
}

/// What of the example pipeline [`Seen`] reads.
const SEEN: &str = concat!(
    "jsonpath={.status.phase} {.metadata.generation} {.status.observedGeneration}",
    r#"{range .status.conditions[?(@.type=="UpgradeReady")]}{"\n"}{.status} {.reason} {.message}{end}"#,
);

/// How the example pipeline stands.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Its phase is Running, and its newest spec was seen.
    running: bool,
    /// How far an upgrade is that goes on.
    upgrade: Option<String>,
}

impl Seen {
    fn read(said: &str) -> Self {
        let mut lines = said.lines();
        let words: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
        let running = matches!(words[..], ["Running", generation, observed] if generation == observed);
        let upgrade = lines.next().and_then(|line| line.strip_prefix("False "));
        let upgrade = upgrade.map(|upgrade| upgrade.replacen(' ', ": ", 1));
        Self { running, upgrade }
    }
}

/// Whether every workload is at its newest revision, that revision has the image, and all its pods are ready.
fn rolled(target: &Target, image: &str) -> Result<bool> {
    let path = concat!(
        "jsonpath={range .items[*]}{.spec.template.spec.containers[0].image} {.metadata.generation} ",
        "{.status.observedGeneration} {.spec.replicas} {.status.replicas} {.status.updatedReplicas} ",
        r#"{.status.readyReplicas}{"\n"}{end}"#,
    );
    let label = "kpay.dev/pipeline=payments";
    let said = target.kubectl(&["get", "statefulsets,deployments", "--selector", label, "--output", path])?;
    Ok(!said.is_empty() && said.lines().all(|line| workload_rolled(line, image)))
}

fn workload_rolled(line: &str, image: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    matches!(words[..], [has, generation, observed, wanted, there, updated, ready]
        if has == image && generation == observed && [there, updated, ready] == [wanted; 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_is_told_while_it_goes_on() {
        let seen = |said: &str| {
            let Seen { running, upgrade } = Seen::read(said);
            (running, upgrade)
        };
        let rolling = "Running 3 3\nFalse Rolling 1 of 4, confirmed: payments are watched";
        let told = Some("Rolling: 1 of 4, confirmed: payments are watched".to_owned());
        assert_eq!(seen(rolling), (true, told));
        assert_eq!(seen("Running 3 3\nTrue Succeeded the last change of the pods went well"), (true, None));
        assert_eq!(seen("Running 3 3"), (true, None));
        for not_yet in ["", " 1 ", "Pending 1 1", "Running 2 1", "Draining 2 2\nTrue AsDeclared x"] {
            assert_eq!(seen(not_yet), (false, None), "{not_yet}");
        }
    }

    #[test]
    fn a_workload_has_rolled_when_every_pod_is_new_and_ready() {
        assert!(workload_rolled("kpay:2 3 3 2 2 2 2", "kpay:2"));
        for not_yet in [
            "kpay:1 3 3 2 2 2 2", // the old image
            "kpay:2 3 2 2 2 2 2", // not seen by its controller
            "kpay:2 3 3 2 3 2 2", // an old pod is left
            "kpay:2 3 3 2 2 1 2",
            "kpay:2 3 3 2 2 2 1",
            "kpay:2 3 3 2", // no pod yet: the counts are absent
        ] {
            assert!(!workload_rolled(not_yet, "kpay:2"), "{not_yet}");
        }
    }
}
