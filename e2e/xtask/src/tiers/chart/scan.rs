//! What scanners say of the chart's objects and of those that the operator makes of the example manifests: kubeconform by
//! Kubernetes' own schemas, which no field may be missing from, and kube-score by what it takes for good practice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{Chart, schemas};
use crate::process;
use crate::tools::remove_dir;

/// What is scanned: a name, and how it is rendered.
const RENDERINGS: [(&str, &[&str]); 2] =
    [("defaults", &[]), ("everything", &["--values", "tests/values/everything.yaml"])];
/// Of these manifests what the operator makes of them.
const PIPELINES: [(&str, &str); 3] =
    [("pipeline", "payments-full"), ("pipeline", "payments-accounts"), ("generator", "payments-load")];

const EVERY: &[&str] = &[
    "defaults Deployment",
    "defaults Pod",
    "everything Deployment",
    "everything Pod",
    "pipeline StatefulSet",
    "pipeline Deployment",
    "pipeline Job",
    "generator StatefulSet",
    "generator Deployment",
];
const PIPELINE_PODS: &[&str] = &[
    "pipeline StatefulSet",
    "pipeline Deployment",
    "pipeline Job",
    "generator StatefulSet",
    "generator Deployment",
];

/// A check of kube-score that is not met, where, and why that is right. A finding that is not here fails, and so does one here
/// that kube-score does not make any more.
const EXCEPTIONS: &[(&str, &[&str], &str)] = &[
    (
        "container-image-pull-policy",
        EVERY,
        "a tag is a release and is not moved; with Always no pod starts while the registry is away",
    ),
    (
        "container-ephemeral-storage-request-and-limit",
        EVERY,
        "a pod writes nothing but its log, which the kubelet bounds; a limit would evict it for that log",
    ),
    (
        "pod-networkpolicy",
        &["defaults Deployment", "defaults Pod"],
        "networkPolicy.enabled: nobody but the platform team knows where Kafka and the API server are",
    ),
    (
        "pod-networkpolicy",
        &["everything Pod"],
        "the pod of helm test lives for seconds, serves nothing and holds no token",
    ),
    ("pod-networkpolicy", PIPELINE_PODS, "not there yet, as the README says"),
    (
        "deployment-replicas",
        &["defaults Deployment"],
        "payments go on without the operator, so one that is started anew is enough",
    ),
    (
        "deployment-replicas",
        &["pipeline Deployment", "generator Deployment"],
        "processors.gateway.replicas and processors.generator.replicas are the user's",
    ),
    (
        "statefulset-has-host-podantiaffinity",
        &["pipeline StatefulSet", "generator StatefulSet"],
        "a topology spread constraint has the pods on different nodes where there are several",
    ),
    (
        "deployment-has-poddisruptionbudget",
        &["generator Deployment"],
        "a generator holds nothing, and no phase waits for it",
    ),
    ("deployment-has-host-podantiaffinity", &["generator Deployment"], "as for the StatefulSets"),
];
/// No CPU limit anywhere: it would stop a pod that has work while the node is idle, and show as latency.
const LENIENT: &str = "--ignore-container-cpu-limit";
/// Not among kube-score's default checks.
const OPTIONAL: &str = "container-seccomp-profile,container-ports-check";

/// Not described by Kubernetes, but by the Prometheus Operator; the unit tests say what is in it.
const FOREIGN: &str = "ServiceMonitor";

#[derive(Deserialize)]
struct Conformance {
    summary: Summary,
    resources: Vec<Finding>,
}

#[derive(Deserialize)]
struct Summary {
    valid: u64,
}

#[derive(Deserialize)]
struct Finding {
    filename: String,
    kind: String,
    name: String,
    msg: String,
}

#[derive(Deserialize)]
struct Scored {
    type_meta: TypeMeta,
    object_name: String,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct TypeMeta {
    kind: String,
}

#[derive(Deserialize)]
struct Check {
    #[serde(rename = "check")]
    kind: CheckId,
    grade: u8,
    skipped: bool,
}

#[derive(Deserialize)]
struct CheckId {
    id: String,
}

const GRADE_OK: u8 = 10;

/// Renders all and has it scanned; returns how many objects there were.
pub(super) fn run(chart: &Chart, operator: &Path) -> Result<u64> {
    let folder = chart.instance.cache.join("log/chart");
    remove_dir(&folder)?;
    let mut files = Vec::new();
    for (name, values) in RENDERINGS {
        let mut helm = chart.program("helm", &["template", "kpay", ".", "--namespace", "kpay-system"]);
        files.push((name, keep(&folder, name, helm.args(values).current_dir(&chart.folder))?));
    }
    for (rendering, name) in PIPELINES {
        let manifest = chart.instance.repo.join("manifests").join(format!("{name}.yaml"));
        let mut render = Command::new(operator);
        files.push((rendering, keep(&folder, name, render.arg("render").arg(manifest))?));
    }
    let schemas = folder.join("schemas");
    schemas::write(&chart.instance.cache.join("tools/swagger.json"), &schemas)?;
    let valid = conform(chart, &schemas, &files)?;
    judge(&score(chart, &files)?)?;
    Ok(valid)
}

/// Where people can look at it.
fn keep(folder: &Path, name: &str, render: &mut Command) -> Result<PathBuf> {
    let rendered = process::output(render)?;
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("{name}.yaml"));
    fs::write(&file, rendered)?;
    Ok(file)
}

fn conform(chart: &Chart, schemas: &Path, files: &[(&str, PathBuf)]) -> Result<u64> {
    let location = schemas.join(schemas::LOCATION);
    let mut kubeconform = chart.program("kubeconform", &["-strict", "-summary", "-output", "json"]);
    kubeconform.arg("-schema-location").arg(location).args(["-skip", FOREIGN]);
    // What it found is in its output, whatever it ends with.
    let output = kubeconform.args(files.iter().map(|(_, file)| file)).output()?;
    let answer: Conformance = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let wrong = |one: &Finding| format!("{}: {} {}: {}", one.filename, one.kind, one.name, one.msg);
    let wrong: Vec<String> = answer.resources.iter().map(wrong).collect();
    ensure!(wrong.is_empty(), "not as Kubernetes describes it:\n{}", wrong.join("\n"));
    ensure!(output.status.success() && answer.summary.valid > 0, "kubeconform looked at nothing");
    Ok(answer.summary.valid)
}

/// What is not met, as `rendering kind check`, and the objects that it was found at.
fn score(chart: &Chart, files: &[(&str, PathBuf)]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for (rendering, file) in files {
        let mut kube_score = chart.program("kube-score", &["score", "--output-format", "json", LENIENT]);
        kube_score.args(["--kubernetes-version", "v1.34", "--enable-optional-test", OPTIONAL]).arg(file);
        let output = kube_score.output()?;
        let objects: Vec<Scored> = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        ensure!(!objects.is_empty(), "kube-score looked at nothing in {}", file.display());
        for object in objects {
            let open = object.checks.iter().filter(|check| !check.skipped && check.grade < GRADE_OK);
            found.extend(open.map(|check| {
                (
                    format!("{rendering} {} {}", object.type_meta.kind, check.kind.id),
                    object.object_name.clone(),
                )
            }));
        }
    }
    Ok(found)
}

/// What is found must be what is excepted, and the other way round.
fn judge(found: &[(String, String)]) -> Result<()> {
    let excepted: BTreeSet<String> = EXCEPTIONS
        .iter()
        .flat_map(|(check, places, _)| places.iter().map(move |place| format!("{place} {check}")))
        .collect();
    let open = found.iter().filter(|(finding, _)| !excepted.contains(finding));
    let open: Vec<String> = open.map(|(finding, object)| format!("{finding}: {object}")).collect();
    ensure!(open.is_empty(), "kube-score finds:\n{}", open.join("\n"));
    let needless = excepted.iter().filter(|one| !found.iter().any(|(finding, _)| finding == *one));
    let needless: Vec<&str> = needless.map(String::as_str).collect();
    ensure!(needless.is_empty(), "excepted, and found no more:\n{}", needless.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_finding_and_an_exception_without_one_both_fail() {
        let all: Vec<(String, String)> = EXCEPTIONS
            .iter()
            .flat_map(|(check, places, _)| {
                places.iter().map(move |place| (format!("{place} {check}"), "o".to_owned()))
            })
            .collect();
        assert!(judge(&all).is_ok());
        let mut more = all.clone();
        more.push(("defaults Deployment pod-probes".to_owned(), "o".to_owned()));
        assert!(judge(&more).unwrap_err().to_string().contains("finds:\ndefaults Deployment pod-probes: o"));
        assert!(judge(&all[1..]).unwrap_err().to_string().contains("found no more"));
    }
}
