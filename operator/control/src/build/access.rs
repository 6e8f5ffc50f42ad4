//! The identities of the pods and what they may do: list and watch their own pipeline; the gateway may also patch
//! it, which is how it pauses and resumes. Pure.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::pipeline_metadata;
use crate::names::{self, Component};
use crate::validate::ValidatedPipeline;

/// One component of each identity: that of the stages, which the generator shares, and the gateway's own.
const IDENTITIES: [Component; 2] = [Component::Inflight, Component::Gateway];

/// The uids of the identities as they are now: a pod's token is good for that one alone, so pods are replaced when it
/// was made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    /// Of the stages.
    pub stages: String,
    /// Of the gateway.
    pub gateway: String,
}

impl Identities {
    pub(super) fn of(&self, component: Component) -> &str {
        match component {
            Component::Gateway => &self.gateway,
            Component::Inflight | Component::Account | Component::Confirmed | Component::Generator => {
                &self.stages
            }
        }
    }
}

/// The identities of the stages and of the gateway.
pub fn service_accounts(pipeline: &ValidatedPipeline, owner: &OwnerReference) -> [ServiceAccount; 2] {
    IDENTITIES.map(|component| ServiceAccount {
        metadata: pipeline_metadata(pipeline, names::access(&pipeline.name, component), owner),
        ..ServiceAccount::default()
    })
}

pub(super) fn roles(pipeline: &ValidatedPipeline, owner: &OwnerReference) -> Vec<Role> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let role = |component| {
        let verbs: &[&str] = match component {
            Component::Gateway => &["list", "watch", "patch"],
            Component::Inflight | Component::Account | Component::Confirmed | Component::Generator => {
                &["list", "watch"]
            }
        };
        Role {
            metadata: pipeline_metadata(pipeline, names::access(&pipeline.name, component), owner),
            rules: Some(vec![PolicyRule {
                api_groups: Some(words(&["kpay.dev"])),
                resources: Some(words(&["paymentpipelines"])),
                resource_names: Some(vec![pipeline.name.clone()]),
                verbs: words(verbs),
                ..PolicyRule::default()
            }]),
        }
    };
    IDENTITIES.map(role).into()
}

pub(super) fn role_bindings(pipeline: &ValidatedPipeline, owner: &OwnerReference) -> Vec<RoleBinding> {
    let binding = |component| {
        let name = names::access(&pipeline.name, component);
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
    };
    IDENTITIES.map(binding).into()
}
