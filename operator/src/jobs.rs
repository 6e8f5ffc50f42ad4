//! How a Job stands, and the last words of its pods. Pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpay_control::bootstrap::JobEnd;
use kube::ResourceExt;

/// Label of a pod with the name of its Job, as Kubernetes sets it.
pub const JOB_LABEL: &str = "batch.kubernetes.io/job-name";

/// A Job as Kubernetes tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobState {
    /// Whether it is being deleted.
    pub going: bool,
    /// How it ended; none while it is at it.
    pub end: Option<JobEnd>,
    /// Attempts that failed.
    pub failed: i32,
    /// The termination message of the last attempt that has ended.
    pub words: Option<String>,
}

/// The name of a pod's Job.
pub fn job_of(pod: &Pod) -> Option<String> {
    pod.labels().get(JOB_LABEL).cloned()
}

/// How a Job stands, by what it says and by its pods; those of others do not count.
pub fn state(job: &Job, pods: &[Pod]) -> JobState {
    let name = job.name_any();
    let status = job.status.clone().unwrap_or_default();
    let end = status.conditions.iter().flatten().filter(|condition| condition.status == "True").find_map(
        |condition| match condition.type_.as_str() {
            "Complete" => Some(JobEnd::Complete),
            "Failed" => Some(JobEnd::Failed(condition.message.clone().unwrap_or_default())),
            _ => None,
        },
    );
    let ended = pods.iter().filter(|pod| job_of(pod).as_ref() == Some(&name)).filter_map(ended);
    let last = ended.max_by_key(|ended| ended.finished_at.as_ref().map(|Time(at)| *at));
    JobState {
        going: job.metadata.deletion_timestamp.is_some(),
        end,
        failed: status.failed.unwrap_or(0),
        words: last.and_then(|ended| ended.message.clone()),
    }
}

/// How the only container of a pod ended.
fn ended(pod: &Pod) -> Option<&ContainerStateTerminated> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?.terminated.as_ref()
}
