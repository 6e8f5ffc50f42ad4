//! The account stage: funds, status, balances; one ledger entry for each change.
//!
//! The state is rebuilt from the newest checkpoint of each account and the ledger after it. Both carry the account's
//! version, so reading an entry twice changes nothing. What is held, given back or waits is noted in the checkpoints when
//! it changes (`notes`).

mod lanes;
mod notes;

use std::collections::BTreeMap;
use std::sync::Arc;

use kpay_domain::account::{Decision, HeldChange, Known, Next, decide};
use kpay_domain::{
    Account, AccountId, AccountSnapshot, Action, Command, HeldPayment, LedgerEntry, PaymentId, Policy,
};
use kpay_kafka::partition::partition_of;
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{DeadLetter, Out, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::stage::Stage;
use kpay_streams::table::{Committed, Map, Table};

use self::lanes::Lane;
pub(crate) use self::notes::note_account;
use self::notes::{Noted, Notes};
use crate::live::Live;
use crate::names::{Names, StageName, TopicName};
use crate::stage::checkpoint::{Checkpoints, MARKER_SLACK_MS, marker_time};
use crate::stage::counters::{Counters, Pending};

const STAGE: StageName = StageName::Account;

/// The accounts of a pod, for interactive queries.
pub type Accounts = Committed<AccountId, Account>;
/// The held payments of a pod, by payment.
pub type Holds = Committed<PaymentId, HeldPayment>;

/// State and outputs of the stage.
pub struct AccountStage {
    inflight: TopicIndex,
    ledger: TopicIndex,
    checkpoints_topic: TopicIndex,
    complete: TopicIndex,
    dlq: TopicIndex,
    inflight_name: String,
    partitions: i32,
    accounts: Table<AccountId, Account>,
    holds: Table<PaymentId, HeldPayment>,
    /// What was given back, by [`notes::refund_of`].
    refunds: Table<Vec<u8>, i64>,
    lanes: Table<AccountId, Lane>,
    /// Whether any account may have a lane.
    lanes_used: bool,
    policy: Live<Policy>,
    checkpoints: BTreeMap<i32, Checkpoints>,
    checkpoint_interval_ms: i64,
    counters: Arc<Counters>,
    pending: Pending,
}

impl AccountStage {
    /// A stage whose accounts and holds are shared with the pod's queries; its input has so many `partitions`.
    pub fn new(
        names: &Names,
        partitions: i32,
        policy: Live<Policy>,
        (shared, holds): (Arc<Accounts>, Arc<Holds>),
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
            partitions,
            accounts: Table::new(shared),
            holds: Table::new(holds),
            refunds: Table::new(Arc::default()),
            lanes: Table::new(Arc::default()),
            lanes_used: false,
            policy,
            checkpoints: BTreeMap::new(),
            checkpoint_interval_ms,
            counters,
            pending: Pending::default(),
        }
    }

    /// Decides a command and sends on what comes of it.
    fn carry_out(&mut self, partition: i32, command: Command, now_ms: i64, out: &mut Out) {
        let account = self.accounts.get(partition, command.account_id().as_str());
        let held = match &command {
            Command::Account { command, .. } => match &command.action {
                Action::Decide(decide) => self.holds.get(partition, decide.payment.as_str()),
                _ => None,
            },
            _ => None,
        };
        let refund = match &command {
            Command::Debit { payment, .. } | Command::Reverse { payment, .. } => notes::refund_of(payment),
            Command::Account { .. } => held.as_ref().and_then(|held| notes::refund_of(&held.payment)),
            Command::Credit { .. } | Command::Settled { .. } => None,
        };
        let refunded_minor =
            refund.as_ref().and_then(|key| self.refunds.get(partition, key)).unwrap_or_default();
        let reversed = match &command {
            Command::Reverse { payment, .. } if self.lanes_used => {
                Some((payment.from.clone(), payment.id.clone()))
            }
            _ => None,
        };
        let known = Known { account: account.as_ref(), held: held.as_ref(), refunded_minor };
        let Decision { entry, held, refunded_minor, next, also } =
            decide(known, command, self.policy.get(), now_ms);
        if let Some(entry) = entry {
            self.enter(partition, entry, out);
        }
        match held {
            Some(HeldChange::Hold(held)) => {
                self.note(partition, &notes::hold_key(&held.payment.id), out, |b| held.encode(b));
                self.holds.put(partition, held.payment.id.clone(), *held);
            }
            Some(HeldChange::End(id)) => {
                self.note(partition, &notes::hold_key(&id), out, |_| {});
                self.holds.remove(partition, id);
            }
            None => {}
        }
        if let Some((key, minor)) = refund.zip(refunded_minor) {
            self.note(partition, &key, out, |b| b.extend_from_slice(&minor.to_be_bytes()));
            self.refunds.put(partition, key, minor);
        }
        if let Next::Command(Command::Credit { payment, serial: true, .. }) = &next {
            self.occupy(partition, payment, out);
        }
        self.send(next, out);
        if let Some(also) = also {
            self.send(also, out);
        }
        if let Some((account, payment)) = reversed {
            self.settled(partition, &account, &payment, now_ms, out);
        }
    }

    /// Takes over what was noted of a partition.
    fn take_over(&mut self, partition: i32, noted: Notes) {
        let Noted { holds, refunds, lanes } = noted.sorted();
        self.lanes_used |= !lanes.is_empty();
        self.holds.take_over(partition, holds);
        self.refunds.take_over(partition, refunds);
        self.lanes.take_over(partition, lanes);
    }

    fn enter(&mut self, partition: i32, entry: LedgerEntry, out: &mut Out) {
        self.pending.ledger_entries += 1;
        out.send_to(self.ledger, partition, entry.account.as_str().as_bytes(), |b| entry.encode(b));
        if let Some(checkpoints) = self.checkpoints.get_mut(&partition) {
            checkpoints.touched(&entry.account);
        }
        let state = entry.state();
        self.accounts.put(partition, entry.account, state);
    }

    /// Notes something in the checkpoints; nothing written is the end of it.
    fn note(&self, partition: i32, key: &[u8], out: &mut Out, write: impl FnOnce(&mut Vec<u8>)) {
        out.send_to(self.checkpoints_topic, partition, key, write);
    }

    fn send(&self, next: Next, out: &mut Out) {
        match next {
            Next::Command(command) => {
                out.send(self.inflight, command.account_id().as_str().as_bytes(), |b| command.encode(b));
            }
            Next::Outcome(outcome) => {
                out.send(self.complete, outcome.id().as_str().as_bytes(), |b| outcome.encode(b));
            }
            Next::Nothing => {}
        }
    }
}

/// Takes an account's state over unless a newer one is there already.
pub(crate) fn newest(table: &mut Map<AccountId, Account>, id: AccountId, account: Account) {
    match table.get_mut(&id) {
        Some(known) if known.version < account.version => *known = account,
        Some(_) => {}
        None => drop(table.insert(id, account)),
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
        let Self { accounts, ledger, checkpoints_topic, partitions, .. } = self;
        let now_ms = reader.now_ms();
        // The next marker will claim these as well.
        let mut uncovered = Map::default();
        let mut noted = Notes::default();
        accounts.restore(partition, |table| {
            let mut marked = None;
            let mut failed = None;
            reader.read(*checkpoints_topic, partition, Start::Beginning, Until::Stable, &mut |record| {
                if let Some(at_ms) = marker_time(record) {
                    marked = marked.max(Some(at_ms));
                } else if record.key.first() == Some(&0) {
                    if let Err(error) = noted.read(record.key, record.value) {
                        failed = Some(unreadable("account.checkpoints", record, &error));
                    }
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
                // Of an account that was in this partition while there were others.
                Ok(entry) if partition_of(entry.account.as_str().as_bytes(), *partitions) != partition => {}
                Ok(entry) => {
                    newest(table, entry.account.clone(), entry.state());
                    uncovered.insert(entry.account, ());
                }
                Err(error) => failed = Some(unreadable("account.ledger", record, &error)),
            })?;
            failed.map_or(Ok(()), Err)
        })?;
        self.take_over(partition, noted);
        self.checkpoints.insert(partition, Checkpoints::new(now_ms, self.checkpoint_interval_ms, uncovered));
        Ok(())
    }

    fn revoke(&mut self, partition: i32) {
        self.accounts.revoke(partition);
        self.holds.revoke(partition);
        self.refunds.revoke(partition);
        self.lanes.revoke(partition);
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
        match command {
            Command::Debit { payment, accepted_at_ms } if self.has_lane(partition, &payment.from) => {
                self.wait(partition, payment, accepted_at_ms, now_ms, out);
            }
            Command::Settled { payment, account } => {
                self.settled(partition, &account, &payment, now_ms, out);
            }
            command => self.carry_out(partition, command, now_ms, out),
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
        self.holds.fold();
        self.refunds.fold();
        self.lanes.fold();
        self.checkpoints.values_mut().for_each(Checkpoints::commit);
        self.pending.fold(&self.counters);
    }

    fn abort(&mut self) {
        self.accounts.discard();
        self.holds.discard();
        self.refunds.discard();
        self.lanes.discard();
        self.checkpoints.values_mut().for_each(Checkpoints::abort);
        self.pending = Pending::default();
    }
}

#[cfg(test)]
mod tests;
