//! Looks at the file of accounts that a pipeline begins with, and at the Jobs that import it. Only reads; what follows
//! from it is `kpay_control::bootstrap`.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_control::bootstrap::{self, Decision, ImportReport, Seen, SeenJob, Source};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::{BootstrapReason, ConfigMapFile, PaymentPipeline, WorkloadReport};
use kube::{Api, ResourceExt};

use crate::context::Context;
use crate::jobs::{self, JobState, job_of};
use crate::observe::Observed;
use crate::pods::is_live;

/// What is to be done for the accounts that the pipeline begins with; none where it begins with none.
pub async fn decide(
    resource: &PaymentPipeline,
    pipeline: &ValidatedPipeline,
    observed: &Observed,
    running: bool,
    gateway: Option<&WorkloadReport>,
    now: &Time,
    context: &Context,
) -> Option<Decision> {
    let wanted = pipeline.accounts.as_ref()?;
    let source = look(resource, wanted, context).await.unwrap_or_else(|error| Source::Missing {
        reason: BootstrapReason::ConfigMapUnreadable,
        message: format!("ConfigMap {} cannot be read: {error}", wanted.name),
    });
    let jobs: Vec<SeenJob> = observed.objects.jobs.iter().map(|job| seen(job, &observed.importers)).collect();
    let at_work = observed.importers.iter().filter(|pod| is_live(pod)).filter_map(job_of).collect();
    let seen = Seen {
        source: &source,
        running,
        gateway: &gateway.cloned().unwrap_or_default(),
        jobs: &jobs,
        at_work: &at_work,
    };
    let old = resource.status.as_ref().and_then(|status| status.accounts_bootstrap.as_ref());
    Some(bootstrap::decide(&pipeline.name, wanted, old, &seen, now))
}

/// The content. It may be a MiB, so it is only read when the version is another than at the last look.
async fn look(
    resource: &PaymentPipeline,
    wanted: &ConfigMapFile,
    context: &Context,
) -> Result<Source, kube::Error> {
    let namespace = resource.namespace().unwrap_or_default();
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), &namespace);
    let version = api.get_metadata_opt(&wanted.name).await?.and_then(|found| found.resource_version());
    if let Some((file, at, source)) = context.recall(resource).accounts
        && file == *wanted
        && Some(&at) == version.as_ref()
    {
        return Ok(source);
    }
    let found = if version.is_some() { api.get_opt(&wanted.name).await? } else { None };
    let source = bootstrap::source(wanted, found.as_ref());
    let version = found.and_then(|found| found.resource_version());
    let look = version.map(|version| (wanted.clone(), version, source.clone()));
    context.remember(resource, |memory| memory.accounts = look);
    Ok(source)
}

fn seen(job: &Job, pods: &[Pod]) -> SeenJob {
    let JobState { going, end, failed, words } = jobs::state(job, pods);
    let report = words.and_then(|words| ImportReport::from_text(&words));
    SeenJob { name: job.name_any(), going, end, failed, report }
}

#[cfg(test)]
mod tests {
    use kpay_control::bootstrap::JobEnd;
    use serde_json::{Value, json};

    use super::*;
    use crate::jobs::JOB_LABEL;

    fn job(status: &Value) -> Job {
        let job = json!({"metadata": {"name": "a"}, "spec": {"template": {}}, "status": status});
        serde_json::from_value(job).expect("a Job")
    }

    fn pod(job: &str, phase: &str, finished_at: &str, report: &str) -> Pod {
        let terminated = json!({"exitCode": 1, "finishedAt": finished_at, "message": report});
        serde_json::from_value(json!({
            "metadata": {"name": "p", "labels": {JOB_LABEL: job}},
            "status": {"phase": phase, "containerStatuses": [{
                "name": "kpay", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": terminated}}]},
        }))
        .expect("a pod")
    }

    #[test]
    fn a_job_has_ended_when_kubernetes_says_so() {
        let condition = |kind: &str, status: &str| {
            job(&json!({"failed": 2, "conditions": [
                {"type": "SuccessCriteriaMet", "status": "True"},
                {"type": kind, "status": status, "message": "why"}]}))
        };
        for (job, end) in [
            (job(&json!({"active": 1})), None),
            (condition("Complete", "True"), Some(JobEnd::Complete)),
            (condition("Failed", "True"), Some(JobEnd::Failed("why".into()))),
            (condition("Failed", "False"), None),
            (condition("FailureTarget", "True"), None),
        ] {
            assert_eq!(seen(&job, &[]).end, end, "{:?}", job.status);
        }
        assert_eq!(seen(&condition("Failed", "True"), &[]).failed, 2);
    }

    #[test]
    fn the_report_is_that_of_the_last_attempt_of_this_job() {
        let pods = [
            pod("a", "Failed", "2026-07-25T12:00:10Z", r#"{"lines": 10}"#),
            pod("a", "Failed", "2026-07-25T12:00:30Z", r#"{"lines": 30}"#),
            pod("a", "Failed", "2026-07-25T12:00:20Z", r#"{"lines": 20}"#),
            pod("b", "Failed", "2026-07-25T12:00:40Z", r#"{"lines": 40}"#),
        ];
        assert_eq!(seen(&job(&json!({})), &pods).report.map(|report| report.lines), Some(30));
        let garbled = [pod("a", "Failed", "2026-07-25T12:00:10Z", "panicked")];
        assert_eq!(seen(&job(&json!({})), &garbled).report, None);
        assert_eq!(seen(&job(&json!({})), &[]).report, None);
    }
}
