//! What the handlers take of a request. No I/O but reading the body.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use kpay_domain::intake::RECORD_BYTES_MAX;
use kpay_domain::{AccountId, IdError, PaymentId};

use super::problem::{Failure, Problem, Rejected};

/// A body beyond the limit is read on and thrown away up to here, so that its sender, who writes before it reads, gets
/// the answer and not a broken connection.
const DISCARD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest that a request may wait for an outcome.
const WAIT_MAX_S: u64 = 30;

/// The bytes of a JSON body. Whether they are JSON is for the domain to say.
#[derive(Debug)]
pub(super) struct JsonBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Rejected;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Rejected> {
        let json = is_json(request.headers());
        // The body is read in any case, for the same reason that a large one is.
        let body = read(request.into_body()).await;
        if json { Ok(Self(body?)) } else { Err(Problem::content_type().into()) }
    }
}

/// The bytes of a JSON body that may be left out altogether, and then needs no content type.
#[derive(Debug)]
pub(super) struct OptionalJson(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for OptionalJson {
    type Rejection = Rejected;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Rejected> {
        let json = is_json(request.headers());
        let body = read(request.into_body()).await?;
        if json || body.is_empty() { Ok(Self(body)) } else { Err(Problem::content_type().into()) }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let plain = headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding == "identity");
    plain && media.eq_ignore_ascii_case("application/json")
}

async fn read(body: Body) -> Result<Bytes, Failure> {
    let mut chunks = body.into_data_stream();
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::body_incomplete())?;
        length += chunk.len();
        if length > DISCARD_BYTES_MAX {
            break;
        }
        if length <= RECORD_BYTES_MAX {
            kept.extend_from_slice(&chunk);
        }
    }
    if length > RECORD_BYTES_MAX { Err(Problem::body_too_large()) } else { Ok(kept.into()) }
}

/// An id from the path.
#[derive(Debug)]
pub(super) struct IdOf<T>(pub(super) T);

/// What an id from the path can be.
pub(super) trait Id: Sized {
    /// Checks the text.
    fn parse(text: &str) -> Result<Self, IdError>;
}

impl Id for PaymentId {
    fn parse(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl Id for AccountId {
    fn parse(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

impl<T: Id, S: Send + Sync> FromRequestParts<S> for IdOf<T> {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejected> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Problem::bad_id("is not text"))?;
        T::parse(&text).map(Self).map_err(|error| Problem::bad_id(&error.to_string()).into())
    }
}

/// `Prefer: wait=N` (RFC 7240), N in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefer {
    /// At most [`WAIT_MAX_S`]; `None` without the preference.
    pub(super) wait_s: Option<u64>,
}

/// How a request that a command comes of describes [`Prefer`].
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // described, never made
pub(super) struct CommandWait {
    /// `wait=N`: answer with the command's outcome if there is one within N seconds (at most 30)
    #[param(example = "wait=5")]
    prefer: Option<String>,
}

/// How a request that a payment comes of describes [`Prefer`].
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code)] // described, never made
pub(super) struct PaymentWait {
    /// `wait=N`: answer with the outcome if there is one within N seconds (at most 30)
    #[param(example = "wait=5")]
    prefer: Option<String>,
}

impl Prefer {
    fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let wait_s = values.flat_map(|value| value.split(',')).find_map(|preference| {
            // Parameters after a semicolon are none of ours.
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("wait").then(|| value.parse().ok())?
        });
        Self { wait_s: wait_s.filter(|wait_s| *wait_s > 0).map(|wait_s: u64| wait_s.min(WAIT_MAX_S)) }
    }

    /// How long to wait.
    pub(super) fn wait(self) -> Option<Duration> {
        self.wait_s.map(Duration::from_secs)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Prefer {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejected> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(values: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        Prefer::of(&headers).wait_s
    }

    #[test]
    fn the_wait_is_found_among_other_preferences_and_capped() {
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["wait=5"]), Some(5));
        assert_eq!(wait(&["respond-async, Wait = \"7\"; x=y"]), Some(7));
        assert_eq!(wait(&["handling=lenient", "wait=9"]), Some(9));
        assert_eq!(wait(&["wait=3600"]), Some(30));
        for none in ["wait=0", "wait=-1", "wait=soon", "wait", "waiting=5"] {
            assert_eq!(wait(&[none]), None, "{none}");
        }
    }
}
