//! The life of a release of the chart on a cluster, once it is installed: its own test, upgrades to other values, its end.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::deploy::{self, NAMESPACE, Target};
use crate::images::Image;
use crate::instance::Instance;
use crate::steps::step;

const RELEASE: &str = "kpay";
/// The release that watches one namespace only, and has the values that make further objects.
const ONE_NAMESPACE: &str = "watchNamespaces={default},networkPolicy.enabled=true";

/// `helm test`.
pub(super) fn test(instance: &Instance, target: &Target) -> Result<String> {
    let args = ["test", RELEASE, "--namespace", NAMESPACE, "--timeout", "2m"];
    target.helm(&args, &instance.log("helm-test")).with_context(|| deploy::why_not(target))?;
    Ok("passed".to_owned())
}

/// Upgrades the release to a Role in one namespace, where the example pipeline must become Running with no other rights;
/// then to two operators; and uninstalls it, which leaves the pipeline as it is.
pub(super) fn live(instance: &Instance, target: &Target, images: &[Image; 2]) -> Result<()> {
    step("helm upgrade: one namespace", || {
        upgrade(instance, target, ONE_NAMESPACE)?;
        let roles = target.kubectl(&["get", "clusterroles", "--output", "name"])?;
        ensure!(!roles.contains("kpay-operator"), "the ClusterRole is still there:\n{roles}");
        target.apply(&instance.repo.join("manifests/payments.yaml"))?;
        let [_, pipeline] = images;
        let said = deploy::running(target, &pipeline.reference())?;
        refused_nothing(instance, target)?;
        Ok(said)
    })?;
    step("helm upgrade: two operators", || {
        upgrade(instance, target, "replicas=2")?;
        let budget = ["get", "poddisruptionbudgets", "--namespace", NAMESPACE, "--output"];
        let path = "jsonpath={.items[*].metadata.name} {.items[*].spec.maxUnavailable}";
        let budget = target.kubectl(&[&budget[..], &[path]].concat())?;
        ensure!(budget == "kpay-operator 1", "the budget is {budget:?}");
        test(instance, target)
    })?;
    step("helm uninstall", || {
        let args = ["uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout", "2m"];
        target.helm(&args, &instance.log("helm-uninstall"))?;
        let left = target.kubectl(&["get", "deployments", "--namespace", NAMESPACE, "--output", "name"])?;
        ensure!(!left.contains("kpay-operator"), "left: {left}");
        let phase = target.kubectl(&["get", "pp", "payments", "--output", "jsonpath={.status.phase}"])?;
        ensure!(phase == "Running", "the pipeline is {phase:?}");
        let pods = ["get", "pods", "--selector", "kpay.dev/pipeline=payments", "--field-selector"];
        let pods = target.kubectl(&[&pods[..], &["status.phase=Running", "--output", "name"]].concat())?;
        ensure!(!pods.is_empty(), "its pods are gone");
        Ok("the CustomResourceDefinitions, the pipeline and its pods are left".to_owned())
    })
}

/// Whether the API server has refused nothing to the operator's pod. The one before it lost its rights with the `ClusterRole`.
fn refused_nothing(instance: &Instance, target: &Target) -> Result<()> {
    let path = "jsonpath={.items[*].spec.holderIdentity}";
    let pod = target.kubectl(&["get", "leases", "--namespace", NAMESPACE, "--output", path])?;
    let log = fs::read_to_string(instance.state().join("log/audit.log"))?;
    // The pod's name is in its token, and the API server writes it down.
    let asked: Vec<&str> = log.lines().filter(|line| line.contains(&format!("[\"{pod}\"]"))).collect();
    ensure!(!pod.is_empty() && !asked.is_empty(), "the audit log does not know of {pod:?}");
    let refused = asked.iter().find(|line| line.contains("\"authorization.k8s.io/decision\":\"forbid\""));
    ensure!(refused.is_none(), "refused: {}", refused.unwrap_or(&""));
    Ok(())
}

/// With the values that it has, and these.
fn upgrade(instance: &Instance, target: &Target, values: &str) -> Result<()> {
    let chart = instance.repo.join("charts/kpay");
    let chart = chart.to_string_lossy();
    let mut args = vec!["upgrade", RELEASE, &chart, "--namespace", NAMESPACE, "--reuse-values"];
    args.extend(["--set", values, "--wait", "--timeout", "5m"]);
    target.helm(&args, &instance.log("helm-upgrade")).with_context(|| deploy::why_not(target))
}
