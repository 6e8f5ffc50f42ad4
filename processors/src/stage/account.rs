//! The account stage: funds, status, balances; one ledger entry for each change.
//!
//! The state is rebuilt from the newest checkpoint of each account and the ledger after it. Both carry the account's
//! version, so reading an entry twice changes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kpay_domain::account::{Next, decide};
use kpay_domain::{Account, AccountId, AccountSnapshot, Command, LedgerEntry};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{DeadLetter, Out, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::stage::Stage;
use kpay_streams::table::{Committed, Map, Table};

use crate::names::{Names, StageName, TopicName};
use crate::stage::checkpoint::{Checkpoints, MARKER_SLACK_MS, marker_time};
use crate::stage::counters::{Counters, Pending};

const STAGE: StageName = StageName::Account;

/// The accounts of a pod, for interactive queries.
pub type Accounts = Committed<AccountId, Account>;

/// State and outputs of the stage.
pub struct AccountStage {
    inflight: TopicIndex,
    ledger: TopicIndex,
    checkpoints_topic: TopicIndex,
    complete: TopicIndex,
    dlq: TopicIndex,
    inflight_name: String,
    accounts: Table<AccountId, Account>,
    checkpoints: HashMap<i32, Checkpoints>,
    checkpoint_interval_ms: i64,
    counters: Arc<Counters>,
    pending: Pending,
}

impl AccountStage {
    /// A stage whose accounts are `shared` with the pod's queries.
    pub fn new(
        names: &Names,
        shared: Arc<Accounts>,
        checkpoint_interval_ms: i64,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            inflight: STAGE.index(TopicName::Inflight),
            ledger: STAGE.index(TopicName::Ledger),
            checkpoints_topic: STAGE.index(TopicName::Checkpoints),
            complete: STAGE.index(TopicName::Complete),
            dlq: STAGE.index(TopicName::Dlq),
            inflight_name: names.topic(TopicName::Inflight),
            accounts: Table::new(shared),
            checkpoints: HashMap::new(),
            checkpoint_interval_ms,
            counters,
            pending: Pending::default(),
        }
    }
}

/// Takes an account's state over unless a newer one is there already.
fn newest(table: &mut Map<AccountId, Account>, id: AccountId, account: Account) {
    let entry = table.entry(id).or_insert(account);
    if entry.version < account.version {
        *entry = account;
    }
}

fn unreadable(topic: &str, record: &Record<'_>, error: &kpay_domain::Malformed) -> LogError {
    LogError::Unavailable(format!("{topic} {}@{}: {error}", record.partition, record.offset))
}

impl Stage for AccountStage {
    fn restore(
        &mut self,
        partition: i32,
        _committed: i64,
        _metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        let Self { accounts, ledger, checkpoints_topic, .. } = self;
        let now_ms = reader.now_ms();
        // The next marker will claim these as well.
        let mut uncovered = HashSet::new();
        accounts.restore(partition, |table| {
            let mut marked = None;
            let mut failed = None;
            reader.read(*checkpoints_topic, partition, Start::Beginning, Until::Stable, &mut |record| {
                if let Some(at_ms) = marker_time(record) {
                    marked = marked.max(Some(at_ms));
                } else if !record.value.is_empty() {
                    match AccountSnapshot::decode(record.value) {
                        Ok(snapshot) => newest(table, snapshot.account, snapshot.state),
                        Err(error) => failed = Some(unreadable("account.checkpoints", record, &error)),
                    }
                }
            })?;
            let from = marked.map_or(Start::Beginning, |at| Start::Timestamp(at - MARKER_SLACK_MS));
            reader.read(*ledger, partition, from, Until::Stable, &mut |record| match LedgerEntry::decode(
                record.value,
            ) {
                Ok(entry) => {
                    newest(table, entry.account.clone(), entry.state());
                    uncovered.insert(entry.account);
                }
                Err(error) => failed = Some(unreadable("account.ledger", record, &error)),
            })?;
            failed.map_or(Ok(()), Err)
        })?;
        self.checkpoints.insert(partition, Checkpoints::new(now_ms, self.checkpoint_interval_ms, uncovered));
        Ok(())
    }

    fn revoke(&mut self, partition: i32) {
        self.accounts.revoke(partition);
        self.checkpoints.remove(&partition);
    }

    fn process(&mut self, record: &Record<'_>, now_ms: i64, out: &mut Out) {
        let command = match Command::decode(record.value) {
            Ok(command) => command,
            Err(malformed) => {
                self.pending.dead_letters += 1;
                let (source_topic, detail) = (&self.inflight_name, &malformed.to_string());
                let stage = STAGE.as_str();
                let letter = DeadLetter { record, source_topic, stage, code: malformed.code, detail };
                return out.dead_letter(self.dlq, &letter);
            }
        };
        let partition = record.partition;
        let account = self.accounts.get(partition, command.account_id().as_str());
        let decision = decide(account.as_ref(), command, now_ms);
        if let Some(entry) = decision.entry {
            self.pending.ledger_entries += 1;
            out.send_to(self.ledger, partition, entry.account.as_str().as_bytes(), |b| entry.encode(b));
            if let Some(checkpoints) = self.checkpoints.get_mut(&partition) {
                checkpoints.touched(&entry.account);
            }
            let state = entry.state();
            self.accounts.put(partition, entry.account, state);
        }
        match decision.next {
            Next::Command(command) => {
                out.send(self.inflight, command.account_id().as_str().as_bytes(), |b| command.encode(b));
            }
            Next::Outcome(outcome) => {
                out.send(self.complete, outcome.id().as_str().as_bytes(), |b| outcome.encode(b));
            }
        }
    }

    /// A credit, when the payee's partition is here as well.
    fn handles_own(&self) -> bool {
        true
    }

    fn before_commit(&mut self, now_ms: i64, out: &mut Out) {
        for (partition, checkpoints) in &mut self.checkpoints {
            let accounts = &self.accounts;
            checkpoints.write(now_ms, *partition, self.checkpoints_topic, out, |id| {
                accounts.get(*partition, id.as_str())
            });
        }
    }

    fn commit(&mut self) {
        self.accounts.fold();
        self.checkpoints.values_mut().for_each(Checkpoints::commit);
        self.pending.fold(&self.counters);
    }

    fn abort(&mut self) {
        self.accounts.discard();
        self.checkpoints.values_mut().for_each(Checkpoints::abort);
        self.pending = Pending::default();
    }
}

#[cfg(test)]
mod tests;
