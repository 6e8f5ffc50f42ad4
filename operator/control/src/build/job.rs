//! What the Jobs of a pipeline have in common: one pod that says at its end what became of it. Pure.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Where the kubelet looks for the last words of a container.
pub(super) const REPORT: &str = "/dev/termination-log";
/// What is cut is done again, whole: there is nothing to put in order.
const GRACE_SECONDS: i64 = 1;

/// A Job whose pod is tried again `retries` times, unless one of the `rules` says otherwise. The pod has its labels.
pub(super) fn job(metadata: ObjectMeta, retries: i32, rules: Vec<PodFailurePolicyRule>, pod: PodSpec) -> Job {
    let rules = [disrupted()].into_iter().chain(rules).collect();
    let labels = metadata.labels.clone();
    let pod = PodSpec {
        restart_policy: Some("Never".into()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        ..pod
    };
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(retries),
            pod_failure_policy: Some(PodFailurePolicy { rules }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels, ..ObjectMeta::default() }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// A pod that was taken away, by a drain of its node for one, is no failed attempt.
fn disrupted() -> PodFailurePolicyRule {
    PodFailurePolicyRule {
        action: "Ignore".into(),
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
        }]),
        ..PodFailurePolicyRule::default()
    }
}
