//! The Job that imports the accounts that a pipeline begins with: `kpay account import` on a key of a `ConfigMap`, against
//! the pipeline's own gateway. Pure.

use k8s_openapi::api::batch::v1::{Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EnvVar, KeyToPath, PodSpec, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kpay_crds::Resources;

use super::job::{self, REPORT};
use super::{pipeline_metadata, pod};
use crate::bootstrap::Import;
use crate::names::{self, BOOTSTRAP, COMPONENT_LABEL, Component, GATEWAY_PORT};
use crate::validate::ValidatedPipeline;

/// Where the file is in the pod.
const FOLDER: &str = "/accounts";
/// Attempts that may fail for a reason that passes. Kubernetes waits 10 s after the first and twice as long after each
/// further one, at most 10 minutes: two and a half hours in all.
const RETRIES: i32 = 20;
/// Exit codes that another attempt would end with too: refused, unreadable, not found.
const FINAL_EXITS: [i32; 3] = [1, 2, 4];

pub(super) fn job(pipeline: &ValidatedPipeline, import: &Import, owner: &OwnerReference) -> Job {
    let name = names::bootstrap_job(&pipeline.name, &import.digest);
    let mut labels = names::labels(&pipeline.name);
    labels.insert(COMPONENT_LABEL.to_owned(), BOOTSTRAP.to_owned());
    let metadata = ObjectMeta { labels: Some(labels), ..pipeline_metadata(pipeline, name, owner) };
    job::job(metadata, RETRIES, vec![decided()], pod_spec(pipeline, import))
}

fn decided() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: "FailJob".into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            operator: "In".into(),
            values: FINAL_EXITS.into(),
            ..PodFailurePolicyOnExitCodesRequirement::default()
        }),
        ..PodFailurePolicyRule::default()
    }
}

/// It runs where the gateway may, from the image that the gateway has.
fn pod_spec(pipeline: &ValidatedPipeline, import: &Import) -> PodSpec {
    let volume = Volume {
        name: "accounts".into(),
        config_map: Some(ConfigMapVolumeSource {
            name: import.config_map.clone(),
            items: Some(vec![KeyToPath {
                key: import.key.clone(),
                path: import.key.clone(),
                ..KeyToPath::default()
            }]),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    };
    PodSpec {
        // It asks the gateway and nobody else.
        automount_service_account_token: Some(false),
        containers: vec![container(pipeline, import)],
        volumes: Some(vec![volume]),
        ..pod::confined(pipeline, Component::Gateway)
    }
}

fn container(pipeline: &ValidatedPipeline, import: &Import) -> Container {
    let file = format!("{FOLDER}/{}", import.key);
    let gateway = names::workload(&pipeline.name, Component::Gateway);
    // The digest: the kubelet may have mounted what the ConfigMap held before, or holds since.
    let args = ["account", "import", &file, "--digest", &import.digest, "--report", REPORT];
    let waits = ["--wait", "30s", "--require-outcome"];
    Container {
        args: Some(args.into_iter().chain(waits).map(str::to_owned).collect()),
        env: Some(vec![EnvVar {
            name: "KPAY_GATEWAY_URL".into(),
            value: Some(format!("http://{gateway}.{}.svc:{GATEWAY_PORT}", pipeline.namespace)),
            ..EnvVar::default()
        }]),
        resources: Some(pod::resources(&Resources::default())),
        termination_message_path: Some(REPORT.into()),
        // By its path and not by the folder: a file that is mounted so stays as it is.
        volume_mounts: Some(vec![VolumeMount {
            name: "accounts".into(),
            mount_path: file,
            sub_path: Some(import.key.clone()),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..pod::confined_container(pipeline, Component::Gateway)
    }
}
