//! Keeps a resource until what goes with it is in order, or lets it go. Only I/O.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Error;

/// Whether the resource has it.
pub fn is_kept_by(resource: &impl ResourceExt, finalizer: &str) -> bool {
    resource.finalizers().iter().any(|found| found == finalizer)
}

/// Sets a finalizer or takes it away, under the version that was read.
pub async fn set<K>(resource: &K, finalizer: &str, with: bool, context: &Context) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.retain(|found| found != finalizer);
    if with {
        finalizers.push(finalizer.to_owned());
    }
    let version: Value = resource.meta().resource_version.clone().into();
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    let namespace = resource.namespace().unwrap_or_default();
    Api::<K>::namespaced(context.client.clone(), &namespace)
        .patch(&resource.name_any(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .map_err(Error::api("patch", K::kind(&())))?;
    Ok(())
}
