//! The Jobs of a wipe: `kpay rebuild` against Kafka alone, from the image and where the pods of the account stage may run.
//! They belong to the operation. Pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::job::{self, REPORT};
use super::pod;
use crate::names::{self, COMPONENT_LABEL, Component, MANAGER, WIPE};
use crate::validate::ValidatedPipeline;

/// Attempts that may fail; Kubernetes waits 10 s after the first and twice as long after each further one.
const RETRIES: i32 = 6;

/// What a Job of a wipe does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Reads every account, compares it with the ledger and copies it to a topic of its own.
    Record,
    /// Writes the accounts from there to where the account stage reads them, and reads them back.
    Fill,
}

impl Task {
    /// Its word in the command, and in the Job's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Fill => "fill",
        }
    }
}

/// The Job; `owner` is the operation.
pub fn job(pipeline: &ValidatedPipeline, task: Task, owner: &OwnerReference) -> Job {
    let labels = [
        ("app.kubernetes.io/name", "kpay"),
        ("app.kubernetes.io/instance", &pipeline.name),
        ("app.kubernetes.io/managed-by", MANAGER),
        (COMPONENT_LABEL, WIPE),
    ];
    let metadata = ObjectMeta {
        name: Some(names::wipe_job(&pipeline.name, task.as_str(), &owner.uid)),
        namespace: Some(pipeline.namespace.clone()),
        labels: Some(labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()),
        owner_references: Some(vec![owner.clone()]),
        ..ObjectMeta::default()
    };
    let pod = PodSpec {
        // It asks Kafka and nobody else.
        automount_service_account_token: Some(false),
        containers: vec![container(pipeline, task)],
        ..pod::confined(pipeline, Component::Account)
    };
    job::job(metadata, RETRIES, Vec::new(), pod)
}

fn container(pipeline: &ValidatedPipeline, task: Task) -> Container {
    let release = pipeline.release(Component::Account);
    let own = release.processors.get(Component::Account.as_str()).cloned().unwrap_or_default();
    let value = |name: &str, value: &str| EnvVar {
        name: name.into(),
        value: Some(value.to_owned()),
        ..EnvVar::default()
    };
    let args = ["rebuild", task.as_str(), "--report", REPORT];
    Container {
        args: Some(args.map(str::to_owned).into()),
        env: Some(vec![
            value("KPAY_BOOTSTRAP_SERVERS", &release.bootstrap_servers),
            value("KPAY_TOPIC_PREFIX", &pipeline.topic_prefix),
        ]),
        resources: Some(pod::resources(&own.resources)),
        termination_message_path: Some(REPORT.into()),
        ..pod::confined_container(pipeline, Component::Account)
    }
}
