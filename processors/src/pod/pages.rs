//! Interactive queries for lists: the accounts and the held payments of a partition, the ledger of an account. Only I/O.
//!
//! A page of accounts or holds costs one pass over the partition's table, whatever the limit: its order is by hash, and a
//! page is the next ones after the cursor. The pass holds the table's lock for reading, so a commit of that partition waits
//! for it: some milliseconds for 100,000 accounts.

mod holds;
mod next;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kpay_domain::{AccountId, LedgerEntry};
use serde_json::{Value, json};

pub use self::holds::{HoldsQuery, Place};
use self::next::Next;
use super::queries::{Answer, Queries, account_json, bytes};
use crate::names::StageName;
use crate::scan::Scan;

/// The most of one page.
pub const PAGE_MAX: usize = 1000;
/// Records of the ledger that one question may look at.
const SCAN_RECORDS_MAX: i64 = 65_536;
/// The first stretch of these; each is four times the one before.
const STRETCH_RECORDS: i64 = 1_024;
/// After so long the page ends, with what was found.
const SCAN_TIME: Duration = Duration::from_secs(2);
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Which entries of an account are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerQuery {
    /// The account.
    pub account: String,
    /// Where to go on: the first offset, or with `newest_first` the one after the last.
    pub from: Option<i64>,
    /// The most to be found.
    pub limit: usize,
    /// Backwards.
    pub newest_first: bool,
}

impl Queries {
    /// The accounts of a partition with an id above `after`, in the order of their ids.
    pub async fn accounts(&self, partition: i32, after: String, limit: usize) -> Answer {
        if let Err(answer) = self.serves_accounts(partition) {
            return answer;
        }
        let (accounts, partitions) = (self.accounts.clone(), self.input_partitions);
        let page = tokio::task::spawn_blocking(move || {
            let mut next = Next::new(AccountId::new(&after).ok(), limit.clamp(1, PAGE_MAX));
            if !accounts.each(partition, &mut |id, account| next.see(id, account)) {
                return Answer::Elsewhere;
            }
            let (page, more) = next.page();
            let page: Vec<Value> =
                page.iter().map(|(id, account)| account_json(id.as_str(), account)).collect();
            Answer::Found(bytes(&json!({"partitions": partitions, "accounts": page, "more": more})))
        });
        page.await.unwrap_or(Answer::Later)
    }

    /// Whether a page of this partition of the accounts can be had here, or the answer instead.
    fn serves_accounts(&self, partition: i32) -> Result<i32, Answer> {
        if self.stage != StageName::Account {
            return Err(Answer::Elsewhere);
        }
        if partition >= self.input_partitions {
            return Err(Answer::Unknown);
        }
        self.serves(partition)
    }

    /// Entries of an account, and where to go on; there may be none in what was looked at.
    pub async fn ledger(&self, query: LedgerQuery) -> Answer {
        let partition = match self.partition(&query.account) {
            Ok(partition) if self.stage == StageName::Account => partition,
            Ok(_) => return Answer::Elsewhere,
            Err(answer) => return answer,
        };
        let newest = match self.accounts.get(partition, query.account.as_str()) {
            None => return Answer::Later,
            Some(None) => return Answer::Unknown,
            Some(Some(account)) => account.version,
        };
        let Some(ledger) = self.ledger.clone() else { return Answer::Later };
        let read = tokio::task::spawn_blocking(move || {
            let last = if query.newest_first { 1 } else { newest };
            read_ledger(&*ledger, partition, &query, last)
        });
        match read.await {
            Ok(Ok((entries, next))) => {
                let entries: Vec<Value> = entries.iter().map(entry_json).collect();
                Answer::Found(bytes(&json!({"entries": entries, "next": next})))
            }
            Ok(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "ledger");
                Answer::Later
            }
            Err(_) => Answer::Later,
        }
    }
}

/// Goes through stretches of the ledger until the page is full, the entry of version `last` was found, the ledger
/// ends, or enough was looked at. Says where to go on.
fn read_ledger(
    ledger: &dyn Scan,
    partition: i32,
    query: &LedgerQuery,
    last: u64,
) -> anyhow::Result<(Vec<LedgerEntry>, Option<i64>)> {
    let begin = Instant::now();
    let (first, end) = ledger.ends(partition, CALL_TIMEOUT)?;
    let (limit, backwards) = (query.limit.clamp(1, PAGE_MAX), query.newest_first);
    let mut at = query.from.unwrap_or(if backwards { end } else { first }).clamp(first, end);
    let (mut entries, mut stretch, mut left) = (Vec::new(), STRETCH_RECORDS, SCAN_RECORDS_MAX);
    loop {
        let range = if backwards { ((at - stretch).max(first), at) } else { (at, (at + stretch).min(end)) };
        if range.0 >= range.1 {
            return Ok((entries, None));
        }
        let found = read_stretch(ledger, partition, range, query, limit - entries.len())?;
        at = if backwards { range.0 } else { range.1 };
        for (offset, entry) in found {
            let is_last = entry.version == last;
            entries.push(entry);
            if is_last {
                return Ok((entries, None));
            }
            if entries.len() == limit {
                return Ok((entries, Some(if backwards { offset } else { offset + 1 })));
            }
        }
        left -= stretch;
        stretch = (stretch * 4).min(left);
        if left <= 0 || begin.elapsed() > SCAN_TIME {
            let over = at == if backwards { first } else { end };
            return Ok((entries, (!over).then_some(at)));
        }
    }
}

/// At most `limit` entries of the account in a stretch, in the order that is asked for, with their offsets.
fn read_stretch(
    ledger: &dyn Scan,
    partition: i32,
    range: (i64, i64),
    query: &LedgerQuery,
    limit: usize,
) -> anyhow::Result<VecDeque<(i64, LedgerEntry)>> {
    let (mut found, mut failed) = (VecDeque::new(), None);
    ledger.range(partition, range, CALL_TIMEOUT, &mut |record| {
        if record.key != query.account.as_bytes() || (found.len() == limit && !query.newest_first) {
            return;
        }
        match LedgerEntry::decode(record.value) {
            Ok(entry) if query.newest_first => {
                found.push_front((record.offset, entry));
                found.truncate(limit);
            }
            Ok(entry) => found.push_back((record.offset, entry)),
            Err(error) => failed = Some(anyhow::Error::new(error)),
        }
    })?;
    failed.map_or(Ok(found), Err)
}

fn entry_json(entry: &LedgerEntry) -> Value {
    let mut json = json!({
        "id": entry.id.as_str(),
        "kind": entry.kind.as_str(),
        "amount": {"value": entry.amount.minor, "currency": entry.amount.currency.as_str()},
        "balance": entry.balance_minor,
        "version": entry.version,
        "at": rfc3339(entry.at_ms),
    });
    if let (Some(counterparty), Value::Object(fields)) = (&entry.counterparty, &mut json) {
        fields.insert("counterparty".to_owned(), counterparty.as_str().into());
    }
    json
}

fn rfc3339(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests;
