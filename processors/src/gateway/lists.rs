//! Lists with cursors: the accounts, and the ledger of one.

use std::sync::Arc;

use axum::extract::State;
use kpay_domain::AccountId;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::answer::Json;
use super::dto::{AccountsPage, LedgerPage};
use super::extract::IdOf;
use super::params::Params;
use super::peers::{Answer, Listing};
use super::problem::{Failure, Problem, Rejected};
use crate::pod::pages::LedgerQuery;

/// A part of the accounts, as a pod gives it.
#[derive(Debug, Deserialize)]
struct AccountsPart {
    partitions: i32,
    accounts: Vec<Value>,
    more: bool,
}

/// A part of a ledger, as a pod gives it.
#[derive(Debug, Deserialize)]
struct LedgerPart {
    entries: Vec<Value>,
    next: Option<i64>,
}

pub(super) fn bad_cursor() -> Failure {
    Problem::parameter("after", "is not the `next` of an answer to the same question")
}

/// What a pod said.
pub(super) fn read<T: for<'de> Deserialize<'de>>(json: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(json).map_err(|_| Problem::owner_unavailable())
}

/// Where a list of accounts goes on: in a partition, after an id.
fn accounts_cursor(text: &str) -> Option<(i32, String)> {
    let (partition, id) = text.split_once('.')?;
    let partition = partition.parse().ok().filter(|partition| *partition >= 0)?;
    (id.is_empty() || AccountId::new(id).is_ok()).then(|| (partition, id.to_owned()))
}

/// List the accounts.
///
/// The order is stable: an account that is there all the while comes exactly once. It is by the partition of the account
/// and then by its id. Without `next` the list has ended. A page costs its pod one pass over the accounts of a
/// partition, whatever the limit: ask for large pages.
#[utoipa::path(
    get, operation_id = "list_accounts", path = "/v1/accounts", tag = "accounts",
    params(
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, example = 100,
            description = "The most of a page; 100 when it is left out"),
    ),
    responses(
        (status = 200, body = AccountsPage, description = "A page of accounts"),
    ),
)]
pub(super) async fn accounts(
    State(app): State<Arc<App>>,
    params: Params,
) -> Result<Json<AccountsPage>, Rejected> {
    let params = params.only(&["after", "limit"])?;
    let limit = params.limit()?;
    let cursor = params.get("after").map_or_else(|| Some(Default::default()), accounts_cursor);
    let (mut partition, mut after) = cursor.ok_or_else(bad_cursor)?;
    let mut accounts = Vec::new();
    loop {
        let listing = Listing::Accounts { partition, after, limit: limit - accounts.len() };
        let part = match app.peers.list(listing).await {
            Ok(Answer::Found(json)) => read::<AccountsPart>(&json)?,
            // A partition that there is not.
            Ok(Answer::Unknown) => return Err(bad_cursor().into()),
            Err(_) => return Err(Problem::owner_unavailable().into()),
        };
        accounts.extend(part.accounts);
        if part.more {
            let last = accounts.last().and_then(|account| account.get("id")).and_then(Value::as_str);
            let next = last.map(|id| format!("{partition}.{id}"));
            return Ok(Json(AccountsPage { accounts, next }));
        }
        partition += 1;
        after = String::new();
        if partition >= part.partitions {
            return Ok(Json(AccountsPage { accounts, next: None }));
        }
        if accounts.len() >= limit {
            return Ok(Json(AccountsPage { accounts, next: Some(format!("{partition}.")) }));
        }
    }
}

/// Look at what happened to an account, entry by entry.
///
/// Each question looks at a bounded stretch of the log, so a page may have fewer entries than asked for, or none, and
/// still a `next`; without `next` there are no more.
#[utoipa::path(
    get, operation_id = "list_ledger", path = "/v1/accounts/{id}/ledger", tag = "accounts",
    params(
        ("id" = String, Path, description = "Of the account", example = "alice",
            pattern = "^[A-Za-z0-9._:-]{1,64}$"),
        ("after" = Option<String>, Query, description = "`next` of the page before, in the same order"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, example = 100,
            description = "The most of a page; 100 when it is left out"),
        ("order" = inline(Option<super::dto::Order>), Query,
            description = "`asc`: the oldest first, which is the default; `desc`: the newest first"),
    ),
    responses(
        (status = 200, body = LedgerPage, description = "A page of entries"),
    ),
)]
pub(super) async fn ledger(
    State(app): State<Arc<App>>,
    IdOf(id): IdOf<AccountId>,
    params: Params,
) -> Result<Json<LedgerPage>, Rejected> {
    let params = params.only(&["after", "limit", "order"])?;
    let limit = params.limit()?;
    let newest_first = match params.get("order") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Problem::parameter("order", "is asc or desc").into()),
    };
    // The letter keeps a cursor from being used in the other direction.
    let direction = if newest_first { 'd' } else { 'a' };
    let offset = |text: &str| text.strip_prefix(direction)?.parse().ok().filter(|offset: &i64| *offset >= 0);
    let from = params.get("after").map(|text| offset(text).ok_or_else(bad_cursor)).transpose()?;
    let account = id.as_str().to_owned();
    let query = LedgerQuery { account, from, limit, newest_first };
    let part = match app.peers.list(Listing::Ledger(query)).await {
        Ok(Answer::Found(json)) => read::<LedgerPart>(&json)?,
        Ok(Answer::Unknown) => return Err(Problem::account_unknown().into()),
        Err(_) => return Err(Problem::owner_unavailable().into()),
    };
    let next = part.next.map(|offset| format!("{direction}{offset}"));
    Ok(Json(LedgerPage { entries: part.entries, next }))
}
