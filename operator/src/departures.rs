//! Pods that a scale-down has taken away leave their group at once. They are static members, so that a restart moves no
//! partition; without this their partitions would stand still until the session times out. Only I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kpay_control::names::{Component, workload};
use kpay_control::validate::ValidatedPipeline;
use kpay_crds::PaymentPipeline;
use kube::ResourceExt;

use crate::context::Context;
use crate::topics;

/// Takes the pods that were there and are gone, beyond the replicas of their stage, out of its group.
pub async fn see_off(
    resource: &PaymentPipeline,
    pipeline: &ValidatedPipeline,
    pods: &[Pod],
    context: &Context,
) {
    let mut known = context.recall(resource).ordinals;
    for stage in Component::STAGES {
        let there = ordinals(&workload(&pipeline.name, stage), pods);
        let before = known.insert(stage, there);
        let instances = gone(pipeline, stage, before.unwrap_or(0), there);
        if instances.is_empty() {
            continue;
        }
        tracing::info!(pipeline = pipeline.name, ?instances, "leave their group");
        if let Err(reason) = topics::remove_members(&context.brokers, pipeline, stage, instances).await {
            // Their session ends by itself; until then the partitions wait.
            tracing::warn!(%reason, "members are not taken out of their group");
        }
    }
    context.remember(resource, |memory| memory.ordinals = known);
}

/// One more than the highest ordinal of the pods that are there.
fn ordinals(workload: &str, pods: &[Pod]) -> i32 {
    let ordinal = |pod: &Pod| pod.name_any().strip_prefix(workload)?.strip_prefix('-')?.parse::<i32>().ok();
    pods.iter().filter_map(ordinal).max().map_or(0, |highest| highest + 1)
}

/// The members of pods that were there before, are not there now, and are not wanted any more.
fn gone(pipeline: &ValidatedPipeline, stage: Component, before: i32, there: i32) -> Vec<String> {
    let name = workload(&pipeline.name, stage);
    let own = pipeline.release(stage).processors.get(stage.as_str());
    let workers = own.map_or(1, |own| own.workers);
    let pods = there.max(pipeline.pods(stage))..before;
    pods.flat_map(|pod| (0..workers).map(move |worker| (pod, worker)))
        .map(|(pod, worker)| format!("{name}-{pod}-{worker}"))
        .collect()
}

/// What is remembered: one more than the highest ordinal that was seen, by stage.
pub type Ordinals = BTreeMap<Component, i32>;

#[cfg(test)]
mod tests {
    use kpay_control::validate::{DefaultImage, validate};
    use kpay_crds::PullPolicy;
    use serde_json::json;

    use super::*;

    fn pod(name: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}})).expect("a pod")
    }

    #[test]
    fn only_pods_that_are_gone_and_not_wanted_leave() {
        let resource = serde_json::from_value(json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"kafka": {"bootstrapServers": "k:9092"}, "processors": {"account": {"replicas": 2, "workers": 2}}},
        }))
        .expect("a resource");
        let image = DefaultImage { repository: "k".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
        let pipeline = validate(&resource, &image).expect("valid");
        let surging = ValidatedPipeline { surging: [Component::Account].into(), ..pipeline.clone() };
        let pods = [pod("p-account-0"), pod("p-account-1"), pod("p-account-2"), pod("p-inflight-7")];
        assert_eq!(ordinals("p-account", &pods), 3);
        assert_eq!(ordinals("p-confirmed", &pods), 0);
        let leave = |before, there| gone(&pipeline, Component::Account, before, there);
        assert!(gone(&surging, Component::Account, 3, 2).is_empty(), "the one that takes over comes back");
        assert_eq!(leave(4, 2), ["p-account-2-0", "p-account-2-1", "p-account-3-0", "p-account-3-1"]);
        assert!(leave(3, 3).is_empty(), "still there");
        assert!(leave(2, 1).is_empty(), "gone for a moment, and wanted: two replicas");
        assert!(leave(0, 2).is_empty());
    }
}
