//! Short hashes for idempotency: the fingerprint of what was asked for, and of an id. BLAKE3, truncated; stable over
//! releases and machines, since both are kept and compared later.

use crate::payment::{AccountCommand, Action, Intake, Reference, StatusChange};

/// The same for the same request, whether it came as JSON by REST, as JSON or as protobuf; another for another body.
/// When it occurred and how it was traced are no part of it: a retry may say otherwise. Nor is the id, since only
/// requests of one id are ever compared; without it the usual payment is one block of the hash.
///
/// 64 bits: a caller that sends another body under a used id goes unnoticed once in 2^64.
pub fn fingerprint(intake: &Intake) -> u64 {
    let mut text = Canonical::default();
    match intake {
        Intake::Payment(payment) => {
            text.tag(b'p');
            text.field(payment.from.as_str());
            text.field(payment.to.as_str());
            text.number(payment.amount.minor);
            text.field(payment.amount.currency.as_str());
            text.field(payment.reference.as_ref().map_or("", Reference::as_str));
            for (key, value) in payment.attributes.iter() {
                text.field(key);
                text.field(value);
            }
            if let Some(refund) = &payment.refund {
                text.tag(b'r');
                text.field(refund.of.as_str());
                text.number(refund.amount_minor);
            }
        }
        Intake::Account(command) => {
            command_text(command, &mut text);
        }
    }
    u64::from_le_bytes(text.hash())
}

fn command_text(command: &AccountCommand, text: &mut Canonical) {
    let (tag, number, currency) = match &command.action {
        Action::Open { currency, funding_minor } => (b'o', *funding_minor, currency),
        Action::Fund { amount_minor, currency } => (b'f', *amount_minor, currency),
        Action::Change(StatusChange::Freeze) => (b'z', 0, &None),
        Action::Change(StatusChange::Unfreeze) => (b'u', 0, &None),
        Action::Change(StatusChange::Close) => (b'c', 0, &None),
        Action::Limits(_) => (b'l', 0, &None),
        Action::Decide(_) => (b'd', 0, &None),
    };
    text.tag(tag);
    text.field(command.account.as_str());
    text.number(number);
    text.field(currency.as_ref().map_or("", |currency| currency.as_str()));
    match &command.action {
        Action::Limits(limits) => {
            for limit in [
                limits.overdraft_minor,
                limits.daily_outflow_minor,
                limits.daily_count.map(i64::from),
                limits.lowest_balance_minor,
            ] {
                // No limit is below 0.
                text.number(limit.unwrap_or(-1));
            }
        }
        Action::Decide(decide) => {
            text.field(decide.payment.as_str());
            text.field(decide.verdict.as_str());
            text.field(decide.by.as_str());
            text.field(decide.why.as_str());
        }
        Action::Open { .. } | Action::Fund { .. } | Action::Change(_) => {}
    }
}

/// Stands for an id where millions are kept. 96 bits: among 10^9 ids the chance of one collision is below 10^-11.
pub fn id_hash(id: &str) -> [u8; 12] {
    truncate(&blake3::hash(id.as_bytes()))
}

fn truncate<const N: usize>(hash: &blake3::Hash) -> [u8; N] {
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes, more than is asked for")
}

/// Fields with their lengths before them, so that no two requests have one text. Most fit on the stack.
#[derive(Default)]
struct Canonical {
    bytes: Stack,
    rest: Option<blake3::Hasher>,
}

/// More than the usual payment needs, even with a few attributes.
const STACK_BYTES: usize = 256;

struct Stack {
    bytes: [u8; STACK_BYTES],
    len: usize,
}

impl Default for Stack {
    fn default() -> Self {
        Self { bytes: [0; STACK_BYTES], len: 0 }
    }
}

impl Canonical {
    fn tag(&mut self, tag: u8) {
        self.push(&[tag]);
    }

    fn number(&mut self, number: i64) {
        self.push(&number.to_le_bytes());
    }

    fn field(&mut self, text: &str) {
        let len = u16::try_from(text.len()).expect("the domain bounds every text to 256 bytes");
        self.push(&len.to_le_bytes());
        self.push(text.as_bytes());
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.rest {
            hasher.update(bytes);
            return;
        }
        let end = self.bytes.len.saturating_add(bytes.len());
        if let Some(room) = self.bytes.bytes.get_mut(self.bytes.len..end) {
            room.copy_from_slice(bytes);
            self.bytes.len = end;
            return;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.bytes.filled());
        hasher.update(bytes);
        self.rest = Some(hasher);
    }

    fn hash<const N: usize>(&self) -> [u8; N] {
        truncate(
            &self.rest.as_ref().map_or_else(|| blake3::hash(self.bytes.filled()), blake3::Hasher::finalize),
        )
    }
}

impl Stack {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).expect("len grows only to what was filled")
    }
}
