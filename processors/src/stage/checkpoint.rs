//! Which accounts changed since the last checkpoint, and writing them out a few with each commit. No I/O of its own.
//!
//! A round begins with the accounts that are dirty at its beginning and ends with a marker that carries that time:
//! every entry of the ledger from before is then covered by a snapshot. A restore reads the ledger from the newest
//! marker on.

use kpay_domain::{Account, AccountId, AccountSnapshot};
use kpay_streams::map::Map;
use kpay_streams::out::{Out, TopicIndex};
use kpay_streams::record::Record;

/// Snapshots written with one commit, so that a checkpoint never makes a pause.
const SNAPSHOTS_PER_COMMIT: usize = 256;

/// How much earlier than the marker a restore begins, in milliseconds: the marker's time is that of the worker,
/// the ledger's that of its client at the moment of appending, perhaps on another machine.
pub const MARKER_SLACK_MS: i64 = 30_000;

/// Key of the marker: no account id holds a NUL.
pub const MARKER_KEY: &[u8] = b"\0round";

/// The accounts of one partition that a checkpoint has to cover.
#[derive(Debug)]
pub struct Checkpoints {
    interval_ms: i64,
    next_round_ms: i64,
    /// Changed since the round began (or ended, between two rounds).
    dirty: Map<AccountId, ()>,
    /// Changed by the open transaction.
    touched: Vec<AccountId>,
    /// Accounts of the round, and how many of them are written.
    round: Map<AccountId, ()>,
    written: usize,
    round_began_ms: Option<i64>,
    /// What the open transaction wrote: how many snapshots of `round`, and whether the marker.
    wrote: usize,
    wrote_marker: bool,
}

impl Checkpoints {
    /// The first round begins `interval_ms` from now and covers what `dirty` names: the accounts that were restored from
    /// entries of the ledger and not from a snapshot.
    pub fn new(now_ms: i64, interval_ms: i64, dirty: Map<AccountId, ()>) -> Self {
        Self {
            interval_ms,
            next_round_ms: now_ms.saturating_add(interval_ms),
            dirty,
            touched: Vec::new(),
            round: Map::default(),
            written: 0,
            round_began_ms: None,
            wrote: 0,
            wrote_marker: false,
        }
    }

    /// The open transaction changed this account.
    pub fn touched(&mut self, account: &AccountId) {
        if self.dirty.get(account).is_none() {
            self.touched.push(account.clone());
        }
    }

    /// Appends the next snapshots, and the marker when the round is done. `state` reads through the open transaction.
    pub fn write(
        &mut self,
        now_ms: i64,
        partition: i32,
        topic: TopicIndex,
        out: &mut Out,
        state: impl Fn(&AccountId) -> Option<Account>,
    ) {
        if self.round_began_ms.is_none() && now_ms >= self.next_round_ms {
            self.next_round_ms = now_ms.saturating_add(self.interval_ms);
            if !self.dirty.is_empty() {
                self.round = std::mem::take(&mut self.dirty);
                self.round_began_ms = Some(now_ms);
            }
        }
        let Some(began_ms) = self.round_began_ms else { return };
        let rest = (self.written..).map_while(|place| self.round.at(place));
        for (id, ()) in rest.take(SNAPSHOTS_PER_COMMIT) {
            if let Some(account) = state(id) {
                let snapshot = AccountSnapshot { account: id.clone(), state: account, at_ms: now_ms };
                out.send_to(topic, partition, id.as_str().as_bytes(), |b| snapshot.encode(b));
            }
            self.wrote += 1;
        }
        if self.written + self.wrote == self.round.len() {
            self.wrote_marker = true;
            out.send_to(topic, partition, MARKER_KEY, |b| b.extend_from_slice(&began_ms.to_be_bytes()));
        }
    }

    /// The transaction is committed.
    pub fn commit(&mut self) {
        self.dirty.extend(self.touched.drain(..).map(|account| (account, ())));
        self.written += self.wrote;
        if self.wrote_marker {
            self.round = Map::default();
            self.written = 0;
            self.round_began_ms = None;
        }
        self.wrote = 0;
        self.wrote_marker = false;
    }

    /// The transaction is aborted: what it wrote is to be written again.
    pub fn abort(&mut self) {
        self.touched.clear();
        self.wrote = 0;
        self.wrote_marker = false;
    }
}

/// The time that a marker carries; `None` for a snapshot.
pub fn marker_time(record: &Record<'_>) -> Option<i64> {
    (record.key == MARKER_KEY)
        .then(|| record.value.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes)))
        .flatten()
}

#[cfg(test)]
mod tests {
    use kpay_domain::{Account, AccountId, Currency};
    use kpay_streams::map::Map;
    use kpay_streams::out::{Out, Topic, TopicIndex};

    use super::{Checkpoints, MARKER_KEY, SNAPSHOTS_PER_COMMIT};

    fn state() -> Account {
        let currency = Currency::new("USD").unwrap();
        Account { balance_minor: 1, version: 1, ..Account::empty(currency) }
    }

    fn written(checkpoints: &mut Checkpoints, now_ms: i64) -> (usize, bool) {
        let mut out = Out::new(&[Topic { name: "t".into(), partitions: 1 }]);
        checkpoints.write(now_ms, 0, TopicIndex(0), &mut out, |_| Some(state()));
        let marker = out.iter().any(|r| r.key == MARKER_KEY);
        (out.len() - usize::from(marker), marker)
    }

    #[test]
    fn a_round_is_written_in_parts_and_ends_with_a_marker_and_an_abort_repeats_its_part() {
        let mut checkpoints = Checkpoints::new(0, 100, Map::default());
        for n in 0..=SNAPSHOTS_PER_COMMIT {
            checkpoints.touched(&AccountId::new(&format!("a{n}")).unwrap());
        }
        assert_eq!(written(&mut checkpoints, 99), (0, false));
        checkpoints.commit();
        assert_eq!(written(&mut checkpoints, 100), (SNAPSHOTS_PER_COMMIT, false));
        checkpoints.abort();
        assert_eq!(written(&mut checkpoints, 101), (SNAPSHOTS_PER_COMMIT, false));
        checkpoints.commit();
        assert_eq!(written(&mut checkpoints, 102), (1, true));
        checkpoints.abort();
        assert_eq!(written(&mut checkpoints, 102), (1, true));
        checkpoints.commit();
        assert_eq!(written(&mut checkpoints, 1_000), (0, false), "nothing is dirty: no empty round");
    }

    #[test]
    fn an_account_changed_by_an_aborted_transaction_is_not_dirty() {
        let mut checkpoints = Checkpoints::new(0, 100, Map::default());
        checkpoints.touched(&AccountId::new("a").unwrap());
        checkpoints.abort();
        assert_eq!(written(&mut checkpoints, 200), (0, false));
    }
}
