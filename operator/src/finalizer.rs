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

/// The finalizers of a resource with this one, or without it.
pub fn with(resource: &impl ResourceExt, finalizer: &str, with: bool) -> Vec<String> {
    let mut finalizers = resource.finalizers().to_vec();
    finalizers.retain(|found| found != finalizer);
    if with {
        finalizers.push(finalizer.to_owned());
    }
    finalizers
}

/// Sets a finalizer or takes it away.
pub async fn set<K>(resource: &K, finalizer: &str, there: bool, context: &Context) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let finalizers = with(resource, finalizer, there);
    write_metadata(resource, json!({"finalizers": finalizers}), context).await
}

/// Changes metadata under the version that was read: who is behind writes nothing.
pub async fn write_metadata<K>(resource: &K, mut change: Value, context: &Context) -> Result<(), Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if let Some(fields) = change.as_object_mut() {
        fields.insert("resourceVersion".to_owned(), resource.meta().resource_version.clone().into());
    }
    let namespace = resource.namespace().unwrap_or_default();
    Api::<K>::namespaced(context.client.clone(), &namespace)
        .patch(&resource.name_any(), &PatchParams::default(), &Patch::Merge(&json!({"metadata": change})))
        .await
        .map_err(Error::api("patch", K::kind(&())))?;
    Ok(())
}
