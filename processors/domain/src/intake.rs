//! Reads what enters: the records of payment.incoming and the bodies of the REST gateway. Pure.
//!
//! Where the line is between a dead letter and a rejection:
//!
//! | the sender's bytes | what becomes of them | codes |
//! |---|---|---|
//! | cannot be read as a payment or a command | [`Malformed`]: a dead letter, 400 at the gateway | below |
//! | can be read, but break a rule of the business | accepted, then an outcome `rejected` | [`crate::Reason`] |
//!
//! So an amount of 0 or −5 is read and rejected with `amount_not_positive` (its sender finds the outcome by the id);
//! an amount of `1.5`, `"5"` or 2^63 has no meaning in minor units, there is nothing to have an outcome of.
//!
//! | code | when |
//! |---|---|
//! | `record_too_large` | more than [`RECORD_BYTES_MAX`] |
//! | `record_empty` | no bytes |
//! | `content_type_unknown`, `kind_unknown` | a header that we do not know, or JSON of which the kind cannot be told |
//! | `protobuf_invalid`, `json_invalid` | not the format at all |
//! | `field_missing`, `field_type` | a required field is absent, empty or null; text where a number belongs and so on |
//! | `id_invalid`, `currency_invalid` | see [`crate::ids`], [`crate::Currency`]; in JSON also an empty id of a payment or a command |
//! | `amount_not_integer`, `amount_out_of_range` | a fraction, an exponent or a text; beyond 64 bits |
//! | `text_too_long`, `attributes_too_many`, `attribute_key_invalid` | see [`crate::Reference`], [`crate::Attributes`] |
//!
//! In JSON an unknown field is passed over, as it is in protobuf, so that senders may be ahead of us.

mod json;

use crate::{
    fingerprint::id_hash,
    hold::HoldVerdict,
    ids::PaymentId,
    malformed::Malformed,
    payment::{Intake, StatusChange},
};

pub use json::{
    change_from_json, decide_from_json, fund_from_json, limits_from_json, open_from_json, payment_from_json,
    refund_from_json,
};

/// The largest record or body, in bytes.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// What a JSON record is. Protobuf says it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `payment`
    Payment,
    /// `account.open`
    AccountOpen,
    /// `account.fund`
    AccountFund,
    /// `account.freeze`, `account.unfreeze` or `account.close`
    AccountChange(StatusChange),
    /// `account.limits`
    AccountLimits,
    /// `payment.release`, `payment.refuse` or `payment.expire`
    Decide(HoldVerdict),
}

impl Kind {
    /// The header's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::AccountOpen => "account.open",
            Self::AccountFund => "account.fund",
            Self::AccountChange(change) => change.as_str(),
            Self::AccountLimits => "account.limits",
            Self::Decide(verdict) => verdict.kind(),
        }
    }

    /// Reads the header's value.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let detail = "is payment, payment.release, payment.refuse, payment.expire, account.open, account.fund, \
            account.limits, account.freeze, account.unfreeze or account.close";
        [Self::Payment, Self::AccountOpen, Self::AccountFund, Self::AccountLimits]
            .into_iter()
            .chain(StatusChange::ALL.map(Self::AccountChange))
            .chain(HoldVerdict::ALL.map(Self::Decide))
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Malformed::new("kind_unknown", "kpay-kind", detail))
    }
}

/// Reads a record of payment.incoming: protobuf, unless `content_type` (the header `content-type`) is
/// `application/json`. `kind` is the header `kpay-kind`; without it JSON is taken for what its fields say.
pub fn parse(value: &[u8], content_type: Option<&str>, kind: Option<&str>) -> Result<Intake, Malformed> {
    check_size(value)?;
    match content_type.map_or(Format::Protobuf, Format::of) {
        Format::Protobuf => Intake::decode(value),
        Format::Json => {
            let kind = match kind {
                Some(text) => Kind::parse(text)?,
                None => json::infer(value)?,
            };
            match kind {
                Kind::Payment => payment_from_json(value, None),
                Kind::AccountOpen => open_from_json(value),
                Kind::AccountFund => fund_from_json(value, None, None),
                Kind::AccountChange(change) => change_from_json(value, change, None, None),
                Kind::AccountLimits => limits_from_json(value, None, None),
                Kind::Decide(verdict) => decide_from_json(value, verdict, None, None),
            }
        }
        Format::Unknown => {
            let detail = "is application/x-protobuf (or absent) or application/json";
            Err(Malformed::new("content_type_unknown", "content-type", detail))
        }
    }
}

fn check_size(value: &[u8]) -> Result<(), Malformed> {
    if value.is_empty() {
        return Err(Malformed::new("record_empty", "body", "has no bytes"));
    }
    if value.len() > RECORD_BYTES_MAX {
        return Err(Malformed::new("record_too_large", "body", "has more than 262144 bytes"));
    }
    Ok(())
}

/// The id of a command that has none of its own and can be meant only once: `open:<account>`, `release:<payment>` and
/// so on; a hash stands for what is too long for that. `verb` has at most 8 letters.
pub fn default_id(verb: &str, subject: &str) -> PaymentId {
    let mut text = String::with_capacity(64);
    text.push_str(verb);
    text.push(':');
    let prefix = text.len();
    text.push_str(subject);
    PaymentId::new(&text).unwrap_or_else(|_| {
        text.truncate(prefix);
        for byte in id_hash(subject) {
            for digit in [byte >> 4, byte & 0xf] {
                text.push(
                    char::from_digit(u32::from(digit), 16).expect("four bits are one hexadecimal digit"),
                );
            }
        }
        PaymentId::new(&text).expect("a verb, a colon and 24 letters and digits")
    })
}

enum Format {
    Protobuf,
    Json,
    Unknown,
}

impl Format {
    fn of(content_type: &str) -> Self {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| media.eq_ignore_ascii_case(name);
        if is("application/x-protobuf") || is("application/protobuf") {
            Self::Protobuf
        } else if is("application/json") {
            Self::Json
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests;
