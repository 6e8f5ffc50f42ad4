//! What a request may ask for: checks the parameters and bodies. Pure.

use jiff::Timestamp;
use kpay_domain::Malformed;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::dto::{FilterOrder, Replay, ReplayManyOrder};
use super::letter::rfc3339;
use super::list::{Cursor, Filter};
use super::replay::Order;
use crate::gateway::problem::{Failure, Problem};

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;
const REPLAYS_DEFAULT: usize = 100;
const REPLAYS_MAX: usize = 1000;
const BY_BYTES_MAX: usize = 128;
const REASON_BYTES_MAX: usize = 512;

/// The parameters of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::gateway) struct ListQuery {
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 100; 20 when it is left out.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    limit: Option<String>,
    /// Only of this code.
    #[param(example = "json_invalid")]
    code: Option<String>,
    /// Only of this stage.
    #[param(example = "inflight")]
    stage: Option<String>,
    /// Only from this topic, with the pipeline's prefix or without.
    #[param(example = "payment.incoming")]
    topic: Option<String>,
}

impl ListQuery {
    pub(super) fn parse(self) -> Result<(Filter, Option<Cursor>, usize), Failure> {
        let limit = self.limit.map_or(Ok(LIMIT_DEFAULT), |text| text.parse()).ok();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        let limit = limit.ok_or_else(|| Problem::bad_parameter("limit", "is a number from 1 to 100"))?;
        let filter = Filter { code: self.code, stage: self.stage, topic: self.topic, before_ms: None };
        Ok((filter, cursor(self.after.as_deref())?, limit))
    }
}

fn cursor(text: Option<&str>) -> Result<Option<Cursor>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bad = || Problem::bad_parameter("after", "is not the next of an answer");
    Cursor::parse(text).map(Some).ok_or_else(bad)
}

fn malformed(code: &'static str, field: &'static str, detail: &'static str) -> Failure {
    Problem::malformed(&Malformed { code, field, detail: detail.into() })
}

/// Reads a body. Unknown fields are passed over.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => malformed("field_type", "body", "a field has another type"),
        _ => malformed("json_invalid", "body", "is not JSON"),
    })
}

/// Who replays, and why.
pub(super) fn replay(by: Option<String>, reason: Option<String>, at_ms: i64) -> Result<Replay, Failure> {
    let checked = |text: Option<String>, field, bytes_max, detail| {
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| malformed("field_missing", field, "is required"))?;
        if text.len() > bytes_max { Err(malformed("text_too_long", field, detail)) } else { Ok(text) }
    };
    Ok(Replay {
        at: rfc3339(at_ms),
        by: checked(by, "by", BY_BYTES_MAX, "must have at most 128 bytes")?,
        reason: checked(reason, "reason", REASON_BYTES_MAX, "must have at most 512 bytes")?,
    })
}

/// A replay of many.
pub(super) fn many(asked: ReplayManyOrder, at_ms: i64, inside: bool) -> Result<Order, Failure> {
    let FilterOrder { code, stage, topic, before } = asked.filter;
    let before: Option<Timestamp> = before
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| Problem::bad_parameter("filter.before", "is a time such as 2026-11-23T12:00:00Z"))?;
    let max = asked.max.unwrap_or(REPLAYS_DEFAULT);
    if !(1..=REPLAYS_MAX).contains(&max) {
        return Err(Problem::bad_parameter("max", "is a number from 1 to 1000"));
    }
    Ok(Order {
        filter: Filter { code, stage, topic, before_ms: before.map(Timestamp::as_millisecond) },
        max,
        after: cursor(asked.after.as_deref())?,
        replay: replay(asked.by, asked.reason, at_ms)?,
        inside,
        dry_run: asked.dry_run,
    })
}
