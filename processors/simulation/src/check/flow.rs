//! The account stage: each command is carried out once, and what it leads to is in the same transaction.

use std::rc::Rc;

use kpay::names::TopicName;
use kpay_domain::{AccountSnapshot, Command, EntryKind, HoldVerdict, LedgerEntry, Outcome, Reason, Status};
use kpay_streams::sim::{Decided, SimRecord};

use super::holds::has_decided;
use super::intake::{command_of, decode_outcome};
use super::{Books, Checked, Moved, Step, index, refunds, wrong};
use crate::request::{Body, Request};

/// Which step of a payment a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Debit,
    Credit,
    Reverse,
    Account,
    Settled,
}

fn kind(command: &Command) -> Kind {
    match command {
        Command::Debit { .. } => Kind::Debit,
        Command::Credit { .. } => Kind::Credit,
        Command::Reverse { .. } => Kind::Reverse,
        Command::Account { .. } => Kind::Account,
        Command::Settled { .. } => Kind::Settled,
    }
}

/// The commands that the transaction has read and not used yet, and the ids that it has touched.
#[derive(Default)]
pub(super) struct Due {
    pub(super) commands: Vec<Rc<Command>>,
    touched: Vec<String>,
    /// Held payments that were decided, and how; the command that did so has to say it.
    pub(super) decided: Vec<(String, HoldVerdict)>,
    /// Serial debits that came to their end, and nobody is told yet.
    pub(super) settle: Vec<String>,
    /// Accounts whose next debit may come.
    pub(super) freed: Vec<String>,
}

impl Due {
    pub(super) fn take(&mut self, id: &str, of: Kind) -> Checked {
        match self.commands.iter().position(|c| kind(c) == of && c.id().as_str() == id) {
            Some(at) => {
                self.commands.swap_remove(at);
                Ok(())
            }
            None => wrong("one_effect", format!("{of:?} of {id} has no command in this transaction's input")),
        }
    }
}

impl Books {
    pub(super) fn flow(&mut self, moved: &[Moved<'_>], decided: &Decided) -> Checked {
        let mut due = Due::default();
        for moved in moved {
            let range = self.commands[index(moved.partition)].range(moved.from..moved.to);
            due.commands.extend(range.map(|(_, command)| Rc::clone(command)));
        }
        for (topic, record) in &decided.records {
            match self.topics[*topic] {
                TopicName::Ledger => self.entry(record, &mut due)?,
                TopicName::Inflight => self.command(record, &mut due)?,
                TopicName::Complete => self.ended(record, &mut due)?,
                TopicName::Checkpoints if record.key.starts_with(b"\0") => self.noted(record, &mut due)?,
                TopicName::Checkpoints => self.checkpoint(record)?,
                topic => return wrong("flow_extra", format!("{} {record:?}", topic.as_str())),
            }
        }
        if let Some(command) = due.commands.first() {
            return wrong("command_lost", format!("{command:?} was read and had no effect"));
        }
        self.goes_on(&due)?;
        if let Some((id, verdict)) = due.decided.first() {
            return wrong("hold", format!("{verdict:?} of {id}, and no command tells it"));
        }
        for id in &due.touched {
            let step = &self.known[id].step;
            match step {
                Step::Debited { written: true }
                | Step::Refused(_)
                | Step::Held { .. }
                | Step::Waiting
                | Step::Done => {}
                Step::Accepted
                | Step::Turn
                | Step::Debited { written: false }
                | Step::Credited
                | Step::Reversed(_)
                | Step::Applied => {
                    return wrong("no_next", format!("{id} is {step:?} at the end of its transaction"));
                }
            }
        }
        Ok(())
    }

    fn request(&self, id: &str) -> Checked<(Rc<Request>, Step)> {
        match self.known.get(id) {
            Some(known) => Ok((Rc::clone(&known.request), known.step.clone())),
            None => wrong("invented", format!("{id} was never accepted")),
        }
    }

    pub(super) fn set(&mut self, id: &str, step: Step, due: &mut Due) {
        if let Some(known) = self.known.get_mut(id) {
            known.step = step;
            due.touched.push(id.to_owned());
        }
    }

    fn entry(&mut self, record: &SimRecord, due: &mut Due) -> Checked {
        let entry = LedgerEntry::decode(record.value.as_deref().unwrap_or_default());
        let entry = entry.or_else(|e| wrong("readable", format!("account.ledger {record:?}: {e}")))?;
        self.placed(TopicName::Ledger, record, entry.account.as_str())?;
        let id = entry.id.as_str();
        let (request, step) = self.request(id)?;
        let step = match entry.kind {
            EntryKind::Debit => {
                let next = self.debit(&request, &step, entry.at_ms, due)?;
                self.occupies(&request, &step)?;
                next
            }
            EntryKind::Credit => self.credit(&request, &step, due)?,
            EntryKind::Reverse => self.reverse(&request, &step, due)?,
            EntryKind::Opened
            | EntryKind::Funded
            | EntryKind::Frozen
            | EntryKind::Unfrozen
            | EntryKind::Closed
            | EntryKind::Limits => self.administer(&request, &step, entry.at_ms, due)?,
        };
        if matches!(step, Step::Credited | Step::Reversed(_)) {
            self.settles(&request, due);
        }
        self.set(id, step, due);
        if !asked(&request.body, &entry) {
            return wrong("entry_of", format!("{entry:?} is not of {request:?}"));
        }
        self.accounts.apply(record.partition, &entry, &request.body)
    }

    fn debit(&self, request: &Request, step: &Step, at_ms: i64, due: &mut Due) -> Checked<Step> {
        let id = &request.id;
        match step {
            Step::Accepted | Step::Turn => self.takes_debit(request, step, due)?,
            Step::Held { .. } => due.decide(request, HoldVerdict::Release)?,
            _ => return wrong("one_debit", format!("{id} is debited and was {step:?}")),
        }
        if !step.is_held() && self.is_to_hold(&request.body) {
            return wrong("hold", format!("{request:?} is debited, should be held"));
        }
        match self.accounts.rejects(&request.body, at_ms) {
            None => Ok(Step::Debited { written: false }),
            Some(reason) => wrong("funds", format!("{request:?} is debited, should be {reason}")),
        }
    }

    fn credit(&self, request: &Request, step: &Step, due: &mut Due) -> Checked<Step> {
        let id = &request.id;
        match step {
            Step::Debited { written: true } => due.take(id, Kind::Credit)?,
            Step::Debited { written: false } => {}
            Step::Accepted => return wrong("credit_first", format!("{id} is credited before its debit")),
            other => return wrong("one_credit", format!("{id} is credited and was {other:?}")),
        }
        match self.refusal(request) {
            None => Ok(Step::Credited),
            Some(reason) => wrong("credit", format!("{request:?} is credited, should be {reason}")),
        }
    }

    /// The reversal itself; where it was handled at once, its reason was found in this transaction too.
    fn reverse(&self, request: &Request, step: &Step, due: &mut Due) -> Checked<Step> {
        let id = &request.id;
        match step {
            Step::Refused(reason) => {
                due.take(id, Kind::Reverse)?;
                Ok(Step::Reversed(reason.clone()))
            }
            Step::Debited { written } => {
                if *written {
                    due.take(id, Kind::Credit)?;
                }
                match self.refusal(request) {
                    Some(reason) => Ok(Step::Reversed(reason)),
                    None => wrong("reverse", format!("{request:?} is reversed without a reason")),
                }
            }
            other => wrong("one_reverse", format!("{id} is reversed and was {other:?}")),
        }
    }

    fn administer(&self, request: &Request, step: &Step, at_ms: i64, due: &mut Due) -> Checked<Step> {
        if *step != Step::Accepted {
            return wrong("one_effect", format!("{request:?} is carried out and was {step:?}"));
        }
        due.take(&request.id, Kind::Account)?;
        match self.accounts.rejects(&request.body, at_ms) {
            None => Ok(Step::Applied),
            Some(reason) => wrong("account", format!("{request:?} is carried out, should be {reason}")),
        }
    }

    /// Why the payee cannot be credited.
    fn refusal(&self, request: &Request) -> Option<Reason> {
        match &request.body {
            Body::Payment { to, currency, .. } => self.accounts.refuses(to, Some(currency)),
            _ => None,
        }
    }

    fn command(&mut self, record: &SimRecord, due: &mut Due) -> Checked {
        let command = command_of(record)?;
        let id = command.id().as_str().to_owned();
        self.placed(TopicName::Inflight, record, command.account_id().as_str())?;
        let (request, step) = self.request(&id)?;
        let (of, payment) = match &command {
            Command::Settled { .. } => {
                self.tells(&command, due)?;
                self.commands[index(record.partition)].insert(record.offset, Rc::new(command));
                return Ok(());
            }
            Command::Credit { serial, .. } if *serial != self.is_serial(&request) => {
                return wrong("serial", format!("{command:?} of {request:?}"));
            }
            Command::Credit { payment, .. } => (Kind::Credit, payment),
            Command::Reverse { payment, .. } => (Kind::Reverse, payment),
            other => return wrong("command", format!("the account stage wrote {other:?}")),
        };
        let same = matches!(&request.body, Body::Payment { from, to, amount, currency, refund, .. }
            if refunds(payment, refund.as_ref()) && payment.from.as_str() == from && payment.to.as_str() == to
                && payment.amount.minor == *amount && payment.amount.currency.as_str() == *currency);
        if !same {
            return wrong("command", format!("{command:?} is not of {request:?}"));
        }
        let next = match (of, &step, &command) {
            (Kind::Credit, Step::Debited { written: false }, _) => Step::Debited { written: true },
            (_, Step::Debited { written }, Command::Reverse { reason, .. }) => {
                if *written {
                    due.take(&id, Kind::Credit)?;
                }
                if self.refusal(&request).as_ref() != Some(reason) {
                    return wrong("reason", format!("{command:?}, should be {:?}", self.refusal(&request)));
                }
                Step::Refused(reason.clone())
            }
            _ => return wrong("one_command", format!("a second {of:?} of {id}, which was {step:?}")),
        };
        self.set(&id, next, due);
        self.commands[index(record.partition)].insert(record.offset, Rc::new(command));
        Ok(())
    }

    fn ended(&mut self, record: &SimRecord, due: &mut Due) -> Checked {
        let outcome = decode_outcome(record)?;
        let id = outcome.id().as_str().to_owned();
        let (request, step) = self.request(&id)?;
        let true_to = match (&outcome.status, &step) {
            (Status::Confirmed, Step::Credited | Step::Applied) => true,
            (Status::Reversed(told), Step::Reversed(reason)) => told == reason,
            (Status::Confirmed, Step::Accepted) => has_decided(&request.body, &id, due)?,
            (Status::Rejected(_), _) if step != Step::Done => {
                self.rejected(&request, &step, &outcome, due)?
            }
            (Status::Held(_), Step::Accepted | Step::Turn) => {
                self.holds_right(&request, &step, &outcome, due)?
            }
            (_, Step::Done) => return wrong("one_outcome", format!("{id} has a second outcome")),
            _ => false,
        };
        if !true_to {
            let should = self.accounts.rejects(&request.body, outcome.completed_at_ms);
            return wrong("outcome", format!("{id} is {:?} at {step:?} ({should:?})", outcome.status));
        }
        self.outcome_of(record, outcome, &id, due)
    }

    fn outcome_of(&mut self, record: &SimRecord, outcome: Outcome, id: &str, due: &mut Due) -> Checked {
        due.touched.push(id.to_owned());
        self.outcome(record, outcome)
    }

    /// A snapshot is the account as it stands; a marker is taken as it is, and judged by what is restored from it.
    fn checkpoint(&self, record: &SimRecord) -> Checked {
        let snapshot = AccountSnapshot::decode(record.value.as_deref().unwrap_or_default());
        let snapshot = snapshot.or_else(|e| wrong("readable", format!("checkpoint {record:?}: {e}")))?;
        let id = snapshot.account.as_str();
        self.placed(TopicName::Checkpoints, record, id)?;
        let is = self.accounts.get(id);
        if is == Some(&snapshot.state) {
            return Ok(());
        }
        wrong("checkpoint", format!("{snapshot:?} of {is:?}"))
    }
}

/// Whether the entry is what the request asks for, on the right account and with the right amount.
fn asked(body: &Body, entry: &LedgerEntry) -> bool {
    let (account, minor, of) = (entry.account.as_str(), entry.amount.minor, entry.amount.currency);
    match (entry.kind, body) {
        (EntryKind::Debit, Body::Payment { from, amount, currency, .. }) => {
            account == from && minor == -amount && of.as_str() == *currency
        }
        (EntryKind::Reverse, Body::Payment { from, amount, currency, .. }) => {
            account == from && minor == *amount && of.as_str() == *currency
        }
        (EntryKind::Credit, Body::Payment { to, amount, currency, .. }) => {
            account == to && minor == *amount && of.as_str() == *currency
        }
        (EntryKind::Opened, Body::Open { account: asked, funding, currency }) => {
            account == asked && minor == *funding && of.as_str() == currency.unwrap_or("USD")
        }
        (EntryKind::Funded, Body::Fund { account: asked, amount, .. }) => {
            account == asked && minor == *amount
        }
        (
            EntryKind::Frozen | EntryKind::Unfrozen | EntryKind::Closed,
            Body::Change { account: asked, .. },
        )
        | (EntryKind::Limits, Body::Limits { account: asked, .. }) => account == asked && minor == 0,
        _ => false,
    }
}
