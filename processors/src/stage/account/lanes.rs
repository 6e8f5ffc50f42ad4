//! Debits that come one by one: with `serialDebits` one debit of an account is in flight, the others wait in their order.
//! No I/O of its own.
//!
//! An account has a lane while a serial debit of it is in flight or waits. The lane is noted in the checkpoints: which
//! payment is in flight, and each that waits.

use std::collections::VecDeque;
use std::sync::Arc;

use kpay_domain::{AccountId, Command, Intake, Outcome, Payment, PaymentId, Reason};
use kpay_streams::out::Out;

use super::{AccountStage, notes};
use kpay_domain::account::Next;

/// The debits of one account.
#[derive(Debug, Clone, Default)]
pub(super) struct Lane {
    pub(super) in_flight: Option<PaymentId>,
    /// In their order.
    pub(super) waiting: VecDeque<Arc<Waiting>>,
}

/// A debit that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Grows within the lane.
    pub(super) number: u64,
    pub(super) payment: Payment,
    pub(super) accepted_at_ms: i64,
}

impl AccountStage {
    /// Whether a debit of the account has to go by its lane.
    pub(super) fn has_lane(&self, partition: i32, account: &AccountId) -> bool {
        self.lanes_used && self.lanes.get(partition, account).is_some()
    }

    /// Puts a debit at the end of its lane; one too many is rejected.
    pub(super) fn wait(
        &mut self,
        partition: i32,
        payment: Payment,
        accepted_at_ms: i64,
        now_ms: i64,
        out: &mut Out,
    ) {
        let account = payment.from.clone();
        let mut lane = self.lanes.get(partition, &account).unwrap_or_default();
        let most = usize::try_from(self.policy.get().limits.waiting_debits_max).unwrap_or(usize::MAX);
        if lane.waiting.len() >= most {
            let subject = Intake::Payment(payment);
            let outcome = Outcome::rejected(subject, Reason::DebitsWaitingFull, accepted_at_ms, now_ms);
            return self.send(Next::Outcome(outcome), out);
        }
        let number = lane.waiting.back().map_or(0, |last| last.number + 1);
        let waiting = Waiting { number, payment, accepted_at_ms };
        self.note(partition, &notes::waiting_key(&account, &waiting.payment.id), out, |b| {
            notes::encode_waiting(&waiting, b);
        });
        lane.waiting.push_back(Arc::new(waiting));
        self.lanes.put(partition, account, lane);
    }

    /// A serial debit is in flight now.
    pub(super) fn occupy(&mut self, partition: i32, payment: &Payment, out: &mut Out) {
        self.lanes_used = true;
        let account = payment.from.clone();
        let mut lane = self.lanes.get(partition, &account).unwrap_or_default();
        self.note(partition, &notes::lane_key(&account), out, |b| {
            b.extend_from_slice(payment.id.as_str().as_bytes());
        });
        lane.in_flight = Some(payment.id.clone());
        self.lanes.put(partition, account, lane);
    }

    /// The payment is not in flight any more: the next debits of the account come, until one is in flight again.
    pub(super) fn settled(
        &mut self,
        partition: i32,
        account: &AccountId,
        payment: &PaymentId,
        now_ms: i64,
        out: &mut Out,
    ) {
        let Some(mut lane) = self.lanes.get(partition, account) else { return };
        if lane.in_flight.as_ref() != Some(payment) {
            return;
        }
        lane.in_flight = None;
        self.note(partition, &notes::lane_key(account), out, |_| {});
        while lane.in_flight.is_none() {
            let Some(next) = lane.waiting.pop_front() else {
                return self.lanes.remove(partition, account.clone());
            };
            self.note(partition, &notes::waiting_key(account, &next.payment.id), out, |_| {});
            self.lanes.put(partition, account.clone(), lane);
            let Waiting { payment, accepted_at_ms, .. } = &*next;
            let debit = Command::Debit { payment: payment.clone(), accepted_at_ms: *accepted_at_ms };
            self.carry_out(partition, debit, now_ms, out);
            lane = self.lanes.get(partition, account).unwrap_or_default();
        }
    }
}
