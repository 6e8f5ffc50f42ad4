//! What the account stage notes in account.checkpoints besides the accounts: held payments, refunds, debits that wait.
//! Keys begin with a NUL, which no account id holds. No I/O.
//!
//! | key | value |
//! |---|---|
//! | NUL `h` payment | the held payment |
//! | NUL `b` account NUL payment | what the account gave back of it, in minor units (8 bytes, big endian) |
//! | NUL `f` account | the serial debit that is in flight |
//! | NUL `w` account NUL payment | a debit that waits: its number (8 bytes, big endian) and its command |
//!
//! Nothing as value is the end of it. (NUL `round` is the checkpoints' marker.)

use std::collections::HashMap;
use std::sync::Arc;

use kpay_domain::{AccountId, Command, HeldPayment, Malformed, Payment, PaymentId};

use super::lanes::{Lane, Waiting};

pub(super) fn hold_key(payment: &PaymentId) -> Vec<u8> {
    key(b'h', &[payment.as_str()])
}

/// Key of what was given back of the payment that `payment` gives back, if it does.
pub(super) fn refund_of(payment: &Payment) -> Option<Vec<u8>> {
    payment.refund.as_ref().map(|refund| key(b'b', &[payment.from.as_str(), refund.of.as_str()]))
}

pub(super) fn lane_key(account: &AccountId) -> Vec<u8> {
    key(b'f', &[account.as_str()])
}

pub(super) fn waiting_key(account: &AccountId, payment: &PaymentId) -> Vec<u8> {
    key(b'w', &[account.as_str(), payment.as_str()])
}

fn key(kind: u8, parts: &[&str]) -> Vec<u8> {
    let mut key = vec![0, kind];
    key.extend_from_slice(parts.join("\0").as_bytes());
    key
}

pub(super) fn encode_waiting(waiting: &Waiting, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&waiting.number.to_be_bytes());
    let Waiting { payment, accepted_at_ms, .. } = waiting;
    Command::Debit { payment: payment.clone(), accepted_at_ms: *accepted_at_ms }.encode(buffer);
}

fn decode_waiting(value: &[u8]) -> Result<Waiting, Malformed> {
    let missing = || Malformed::new("note_invalid", "body", "is no debit that waits");
    let (number, command) = value.split_first_chunk::<8>().ok_or_else(missing)?;
    match Command::decode(command)? {
        Command::Debit { payment, accepted_at_ms } => {
            Ok(Waiting { number: u64::from_be_bytes(*number), payment, accepted_at_ms })
        }
        _ => Err(missing()),
    }
}

/// The account in whose partition a note lies, by its record; none of a note that this release does not know.
pub(crate) fn note_account(key: &[u8], value: &[u8]) -> Result<Option<AccountId>, Malformed> {
    let Some((kind, rest)) = key.get(1..).and_then(<[u8]>::split_first) else { return Ok(None) };
    match kind {
        b'h' => Ok(Some(HeldPayment::decode(value)?.payment.from)),
        b'b' | b'f' | b'w' => {
            let account = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            account_id(account).map(Some)
        }
        _ => Ok(None),
    }
}

/// What was noted of one partition.
#[derive(Debug, Default)]
pub(super) struct Notes {
    holds: HashMap<PaymentId, HeldPayment>,
    refunds: HashMap<Vec<u8>, i64>,
    in_flight: HashMap<AccountId, PaymentId>,
    waiting: HashMap<Vec<u8>, Waiting>,
}

/// The same, as the stage keeps it.
pub(super) struct Noted {
    pub(super) holds: HashMap<PaymentId, HeldPayment>,
    pub(super) refunds: HashMap<Vec<u8>, i64>,
    pub(super) lanes: HashMap<AccountId, Lane>,
}

impl Notes {
    /// Takes one record of account.checkpoints whose key begins with a NUL.
    pub(super) fn read(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let Some((kind, rest)) = key.get(1..).and_then(<[u8]>::split_first) else { return Ok(()) };
        let over = value.is_empty();
        match kind {
            b'h' if over => drop(self.holds.remove(&payment_id(rest)?)),
            b'h' => {
                let held = HeldPayment::decode(value)?;
                self.holds.insert(held.payment.id.clone(), held);
            }
            b'b' => {
                let minor = value.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
                self.refunds.insert(key.to_vec(), minor);
            }
            b'f' if over => drop(self.in_flight.remove(&account_id(rest)?)),
            b'f' => drop(self.in_flight.insert(account_id(rest)?, payment_id(value)?)),
            b'w' if over => drop(self.waiting.remove(key)),
            b'w' => drop(self.waiting.insert(key.to_vec(), decode_waiting(value)?)),
            // Of a newer release, which replaces this one at the moment.
            _ => {}
        }
        Ok(())
    }

    /// By what the stage keeps: the debits of an account together, in their order.
    pub(super) fn sorted(self) -> Noted {
        let Self { holds, refunds, in_flight, waiting } = self;
        let mut lanes: HashMap<AccountId, Lane> = HashMap::new();
        for (account, payment) in in_flight {
            lanes.entry(account).or_default().in_flight = Some(payment);
        }
        let mut waiting: Vec<Waiting> = waiting.into_values().collect();
        waiting.sort_by_key(|waiting| waiting.number);
        for waiting in waiting {
            lanes.entry(waiting.payment.from.clone()).or_default().waiting.push_back(Arc::new(waiting));
        }
        Noted { holds, refunds, lanes }
    }
}

fn payment_id(bytes: &[u8]) -> Result<PaymentId, Malformed> {
    text(bytes).and_then(|text| PaymentId::new(text).ok()).ok_or_else(unreadable)
}

fn account_id(bytes: &[u8]) -> Result<AccountId, Malformed> {
    text(bytes).and_then(|text| AccountId::new(text).ok()).ok_or_else(unreadable)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn unreadable() -> Malformed {
    Malformed::new("note_invalid", "key", "is no note of this release")
}
