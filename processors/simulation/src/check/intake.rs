//! The inflight stage: each record of payment.incoming has exactly one consequence.

use std::rc::Rc;

use kpay::names::TopicName;
use kpay_domain::fingerprint::id_hash;
use kpay_domain::{Action, Command, LimitName, Outcome, Reason, Status};
use kpay_streams::sim::{Decided, SimRecord};

use super::{Books, Checked, Known, Moved, Step, index, wrong};
use crate::request::{Body, Request, Sent, Wire};

/// What the transaction wrote and nobody has asked for yet.
struct Written<'a>(Vec<(TopicName, &'a SimRecord)>);

impl<'a> Written<'a> {
    /// Takes one record out.
    fn take(&mut self, topic: TopicName, fits: impl Fn(&SimRecord) -> bool) -> Option<&'a SimRecord> {
        let at = self.0.iter().position(|(t, record)| *t == topic && fits(record))?;
        Some(self.0.remove(at).1)
    }
}

impl Books {
    pub(super) fn intake(&mut self, moved: &[Moved<'_>], decided: &Decided) -> Checked {
        let records = decided.records.iter();
        let mut written = Written(records.map(|(topic, r)| (self.topics[*topic], r.as_ref())).collect());
        // Re-keyed records are read by a later transaction.
        for (_, record) in written.0.iter().filter(|(topic, _)| *topic == TopicName::Incoming) {
            let value = record.value.clone().unwrap_or_default();
            let wire = Wire { value, headers: record.headers.clone() };
            let Some(sent) = self.wires.get(&wire).cloned() else {
                return wrong("rekeyed", format!("{record:?} is not what was sent"));
            };
            self.incoming[index(record.partition)].insert(record.offset, (wire, sent));
        }
        for moved in moved {
            let range = self.incoming[index(moved.partition)].range(moved.from..moved.to);
            let range: Vec<(i64, Wire, Sent)> = range.map(|(o, (w, s))| (*o, w.clone(), s.clone())).collect();
            for (offset, wire, sent) in range {
                self.received(moved.partition, offset, &wire, &sent, &mut written)?;
            }
        }
        match written.0.first() {
            None => Ok(()),
            Some((topic, record)) => {
                wrong("intake_extra", format!("{} {record:?} has no cause", topic.as_str()))
            }
        }
    }

    fn received(
        &mut self,
        partition: i32,
        offset: i64,
        wire: &Wire,
        sent: &Sent,
        written: &mut Written<'_>,
    ) -> Checked {
        let request = match sent {
            Sent::Bad(code) => return letter(partition, offset, code, wire, written),
            Sent::Good(request) => request,
        };
        let id = &request.id;
        if self.home(TopicName::Incoming, id) != partition {
            let copy = |r: &SimRecord| {
                r.key == id.as_bytes() && r.value.as_ref() == Some(&wire.value) && r.headers == wire.headers
            };
            return match written.take(TopicName::Incoming, copy) {
                Some(record) => self.placed(TopicName::Incoming, record, id),
                None => wrong("rekeyed", format!("{partition}@{offset} of {id} was not sent on")),
            };
        }
        match self.known.get(id) {
            // A copy has no effect: what it would write is found to be too much.
            Some(known) if known.request.body == request.body => Ok(()),
            Some(_) => letter(partition, offset, "idempotency_conflict", wire, written),
            None => self.accept(request, partition, offset, written),
        }
    }

    /// More than one payment may move.
    fn over(&self, body: &Body) -> Option<Reason> {
        let Body::Payment { amount, refund: None, .. } = body else { return None };
        let over = self.terms.per_payment.is_some_and(|most| *amount > most);
        over.then_some(Reason::LimitExceeded(LimitName::PerPayment))
    }

    fn accept(
        &mut self,
        request: &Rc<Request>,
        partition: i32,
        offset: i64,
        written: &mut Written<'_>,
    ) -> Checked {
        let id = request.id.clone();
        let (hash, request) = (id_hash(&id), Rc::clone(request));
        let refused = refused(&request.body);
        self.accepted[index(partition)].add(&request.body, refused.is_none());
        let known = Known {
            request: Rc::clone(&request),
            partition,
            offset,
            hash,
            step: Step::Accepted,
            held: None,
            published: false,
        };
        self.known.insert(id.clone(), known);
        // It counts with its value all the same.
        if let Some(reason) = refused.or_else(|| self.over(&request.body)) {
            let Some(record) = written.take(TopicName::Complete, |r| r.key == id.as_bytes()) else {
                return wrong("intake_lost", format!("{id} should be rejected: {reason}"));
            };
            let outcome = decode_outcome(record)?;
            if outcome.status != Status::Rejected(reason.clone()) {
                return wrong("reason", format!("{id} is {:?}, should be {reason}", outcome.status));
            }
            return self.outcome(record, outcome);
        }
        let fits = |r: &SimRecord| command_of(r).is_ok_and(|c| c.id().as_str() == id);
        let Some(record) = written.take(TopicName::Inflight, fits) else {
            return wrong("intake_lost", format!("{id} was accepted without a command"));
        };
        let command = command_of(record)?;
        if !is_first(&request, &command) {
            return wrong("command", format!("{command:?} is not of {request:?}"));
        }
        self.placed(TopicName::Inflight, record, command.account_id().as_str())?;
        self.commands[index(record.partition)].insert(record.offset, Rc::new(command));
        Ok(())
    }
}

/// A dead letter of this record, with what it was.
fn letter(partition: i32, offset: i64, code: &str, wire: &Wire, written: &mut Written<'_>) -> Checked {
    let text = |r: &SimRecord, name: &str| {
        let found = r.headers.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let fits = |r: &SimRecord| {
        text(r, "kpay-dlq-partition") == partition.to_string()
            && text(r, "kpay-dlq-offset") == offset.to_string()
    };
    let Some(record) = written.take(TopicName::Dlq, fits) else {
        return wrong("letters", format!("{partition}@{offset} ({code}) has no dead letter"));
    };
    // No bytes and no value are one, to the engine.
    let whole = record.value.as_deref().unwrap_or_default() == wire.value
        && record.headers.starts_with(&wire.headers);
    if text(record, "kpay-dlq-code") != code || !whole {
        return wrong("letters", format!("{record:?} should be {code}"));
    }
    Ok(())
}

pub(super) fn command_of(record: &SimRecord) -> Checked<Command> {
    let decoded = Command::decode(record.value.as_deref().unwrap_or_default());
    decoded.or_else(|error| wrong("readable", format!("payment.inflight {record:?}: {error}")))
}

pub(super) fn decode_outcome(record: &SimRecord) -> Checked<Outcome> {
    let decoded = Outcome::decode(record.value.as_deref().unwrap_or_default());
    decoded.or_else(|error| wrong("readable", format!("payment.complete {record:?}: {error}")))
}

/// The rules of the intake, in their order.
pub(super) fn refused(body: &Body) -> Option<Reason> {
    let (positive, currency, same) = match body {
        Body::Payment { from, to, amount, currency, .. } => (*amount > 0, Some(*currency), from == to),
        Body::Open { currency, funding, .. } => (*funding >= 0, *currency, false),
        Body::Fund { amount, currency, .. } => (*amount > 0, *currency, false),
        Body::Change { .. } | Body::Limits { .. } | Body::Decide { .. } => (true, None, false),
    };
    if !positive {
        return Some(Reason::AmountNotPositive);
    }
    if currency == Some("ZZZ") {
        return Some(Reason::CurrencyUnknown);
    }
    same.then_some(Reason::SameAccount)
}

/// Whether the command is the first step of the request.
fn is_first(request: &Request, command: &Command) -> bool {
    match (&request.body, command) {
        (Body::Payment { from, to, amount, currency, .. }, Command::Debit { payment, .. }) => {
            payment.from.as_str() == from
                && payment.to.as_str() == to
                && payment.amount.minor == *amount
                && payment.amount.currency.as_str() == *currency
        }
        (body, Command::Account { command, .. }) => match (body, &command.action) {
            (Body::Open { account, currency, funding }, Action::Open { currency: of, funding_minor }) => {
                command.account.as_str() == account
                    && funding_minor == funding
                    && of.as_ref().is_some_and(|of| of.as_str() == currency.unwrap_or("USD"))
            }
            (Body::Fund { account, amount, currency }, Action::Fund { amount_minor, currency: of }) => {
                command.account.as_str() == account
                    && amount_minor == amount
                    && of.as_ref().map(|of| of.as_str().to_owned()) == currency.map(str::to_owned)
            }
            (Body::Change { account, change }, Action::Change(to)) => {
                command.account.as_str() == account && to == change
            }
            (Body::Limits { account, limits }, Action::Limits(own)) => {
                command.account.as_str() == account && **own == *limits
            }
            (Body::Decide { account, payment, verdict, .. }, Action::Decide(decide)) => {
                command.account.as_str() == account
                    && decide.payment.as_str() == payment
                    && decide.verdict == *verdict
            }
            _ => false,
        },
        _ => false,
    }
}
