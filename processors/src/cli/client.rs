//! Asks a gateway. Only I/O.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::http::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use axum::http::request::Builder;
use reqwest::Client;
use serde_json::Value;
use serde_json::value::RawValue;

use super::cluster::{Cluster, SCHEME};
use super::exit::CliError;
use crate::gateway::accept::REPLAYED;
use crate::gateway::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Beyond the longest wait that a gateway grants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(50);
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A gateway by its address.
#[derive(Clone)]
pub(super) struct Gateway {
    way: Way,
    base: String,
}

/// How it is reached.
#[derive(Clone)]
enum Way {
    Http(Client),
    Cluster(Cluster),
}

/// What a gateway answers when it does not refuse.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Of HTTP, 200 to 299.
    pub(super) status: u16,
    /// As it came, on one line.
    pub(super) raw: String,
    /// The same, read.
    pub(super) body: Value,
    /// The request was carried out before, and not again.
    pub(super) replayed: bool,
}

/// What comes back by either way, not looked into.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) raw: String,
    pub(super) replayed: bool,
}

impl Gateway {
    /// `base` is `http://host:port`, with or without a path, or `kube://namespace/pipeline`.
    pub(super) async fn open(base: &str, namespace: Option<&str>) -> Result<Self, CliError> {
        if base.starts_with(SCHEME) {
            let cluster = Cluster::open(base, namespace).await?;
            return Ok(Self { base: cluster.root.clone(), way: Way::Cluster(cluster) });
        }
        Self::http(base)
    }

    /// The cluster that it is in, for what only the API server tells.
    pub(super) fn cluster(&self, what: &str) -> Result<&Cluster, CliError> {
        match &self.way {
            Way::Cluster(cluster) => Ok(cluster),
            Way::Http(_) => Err(CliError::NoCluster { what: what.to_owned(), base: self.base.clone() }),
        }
    }

    /// The same, where there is one.
    pub(super) fn in_cluster(&self) -> Option<&Cluster> {
        match &self.way {
            Way::Cluster(cluster) => Some(cluster),
            Way::Http(_) => None,
        }
    }

    fn http(base: &str) -> Result<Self, CliError> {
        if !base.starts_with("http://") {
            let hint = "is no address such as http://127.0.0.1:8080 (TLS ends before the gateway) or kube://namespace/pipeline";
            return Err(CliError::Usage(format!("--gateway: {base:?} {hint}")));
        }
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .user_agent(concat!("kpay/", env!("CARGO_PKG_VERSION")))
            .build();
        let base = base.trim_end_matches('/').to_owned();
        let http = http.map_err(|source| CliError::Unreachable { url: base.clone(), source })?;
        Ok(Self { way: Way::Http(http), base })
    }

    /// Gets; `query` is names and values.
    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Answer, CliError> {
        let mut url = format!("{}{path}", self.base);
        for (at, (name, value)) in query.iter().enumerate() {
            let value = percent(value);
            url.extend([if at == 0 { "?" } else { "&" }, name, "=", &value]);
        }
        self.send(&url, Request::get(&url), Vec::new()).await
    }

    /// Posts JSON; with `wait_s` the answer may be the outcome.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Vec<u8>,
        wait_s: Option<u64>,
    ) -> Result<Answer, CliError> {
        let url = format!("{}{path}", self.base);
        let mut request = Request::post(&url).header(CONTENT_TYPE, "application/json");
        if let Some(wait_s) = wait_s {
            request = request.header(PREFER, format!("wait={wait_s}"));
        }
        self.send(&url, request, body).await
    }

    /// Posts a value.
    pub(super) async fn post_json(
        &self,
        path: &str,
        body: &Value,
        wait_s: Option<u64>,
    ) -> Result<Answer, CliError> {
        self.post(path, body.to_string().into_bytes(), wait_s).await
    }

    async fn send(&self, url: &str, request: Builder, body: Vec<u8>) -> Result<Answer, CliError> {
        let request = request.header(ACCEPT, "application/json").body(body);
        let request = request.map_err(|error| CliError::Usage(format!("--gateway: {url}: {error}")))?;
        let Reply { status, raw, replayed } = match &self.way {
            Way::Http(http) => exchange(http, url, request).await?,
            Way::Cluster(cluster) => cluster.send(url, request).await?,
        };
        let foreign = || CliError::Foreign { url: url.to_owned(), status };
        if !(200..300).contains(&status) {
            let problem: Problem = serde_json::from_str(&raw).map_err(|_| foreign())?;
            return Err(CliError::Problem(Box::new(problem)));
        }
        if raw.is_empty() {
            return Ok(Answer { status, raw: "{}".to_owned(), body: Value::Null, replayed });
        }
        let body: Value = serde_json::from_str(&raw).map_err(|_| foreign())?;
        // One line is one answer; a gateway that indents would break that.
        let raw = if raw.contains('\n') { body.to_string() } else { raw };
        Ok(Answer { status, raw, body, replayed })
    }
}

async fn exchange(http: &Client, url: &str, request: Request<Vec<u8>>) -> Result<Reply, CliError> {
    let unreachable = |source| CliError::Unreachable { url: url.to_owned(), source };
    let request = reqwest::Request::try_from(request).map_err(unreachable)?;
    let response = http.execute(request).await.map_err(unreachable)?;
    let (status, replayed) = (response.status().as_u16(), response.headers().contains_key(REPLAYED));
    Ok(Reply { status, raw: response.text().await.map_err(unreachable)?, replayed })
}

impl Answer {
    /// A text of the body; empty when there is none.
    pub(super) fn text(&self, field: &str) -> &str {
        self.body.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// The raw items of a list, and where the next page begins.
    pub(super) fn page(&self, items: &str) -> (Vec<Box<RawValue>>, Option<String>) {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&self.raw).unwrap_or_default();
        let items = fields.remove(items).and_then(|raw| serde_json::from_str(raw.get()).ok());
        let next = self.body.get("next").and_then(Value::as_str);
        (items.unwrap_or_default(), next.map(str::to_owned))
    }
}

/// A text as a part of a path or a value of a query: what RFC 3986 leaves unreserved, and the rest by its bytes.
pub(super) fn percent(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_place_in_the_path() {
        assert_eq!(percent("open:acct-1_x.y"), "open:acct-1_x.y");
        assert_eq!(percent("../a?b#c é"), "..%2Fa%3Fb%23c%20%C3%A9");
    }

    #[test]
    fn a_page_has_its_items_as_they_came() {
        let raw =
            r#"{"accounts":[{"balance":340282366920938463463374607431768211455},{"id":"b"}],"next":"b"}"#;
        let answer = Answer {
            status: 200,
            raw: raw.into(),
            body: serde_json::from_str(raw).unwrap(),
            replayed: false,
        };
        let (items, next) = answer.page("accounts");
        assert_eq!(items[0].get(), r#"{"balance":340282366920938463463374607431768211455}"#);
        assert_eq!((items.len(), next.as_deref()), (2, Some("b")));
        assert_eq!(answer.page("entries").0.len(), 0);
    }

    #[test]
    fn an_address_without_http_is_refused_as_usage() {
        for base in ["127.0.0.1:8080", "https://kpay.example.com", ""] {
            assert_eq!(Gateway::http(base).err().map(|error| error.exit().code()), Some(2), "{base}");
        }
    }
}
