//! Payments that a rule holds: nothing moves until one command decides, and none decides twice.

use std::rc::Rc;

use kpay_domain::{Action, Command, HoldVerdict, Outcome, Reason};

use super::flow::{Due, Kind};
use super::{Books, Checked, Step, wrong};
use crate::request::{Body, Request};
use crate::topology::RULE;

impl Due {
    /// A held payment goes on or ends: a command says so, and once.
    pub(super) fn decide(&mut self, request: &Request, verdict: HoldVerdict) -> Checked {
        let id = &request.id;
        let says = |command: &Rc<Command>| match &**command {
            Command::Account { command, .. } => match (&command.action, &request.body) {
                (Action::Decide(decide), Body::Payment { from, .. }) => {
                    decide.payment.as_str() == id
                        && decide.verdict == verdict
                        && command.account.as_str() == from
                }
                _ => false,
            },
            _ => false,
        };
        if !self.commands.iter().any(says) {
            return wrong("hold", format!("{verdict:?} of {id} has no command in this transaction's input"));
        }
        self.decided.push((id.clone(), verdict));
        Ok(())
    }
}

impl Books {
    /// Whether the rule holds it, if nothing is against it.
    pub(super) fn is_to_hold(&self, body: &Body) -> bool {
        match (body, self.terms.hold_above) {
            (Body::Payment { amount, refund: None, .. }, Some(bound)) => *amount > bound,
            _ => false,
        }
    }

    /// A rejection of a payment or of a command: with the right reason, and for a command that is used up by it.
    pub(super) fn rejected(
        &self,
        request: &Request,
        step: &Step,
        outcome: &Outcome,
        due: &mut Due,
    ) -> Checked<bool> {
        let told = outcome.status.reason();
        let id = &request.id;
        match (&request.body, step) {
            (Body::Payment { .. }, Step::Held { expires_at_ms }) => {
                let decided = outcome.hold.as_ref().and_then(|hold| hold.decided.as_ref());
                let Some(decision) = decided else { return Ok(false) };
                due.decide(request, decision.verdict)?;
                let should = match decision.verdict {
                    HoldVerdict::Release => self.accounts.rejects(&request.body, outcome.completed_at_ms),
                    HoldVerdict::Refuse => Some(Reason::HoldRefused),
                    HoldVerdict::Expire => {
                        (*expires_at_ms <= outcome.completed_at_ms).then_some(Reason::HoldExpired)
                    }
                };
                Ok(should.as_ref() == told)
            }
            (Body::Decide { account, payment, verdict, .. }, Step::Accepted) => {
                due.take(id, Kind::Account)?;
                let should = match self.held_until(account, payment) {
                    None => Some(Reason::HoldUnknown),
                    Some(until) if *verdict == HoldVerdict::Expire && outcome.completed_at_ms < until => {
                        Some(Reason::HoldNotExpired)
                    }
                    Some(_) => None,
                };
                Ok(should.as_ref() == told)
            }
            (Body::Payment { .. }, Step::Accepted | Step::Turn) => {
                let should = if let Some(full) = self.is_full(request, step) {
                    due.take(id, Kind::Debit)?;
                    Some(full)
                } else {
                    self.takes_debit(request, step, due)?;
                    self.accounts.rejects(&request.body, outcome.completed_at_ms)
                };
                Ok(should.as_ref() == told)
            }
            (body, Step::Accepted) => {
                due.take(id, Kind::Account)?;
                Ok(self.accounts.rejects(body, outcome.completed_at_ms).as_ref() == told)
            }
            _ => Ok(false),
        }
    }

    /// Until when the account's payment is held, if it is.
    fn held_until(&self, account: &str, payment: &str) -> Option<i64> {
        let known = self.known.get(payment)?;
        match (&known.step, &known.request.body) {
            (Step::Held { expires_at_ms }, Body::Payment { from, .. }) if from == account => {
                Some(*expires_at_ms)
            }
            _ => None,
        }
    }

    /// A payment is held that nothing else is against; it ends then, when it does.
    pub(super) fn holds_right(
        &self,
        request: &Request,
        step: &Step,
        outcome: &Outcome,
        due: &mut Due,
    ) -> Checked<bool> {
        self.takes_debit(request, step, due)?;
        let Some(hold) = &outcome.hold else { return Ok(false) };
        Ok(self.is_to_hold(&request.body)
            && self.accounts.rejects(&request.body, outcome.completed_at_ms).is_none()
            && hold.rule.as_str() == RULE
            && hold.held_at_ms == outcome.completed_at_ms
            && hold.expires_at_ms == hold.held_at_ms + self.terms.hold_expiry_ms)
    }
}

/// The command has decided a held payment, in this transaction.
pub(super) fn has_decided(body: &Body, id: &str, due: &mut Due) -> Checked<bool> {
    let Body::Decide { payment, verdict, .. } = body else { return Ok(false) };
    let Some(at) = due.decided.iter().position(|(of, how)| of == payment && how == verdict) else {
        return Ok(false);
    };
    due.decided.remove(at);
    due.take(id, Kind::Account)?;
    Ok(true)
}
