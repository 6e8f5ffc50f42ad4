//! The one way to write owned objects: server-side apply, by one field manager, in a fixed order, and only what
//! differs from what there is. Orphans go last.

use k8s_openapi::api::core::v1::ServiceAccount;
use kpay_control::build::DesiredObjects;
use kpay_control::differ::{is_subset, stable_hash};
use kpay_control::names::{HASH_ANNOTATION, MANAGER};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Whose objects these are.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Namespace of the resource.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// The uid of an identity, which is made first: its pods name it.
pub async fn identity(
    client: &Client,
    owner: Owner<'_>,
    desired: &ServiceAccount,
    live: &[ServiceAccount],
) -> Result<String, Error> {
    let api = Api::<ServiceAccount>::namespaced(client.clone(), owner.namespace);
    let applied = one(&api, desired, live).await?;
    applied.uid().ok_or(Error::Unnamed("uid"))
}

/// Brings what there is to what is desired, the [`identity`] aside. Writes nothing when nothing differs.
pub async fn apply(
    client: &Client,
    owner: Owner<'_>,
    desired: &DesiredObjects,
    live: &DesiredObjects,
) -> Result<(), Error> {
    each(client, owner, &desired.roles, &live.roles).await?;
    each(client, owner, &desired.role_bindings, &live.role_bindings).await?;
    each(client, owner, &desired.services, &live.services).await?;
    each(client, owner, &desired.budgets, &live.budgets).await?;
    each(client, owner, &desired.stateful_sets, &live.stateful_sets).await?;
    each(client, owner, &desired.deployments, &live.deployments).await?;
    absent(client, owner, &desired.jobs, &live.jobs).await?;
    orphans(client, owner, &desired.jobs, &live.jobs).await?;
    orphans(client, owner, &desired.deployments, &live.deployments).await?;
    orphans(client, owner, &desired.stateful_sets, &live.stateful_sets).await?;
    orphans(client, owner, &desired.budgets, &live.budgets).await?;
    orphans(client, owner, &desired.services, &live.services).await?;
    orphans(client, owner, &desired.role_bindings, &live.role_bindings).await?;
    orphans(client, owner, &desired.roles, &live.roles).await?;
    orphans(client, owner, &desired.service_accounts, &live.service_accounts).await
}

/// A kind of namespaced object that the operator owns.
pub trait Owned:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + std::fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Owned for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
{
}

async fn each<K: Owned>(client: &Client, owner: Owner<'_>, desired: &[K], live: &[K]) -> Result<(), Error> {
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    for object in desired {
        one(&api, object, live).await?;
    }
    Ok(())
}

/// Makes those that are not there. What is there stays as it was made.
async fn absent<K: Owned>(client: &Client, owner: Owner<'_>, desired: &[K], live: &[K]) -> Result<(), Error> {
    let there = |object: &&K| live.iter().any(|live| live.name_any() == object.name_any());
    let missing: Vec<K> = desired.iter().filter(|object| !there(object)).cloned().collect();
    each(client, owner, &missing, live).await
}

/// Applies one object unless it is as desired; what is there then.
pub(crate) async fn one<K: Owned>(api: &Api<K>, desired: &K, live: &[K]) -> Result<K, Error> {
    let name = desired.name_any();
    let hash = stable_hash(&serde_json::to_value(desired)?);
    let mut object = desired.clone();
    object.annotations_mut().insert(HASH_ANNOTATION.to_owned(), hash);
    let found = live.iter().find(|live| live.name_any() == name);
    if let Some(found) = found
        && is_subset(&serde_json::to_value(&object)?, &serde_json::to_value(found)?)
    {
        return Ok(found.clone());
    }
    let kind = K::kind(&());
    tracing::info!(%kind, name, created = found.is_none(), "apply");
    let as_manager = PatchParams::apply(MANAGER).force();
    api.patch(&name, &as_manager, &Patch::Apply(&object)).await.map_err(Error::api("apply", kind))
}

async fn orphans<K: Owned>(
    client: &Client,
    owner: Owner<'_>,
    desired: &[K],
    live: &[K],
) -> Result<(), Error> {
    let api = Api::<K>::namespaced(client.clone(), owner.namespace);
    for object in live {
        let name = object.name_any();
        let ours = object.owner_references().iter().any(|reference| reference.uid == owner.uid);
        let going = object.meta().deletion_timestamp.is_some();
        if going || !ours || desired.iter().any(|desired| desired.name_any() == name) {
            continue;
        }
        let kind = K::kind(&());
        tracing::info!(%kind, name, "delete orphan");
        api.delete(&name, &DeleteParams::background()).await.map_err(Error::api("delete", kind))?;
    }
    Ok(())
}
