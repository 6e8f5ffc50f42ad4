//! `/v1/holds`: the payments that wait for a person, of all account pods.

use std::sync::Arc;

use axum::extract::State;
use futures::future::try_join_all;
use jiff::Timestamp;
use kpay_domain::PaymentId;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::answer::Json;
use super::dto::HoldsPage;
use super::lists::{bad_cursor, read};
use super::params::Params;
use super::peers::{Answer, Listing};
use super::problem::{Failure, Problem, Rejected};
use crate::pod::pages::{HoldsQuery, Place};

/// Partitions that are asked at one time.
const PARTS_AT_ONCE: usize = 8;

/// The holds of a partition, as its pod gives them.
#[derive(Debug, Deserialize)]
struct Part {
    partitions: i32,
    holds: Vec<Value>,
    more: bool,
}

/// List the held payments.
///
/// Those that wait for somebody to release or refuse them, the oldest hold first. The order is stable: a payment that is
/// held all the while comes exactly once. Without `next` the list has ended. `message` is that of the rule as it is now.
/// Every partition is asked for a page, so one that cannot be read now makes it 503.
#[utoipa::path(
    get, operation_id = "list_holds", path = "/v1/holds", tag = "payments",
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, example = 100,
            description = "The most of a page; 100 when it is left out"),
    ),
    responses(
        (status = 200, body = HoldsPage, description = "A page of held payments"),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, params: Params) -> Result<Json<HoldsPage>, Rejected> {
    let params = params.only(&["after", "limit"])?;
    let limit = params.limit()?;
    let after = params.get("after").map(|text| Place::parse(text).ok_or_else(bad_cursor)).transpose()?;
    let part = |partition| part(&app, HoldsQuery { partition, after: after.clone(), limit });
    // The first one tells how many there are.
    let first = part(0).await?;
    let others: Vec<i32> = (1..first.partitions).collect();
    let mut page = Merged { limit, holds: Vec::new(), more: false };
    page.add(first)?;
    for some in others.chunks(PARTS_AT_ONCE) {
        for other in try_join_all(some.iter().map(|partition| part(*partition))).await? {
            page.add(other)?;
        }
    }
    Ok(Json(page.end()))
}

async fn part(app: &App, query: HoldsQuery) -> Result<Part, Failure> {
    match app.peers.list(Listing::Holds(query)).await {
        Ok(Answer::Found(json)) => read(&json),
        Ok(Answer::Unknown) | Err(_) => Err(Problem::owner_unavailable()),
    }
}

/// The first holds of all that was added; no more than a page of them is kept.
struct Merged {
    limit: usize,
    holds: Vec<(Place, Value)>,
    more: bool,
}

impl Merged {
    fn add(&mut self, part: Part) -> Result<(), Failure> {
        for hold in part.holds {
            let place = place(&hold).ok_or_else(Problem::owner_unavailable)?;
            self.holds.push((place, hold));
        }
        self.holds.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.more |= part.more || self.holds.len() > self.limit;
        self.holds.truncate(self.limit);
        Ok(())
    }

    fn end(self) -> HoldsPage {
        let last = self.holds.last().map(|(place, _)| place.to_string());
        HoldsPage {
            holds: self.holds.into_iter().map(|(_, hold)| hold).collect(),
            next: last.filter(|_| self.more),
        }
    }
}

fn place(hold: &Value) -> Option<Place> {
    let text = |field| hold.get(field).and_then(Value::as_str);
    let at: Timestamp = text("heldAt")?.parse().ok()?;
    Some(Place::new(at.as_millisecond(), PaymentId::new(text("id")?).ok()?))
}
