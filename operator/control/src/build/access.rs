//! The processors' identity and what it may do: get, list and watch its own pipeline. Pure.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::pipeline_metadata;
use crate::names;
use crate::validate::ValidatedPipeline;

/// The processors' identity.
pub fn service_account(pipeline: &ValidatedPipeline, owner: &OwnerReference) -> ServiceAccount {
    ServiceAccount {
        metadata: pipeline_metadata(pipeline, names::access(&pipeline.name), owner),
        ..ServiceAccount::default()
    }
}

pub(super) fn role(pipeline: &ValidatedPipeline, owner: &OwnerReference) -> Role {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    Role {
        metadata: pipeline_metadata(pipeline, names::access(&pipeline.name), owner),
        rules: Some(vec![PolicyRule {
            api_groups: Some(words(&["kpay.dev"])),
            resources: Some(words(&["paymentpipelines"])),
            resource_names: Some(vec![pipeline.name.clone()]),
            verbs: words(&["get", "list", "watch"]),
            ..PolicyRule::default()
        }]),
    }
}

pub(super) fn role_binding(pipeline: &ValidatedPipeline, owner: &OwnerReference) -> RoleBinding {
    let name = names::access(&pipeline.name);
    RoleBinding {
        metadata: pipeline_metadata(pipeline, name.clone(), owner),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".into(),
            kind: "Role".into(),
            name: name.clone(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".into(),
            name,
            namespace: Some(pipeline.namespace.clone()),
            ..Subject::default()
        }]),
    }
}
