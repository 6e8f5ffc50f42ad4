//! Asks pods: for a report at `:9090/control`, and gateways for what operations do. Only I/O.

use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::Pod;
use kpay_control::names::{COMPONENT_LABEL, CONTROL_PORT, Component};
use kpay_control::report::{ControlReport, NoReport, Reports};
use kube::ResourceExt;
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The pods' endpoints, behind a trait so that a reconcile can be tested without pods.
pub trait Pods: Send + Sync {
    /// What a pod says of itself.
    fn report<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, Result<ControlReport, NoReport>>;

    /// Posts JSON to a pod, and returns the status code and the JSON of its answer.
    fn post<'a>(
        &'a self,
        pod: &'a Pod,
        port: i32,
        path: &'a str,
        asked: &'a Value,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<(u16, Value), NoReport>>;
}

/// The answers of all pods that live, asked at once.
pub async fn ask(pods: &dyn Pods, all: &[Pod]) -> Reports {
    let live = all.iter().filter(|pod| is_live(pod));
    join_all(live.map(|pod| async { (pod.name_any(), pods.report(pod).await) })).await.into_iter().collect()
}

/// Over HTTP.
#[derive(Clone, Debug)]
pub struct PodClient(reqwest::Client);

impl PodClient {
    /// A client that keeps no idle connections for long.
    ///
    /// # Errors
    /// When the client cannot be made; not without TLS.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(1)
            .no_proxy()
            .build()?;
        Ok(Self(client))
    }
}

impl Pods for PodClient {
    fn report<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, Result<ControlReport, NoReport>> {
        Box::pin(async move {
            let request = self.0.get(url(pod, CONTROL_PORT, "/control")?);
            let answer = request.send().await.map_err(|_| NoReport::Silent)?;
            let report: ControlReport =
                serde_json::from_slice(&body(answer).await?).map_err(|_| NoReport::Garbled)?;
            // An address that was given to another pod in between must not speak for this one.
            if report.pod == pod.name_any() { Ok(report) } else { Err(NoReport::Garbled) }
        })
    }

    fn post<'a>(
        &'a self,
        pod: &'a Pod,
        port: i32,
        path: &'a str,
        asked: &'a Value,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<(u16, Value), NoReport>> {
        Box::pin(async move {
            let request = self.0.post(url(pod, port, path)?).json(asked).timeout(timeout);
            let answer = request.send().await.map_err(|_| NoReport::Silent)?;
            let code = answer.status().as_u16();
            let answer = serde_json::from_slice(&body(answer).await?).map_err(|_| NoReport::Garbled)?;
            Ok((code, answer))
        })
    }
}

fn url(pod: &Pod, port: i32, path: &str) -> Result<String, NoReport> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).ok_or(NoReport::NoAddress)?;
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    Ok(format!("http://{host}:{port}{path}"))
}

async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, NoReport> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| NoReport::Silent)? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(NoReport::Garbled);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether a pod may still do something: it has not ended.
pub fn is_live(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether a pod is of this kind.
pub fn is_of(pod: &Pod, component: Component) -> bool {
    pod.labels().get(COMPONENT_LABEL).is_some_and(|label| label == component.as_str())
}
