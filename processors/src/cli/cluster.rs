//! A gateway behind the API server: `kube://namespace/pipeline`, with whatever a kubeconfig gives. The API server passes
//! requests on to the gateway's Service, so nothing has to be forwarded; it takes `get` and `create` on `services/proxy`.
//! What the operator does is asked of the resources themselves. Only I/O.

use axum::http::{Request, Response};
use kpay_control::names::{Component, GATEWAY_PORT, workload};
use kpay_crds::PaymentPipeline;
use kube::api::ListParams;
use kube::client::Body;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::Deserialize;

use super::client::Reply;
use super::exit::CliError;
use crate::gateway::accept::REPLAYED;

/// How such an address begins.
pub(super) const SCHEME: &str = "kube://";

/// The API server, as the way to one pipeline and its gateway.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    pub(super) namespace: String,
    pub(super) pipeline: String,
    /// The path that stands for the gateway's root.
    pub(super) root: String,
}

/// What the API server answers when it does not pass a request on.
#[derive(Deserialize)]
struct Status {
    kind: String,
    message: String,
}

impl Cluster {
    /// `address` is `kube://`, `kube://namespace` or `kube://namespace/pipeline`. Without a namespace it is that of the
    /// kubeconfig's context, without a pipeline the only one there.
    pub(super) async fn open(address: &str, namespace: Option<&str>) -> Result<Self, CliError> {
        let unusable = |error: &dyn std::fmt::Display| CliError::Usage(format!("{address}: {error}"));
        let mut config = Config::infer().await.map_err(|error| unusable(&error))?;
        // A 503 is the gateway's own word to whoever asks, who decides whether to ask again.
        config.default_retry = false;
        let (named, pipeline) = parts(address);
        let namespace = named.or(namespace).unwrap_or(&config.default_namespace).to_owned();
        let client = Client::try_from(config).map_err(|error| unusable(&error))?;
        let pipeline = match pipeline {
            Some(pipeline) => pipeline.to_owned(),
            None => only(&client, &namespace).await?,
        };
        let service = workload(&pipeline, Component::Gateway);
        let root = format!("/api/v1/namespaces/{namespace}/services/{service}:{GATEWAY_PORT}/proxy");
        Ok(Self { client, namespace, pipeline, root })
    }

    /// The resources of a kind beside the pipeline.
    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pipeline itself.
    pub(super) async fn resource(&self) -> Result<PaymentPipeline, CliError> {
        let found = self.api::<PaymentPipeline>().get(&self.pipeline).await;
        found.map_err(|source| self.failed(&self.pipeline, source))
    }

    /// What the API server said instead.
    pub(super) fn failed(&self, what: &str, source: kube::Error) -> CliError {
        CliError::ApiServer { url: format!("{SCHEME}{}: {what}", self.namespace), source: Box::new(source) }
    }

    /// The gateway's answer, or what the API server says instead.
    pub(super) async fn send(&self, url: &str, request: Request<Vec<u8>>) -> Result<Reply, CliError> {
        let unreachable =
            |source: kube::Error| CliError::ApiServer { url: url.to_owned(), source: Box::new(source) };
        let response: Response<Body> =
            self.client.send(request.map(Body::from)).await.map_err(unreachable)?;
        let (status, replayed) = (response.status().as_u16(), response.headers().contains_key(REPLAYED));
        let bytes = response.into_body().collect_bytes().await.map_err(unreachable)?;
        let raw = String::from_utf8_lossy(&bytes).into_owned();
        match serde_json::from_str::<Status>(&raw) {
            Ok(said) if status >= 400 && said.kind == "Status" => {
                Err(CliError::NotPassedOn { url: url.to_owned(), status, message: said.message })
            }
            _ => Ok(Reply { status, raw, replayed }),
        }
    }
}

/// The namespace and the pipeline that an address names.
fn parts(address: &str) -> (Option<&str>, Option<&str>) {
    let rest = address.strip_prefix(SCHEME).unwrap_or(address).trim_end_matches('/');
    let (namespace, pipeline) = rest.split_once('/').unwrap_or((rest, ""));
    let some = |text: &'_ str| !text.is_empty();
    (Some(namespace).filter(|text| some(text)), Some(pipeline).filter(|text| some(text)))
}

/// The name of the only pipeline of a namespace.
async fn only(client: &Client, namespace: &str) -> Result<String, CliError> {
    let pipelines = Api::<PaymentPipeline>::namespaced(client.clone(), namespace);
    let found = pipelines.list_metadata(&ListParams::default()).await.map_err(|source| {
        CliError::ApiServer { url: format!("{SCHEME}{namespace}"), source: Box::new(source) }
    })?;
    let names: Vec<String> = found.items.iter().map(ResourceExt::name_any).collect();
    match names.as_slice() {
        [name] => Ok(name.clone()),
        [] => Err(CliError::Usage(format!("there is no PaymentPipeline in namespace {namespace}"))),
        several => Err(CliError::Usage(format!(
            "namespace {namespace} has several pipelines; say which: --gateway {SCHEME}{namespace}/NAME, of {}",
            several.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn an_address_names_both_one_or_none() {
        assert_eq!(parts("kube://pay/payments"), (Some("pay"), Some("payments")));
        assert_eq!(parts("kube://pay/"), (Some("pay"), None));
        assert_eq!(parts("kube:///payments"), (None, Some("payments")));
        assert_eq!(parts("kube://"), (None, None));
    }
}
