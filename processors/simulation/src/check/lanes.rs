//! Debits that come one by one: one of an account between its debit and its end, the others wait in their order.

use std::collections::{BTreeMap, VecDeque};

use kpay::names::TopicName;
use kpay_domain::{Command, Reason};
use kpay_streams::sim::SimRecord;

use super::flow::{Due, Kind};
use super::{Books, Checked, Step, wrong};
use crate::request::{Body, Request};

/// The debits of one account.
#[derive(Debug, Default)]
pub(super) struct Lane {
    in_flight: Option<String>,
    waiting: VecDeque<String>,
}

pub(super) type Lanes = BTreeMap<String, Lane>;

/// The payer of a payment.
fn payer(request: &Request) -> Option<&str> {
    match &request.body {
        Body::Payment { from, .. } => Some(from),
        _ => None,
    }
}

impl Books {
    fn lane(&self, request: &Request) -> Option<&Lane> {
        self.lanes.get(payer(request)?)
    }

    /// Whether it is the payment that the others of its payer wait for.
    pub(super) fn is_serial(&self, request: &Request) -> bool {
        self.lane(request).is_some_and(|lane| lane.in_flight.as_ref() == Some(&request.id))
    }

    /// A debit is looked at: it has just come and nobody is before it, or its turn has come.
    pub(super) fn takes_debit(&self, request: &Request, step: &Step, due: &mut Due) -> Checked {
        match step {
            Step::Turn => Ok(()),
            _ if self.lane(request).is_some_and(|lane| lane.in_flight.is_some()) => {
                wrong("serial", format!("{request:?} has to wait for {:?}", self.lane(request)))
            }
            _ => due.take(&request.id, Kind::Debit),
        }
    }

    /// One debit too many: it may not even wait.
    pub(super) fn is_full(&self, request: &Request, step: &Step) -> Option<Reason> {
        let lane = self.lane(request).filter(|lane| *step == Step::Accepted && lane.in_flight.is_some())?;
        (lane.waiting.len() >= self.terms.waiting_max).then_some(Reason::DebitsWaitingFull)
    }

    /// The others of its payer wait from now on.
    pub(super) fn occupies(&mut self, request: &Request, step: &Step) -> Checked {
        let Some(account) = payer(request).filter(|_| self.terms.serial && !step.is_held()) else {
            return Ok(());
        };
        let lane = self.lanes.entry(account.to_owned()).or_default();
        match lane.in_flight.replace(request.id.clone()) {
            None => Ok(()),
            Some(before) => wrong("serial", format!("{request:?} is debited while {before} is in flight")),
        }
    }

    /// The end of a serial debit has to be told to its payer, at once or by a command.
    pub(super) fn settles(&self, request: &Request, due: &mut Due) {
        if self.is_serial(request) {
            due.settle.push(request.id.clone());
        }
    }

    /// The command that tells it.
    pub(super) fn tells(&self, command: &Command, due: &mut Due) -> Checked {
        let id = command.id().as_str();
        match due.settle.iter().position(|settled| settled == id) {
            Some(at)
                if self.known.get(id).and_then(|k| payer(&k.request))
                    == Some(command.account_id().as_str()) =>
            {
                due.settle.swap_remove(at);
                Ok(())
            }
            _ => wrong("serial", format!("{command:?} settles nothing")),
        }
    }

    /// What the stage notes of its lanes.
    pub(super) fn noted(&mut self, record: &SimRecord, due: &mut Due) -> Checked {
        let key = String::from_utf8_lossy(&record.key).into_owned();
        let empty = record.value.as_deref().unwrap_or_default().is_empty();
        let mut parts = key.get(2..).unwrap_or_default().split('\0').map(str::to_owned);
        let (account, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let kind = key.as_bytes().get(1).copied().unwrap_or_default();
        if !matches!(kind, b'f' | b'w') {
            return Ok(());
        }
        if record.partition != self.home(TopicName::Checkpoints, &account) {
            return wrong("placed", format!("a note of {account} in {}", record.partition));
        }
        let lane = self.lanes.entry(account.clone()).or_default();
        match (kind, empty) {
            (b'f', false) => {
                let of = record.value.as_deref().map(String::from_utf8_lossy);
                if lane.in_flight.as_deref() != of.as_deref() {
                    return wrong("serial", format!("{of:?} is noted, not {lane:?}"));
                }
                Ok(())
            }
            (b'f', true) => self.free(&account, due),
            (_, false) => {
                if lane.in_flight.is_none() {
                    return wrong("serial", format!("{id} waits for nothing: {lane:?}"));
                }
                lane.waiting.push_back(id.clone());
                due.take(&id, Kind::Debit)?;
                self.set(&id, Step::Waiting, due);
                Ok(())
            }
            (_, true) => {
                let next = lane.waiting.pop_front();
                if lane.in_flight.is_some() || next.as_ref() != Some(&id) {
                    return wrong("serial", format!("{id} comes, should be {next:?}: {lane:?}"));
                }
                self.set(&id, Step::Turn, due);
                Ok(())
            }
        }
    }

    fn free(&mut self, account: &str, due: &mut Due) -> Checked {
        let Some(id) = self.lanes.get_mut(account).and_then(|lane| lane.in_flight.take()) else {
            return wrong("serial", format!("{account} has no debit in flight"));
        };
        due.freed.push(account.to_owned());
        match due.settle.iter().position(|settled| *settled == id) {
            Some(at) => drop(due.settle.swap_remove(at)),
            None => due.take(&id, Kind::Settled)?,
        }
        Ok(())
    }

    /// At the end of a transaction: who is settled is told, and somebody goes on.
    pub(super) fn goes_on(&self, due: &Due) -> Checked {
        if let Some(id) = due.settle.first() {
            return wrong("serial", format!("{id} is settled, and nobody is told"));
        }
        let stuck = due.freed.iter().find(|account| {
            self.lanes.get(*account).is_some_and(|lane| lane.in_flight.is_none() && !lane.waiting.is_empty())
        });
        stuck.map_or(Ok(()), |account| wrong("serial", format!("{account}: {:?}", self.lanes[account])))
    }
}
