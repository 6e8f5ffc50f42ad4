//! Questions to the pods that own the keys. Only I/O, behind [`Peers`], which has a twin in the tests.
//!
//! The client is reqwest without TLS: it brings the pool, the keep-alive and a time-out for each request, which on
//! hyper-util would be ours to write; the pods speak plain HTTP/1.1 within the cluster.

mod listing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use futures::future::{BoxFuture, FutureExt, try_join_all};
use serde::Deserialize;
use tracing::debug;

pub(crate) use self::listing::Listing;
use super::dto::Sum;
use super::owners::Directory;
use crate::names::StageName;
use crate::stage::windows::Minute;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// For one request; the lookup of a record may take long on a busy broker.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// For a part of a list, which a pod may have to read from the log.
const LIST_TIMEOUT: Duration = Duration::from_secs(6);
/// For a question with its second try and the refresh between, besides what the caller wants to wait.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(3);
/// For a question that can be done without.
const BRIEF_TIMEOUT: Duration = Duration::from_millis(400);
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// Whose state: the account stage knows accounts, the others payments.
    pub(crate) stage: StageName,
    /// The account or the payment.
    pub(crate) key: &'a str,
    /// How long the owner may wait for an outcome.
    pub(crate) wait: Duration,
    /// One try, and not for long.
    pub(super) brief: bool,
}

impl<'a> Question<'a> {
    /// What the stage knows of the key now.
    pub(super) fn now(stage: StageName, key: &'a str) -> Self {
        Self { stage, key, wait: Duration::ZERO, brief: false }
    }

    fn path(&self) -> String {
        let Self { stage, key, wait, .. } = self;
        match (stage, wait.as_millis()) {
            (StageName::Account, _) => format!("/internal/v1/accounts/{key}"),
            (StageName::Inflight | StageName::Confirmed, 0) => format!("/internal/v1/payments/{key}"),
            (StageName::Inflight | StageName::Confirmed, wait_ms) => {
                format!("/internal/v1/payments/{key}?waitMs={wait_ms}")
            }
        }
    }
}

/// What the owner said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its JSON.
    Found(Bytes),
    /// It has no such key.
    Unknown,
}

/// Why nobody could say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// No pod owns the key's partition.
    #[error("no pod owns the key")]
    NoOwner,
    /// The pod that was asked no longer owns the key.
    #[error("the key has moved")]
    Moved,
    /// The owner is restoring the partition.
    #[error("the owner is restoring")]
    Restoring,
    /// The owner does not answer, or not as agreed.
    #[error("the owner does not answer")]
    Unreachable,
}

/// What the gateway reads of a pod's `GET /control`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Control {
    partitions: Vec<ControlPartition>,
    figures: Option<ControlFigures>,
}

#[derive(Debug, Clone, Deserialize)]
struct ControlPartition {
    partition: i32,
    state: String,
    count: i64,
    value: BTreeMap<String, i128>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ControlFigures {
    per_second: Option<f64>,
    latency_p99_ms: Option<f64>,
    today: Sum,
}

/// The reports of all pods of a stage, and how many partitions they must cover.
#[derive(Debug, Clone)]
pub(crate) struct Controls {
    pub(crate) partitions: i32,
    pub(crate) pods: Vec<Control>,
}

impl Controls {
    /// What the stage has counted; `None` unless every partition is reported exactly once and restored.
    pub(super) fn progress(&self) -> Option<Sum> {
        let mut missing: BTreeSet<i32> = (0..self.partitions).collect();
        let mut sum = Sum::default();
        for line in self.pods.iter().flat_map(|pod| &pod.partitions) {
            if line.state == "restoring" || !missing.remove(&line.partition) {
                return None;
            }
            sum.add(line.count, &line.value)?;
        }
        missing.is_empty().then_some(sum)
    }

    /// What the stage has finished today.
    pub(super) fn today(&self) -> Option<Sum> {
        self.progress()?;
        let mut sum = Sum::default();
        for pod in &self.pods {
            let today = &pod.figures.as_ref()?.today;
            sum.add(today.count, &today.value)?;
        }
        Some(sum)
    }

    /// What the stage measures; `None` when a pod does not say.
    pub(super) fn rates(&self) -> Option<Rates> {
        let mut rates = Rates { per_second: 0.0, latency_p99_ms: 0.0 };
        for pod in &self.pods {
            let figures = pod.figures.as_ref()?;
            rates.per_second += figures.per_second?;
            rates.latency_p99_ms = rates.latency_p99_ms.max(figures.latency_p99_ms?);
        }
        Some(rates)
    }
}

/// What the confirmed stage measures over the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// Finished per second, of all pods.
    pub(super) per_second: f64,
    /// The worst pod's 99th percentile, in milliseconds.
    pub(super) latency_p99_ms: f64,
}

/// The pods of the stages.
pub(crate) trait Peers: Send + Sync {
    /// Asks the owner of a key.
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Answer, AskError>>;
    /// Asks the owner for a part of a list.
    fn list(&self, listing: Listing) -> BoxFuture<'_, Result<Answer, AskError>>;
    /// Asks all pods of the confirmed stage for the minutes since 1970 from this one on.
    fn minutes(&self, since: i64) -> BoxFuture<'_, Result<Vec<Minute>, AskError>>;
    /// Asks all pods of a stage for their reports.
    fn controls(&self, stage: StageName) -> BoxFuture<'_, Result<Controls, AskError>>;
}

/// Over HTTP.
pub(super) struct HttpPeers {
    client: reqwest::Client,
    directory: Directory,
}

impl HttpPeers {
    /// Opens no connection yet.
    pub(super) fn new(directory: Directory) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(256)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client, directory })
    }

    async fn get(&self, pod: &str, path: &str, timeout: Duration) -> Result<Answer, AskError> {
        let unreachable = |error: reqwest::Error| {
            debug!(%error, pod, "a pod does not answer");
            AskError::Unreachable
        };
        let request = self.client.get(format!("http://{pod}{path}")).timeout(timeout);
        let response = request.send().await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => response.bytes().await.map(Answer::Found).map_err(unreachable),
            StatusCode::NOT_FOUND => Ok(Answer::Unknown),
            StatusCode::MISDIRECTED_REQUEST => Err(AskError::Moved),
            StatusCode::SERVICE_UNAVAILABLE => Err(AskError::Restoring),
            _ => Err(AskError::Unreachable),
        }
    }

    async fn ask_owner(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        let owners = self.directory.owners();
        let owner = owners.owner(question.stage, question.key).ok_or(AskError::NoOwner)?;
        self.get(owner, &question.path(), REQUEST_TIMEOUT + question.wait).await
    }

    async fn list_of_owner(&self, listing: &Listing) -> Result<Answer, AskError> {
        let owners = self.directory.owners();
        if let (Some(partition), Some(partitions)) =
            (listing.partition(), owners.partitions(StageName::Account))
            && partition >= partitions
        {
            return Ok(Answer::Unknown);
        }
        let owner = listing.owner(&owners).ok_or(AskError::NoOwner)?;
        self.get(owner, &listing.path(), LIST_TIMEOUT).await
    }

    async fn ask_twice(&self, question: &Question<'_>) -> Result<Answer, AskError> {
        match self.ask_owner(question).await {
            Err(AskError::NoOwner | AskError::Moved | AskError::Unreachable) if !question.brief => {
                self.directory.refresh().await;
                self.ask_owner(question).await
            }
            answer => answer,
        }
    }
}

impl Peers for HttpPeers {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Answer, AskError>> {
        let total = if question.brief { BRIEF_TIMEOUT } else { TOTAL_TIMEOUT + question.wait };
        async move {
            let answer = tokio::time::timeout(total, self.ask_twice(&question)).await;
            answer.unwrap_or(Err(AskError::Unreachable))
        }
        .boxed()
    }

    fn list(&self, listing: Listing) -> BoxFuture<'_, Result<Answer, AskError>> {
        async move {
            match self.list_of_owner(&listing).await {
                Err(AskError::NoOwner | AskError::Moved) => {
                    self.directory.refresh().await;
                    self.list_of_owner(&listing).await
                }
                answer => answer,
            }
        }
        .boxed()
    }

    fn minutes(&self, since: i64) -> BoxFuture<'_, Result<Vec<Minute>, AskError>> {
        async move {
            let owners = self.directory.owners();
            let pods = owners.pods(StageName::Confirmed);
            if pods.is_empty() {
                return Err(AskError::NoOwner);
            }
            let path = format!("/internal/v1/minutes?since={since}");
            let path = path.as_str();
            let told = pods.into_iter().map(|pod| async move {
                match self.get(pod, path, REQUEST_TIMEOUT).await? {
                    Answer::Found(json) => {
                        serde_json::from_slice::<Vec<Minute>>(&json).map_err(|_| AskError::Unreachable)
                    }
                    Answer::Unknown => Err(AskError::Unreachable),
                }
            });
            Ok(try_join_all(told).await?.concat())
        }
        .boxed()
    }

    fn controls(&self, stage: StageName) -> BoxFuture<'_, Result<Controls, AskError>> {
        async move {
            let owners = self.directory.owners();
            let partitions = owners.partitions(stage).ok_or(AskError::NoOwner)?;
            let reports = owners.pods(stage).into_iter().map(|pod| async move {
                match self.get(pod, "/control", REQUEST_TIMEOUT).await? {
                    Answer::Found(json) => serde_json::from_slice(&json).map_err(|_| AskError::Unreachable),
                    Answer::Unknown => Err(AskError::Unreachable),
                }
            });
            Ok(Controls { partitions, pods: try_join_all(reports).await? })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
