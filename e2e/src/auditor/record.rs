//! What the records of the topics say, by the auditor's own reading. Pure.

use serde_json::Value;

use super::fields::{Fields, NotProtobuf};

/// What changed an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The account was made.
    Opened,
    /// Money from outside.
    Funded,
    /// A payment left.
    Debit,
    /// A payment came.
    Credit,
    /// A payment came back.
    Reverse,
    /// The account was frozen, unfrozen or closed, or got limits.
    Status,
}

/// A record of account.ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub partition: i32,
    /// Whose.
    pub account: String,
    /// What.
    pub kind: Kind,
    /// Of the payment or the command.
    pub id: String,
    /// The other account of a payment.
    pub counterparty: String,
    /// Signed, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// After the entry.
    pub balance_minor: i64,
    /// Counts the account's entries from 1.
    pub version: u64,
    /// When.
    pub at_ms: i64,
}

impl Entry {
    /// Reads a record's value.
    pub fn decode(partition: i32, value: &[u8]) -> Result<Self, NotProtobuf> {
        let fields = Fields::read(value)?;
        let kind = match fields.number(2) {
            1 => Kind::Opened,
            2 => Kind::Funded,
            3 => Kind::Debit,
            4 => Kind::Credit,
            5 => Kind::Reverse,
            6..=9 => Kind::Status,
            _ => return Err(NotProtobuf),
        };
        Ok(Self {
            partition,
            account: fields.text(1)?,
            kind,
            id: fields.text(3)?,
            counterparty: fields.text(4)?,
            amount_minor: fields.zigzag(5),
            currency: fields.text(6)?,
            balance_minor: fields.signed(7),
            version: fields.number(8),
            at_ms: fields.signed(10),
        })
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The money moved.
    Confirmed,
    /// Nothing moved.
    Rejected,
    /// The money came back.
    Reversed,
    /// Nothing moved yet; another outcome follows when it is decided.
    Held,
}

/// A payment of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The payer.
    pub from: String,
    /// The payee.
    pub to: String,
    /// In minor units.
    pub amount_minor: i64,
}

/// A record of payment.complete or payment.confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Of the payment or the command.
    pub id: String,
    /// How it ended.
    pub ending: Ending,
    /// Empty when confirmed or held.
    pub reason: String,
    /// `None` for a command.
    pub payment: Option<Paid>,
    /// Whether it is a command that decides a held payment, which is no entry of its own.
    pub decides: bool,
}

impl Outcome {
    /// Reads the value of a record of payment.complete.
    pub fn decode(value: &[u8]) -> Result<Self, NotProtobuf> {
        let fields = Fields::read(value)?;
        let (id, payment, decides) = match (fields.message(1)?, fields.message(2)?) {
            (Some(payment), None) => {
                let paid =
                    Paid { from: payment.text(2)?, to: payment.text(3)?, amount_minor: payment.signed(4) };
                (payment.text(1)?, Some(paid), false)
            }
            (None, Some(command)) => (command.text(1)?, None, command.message(8)?.is_some()),
            _ => return Err(NotProtobuf),
        };
        let ending = match fields.number(3) {
            1 => Ending::Confirmed,
            2 => Ending::Rejected,
            3 => Ending::Reversed,
            4 => Ending::Held,
            _ => return Err(NotProtobuf),
        };
        Ok(Self { id, ending, reason: fields.text(4)?, payment, decides })
    }

    /// Reads the value of a record of payment.confirmed.
    pub fn from_json(value: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(value).ok()?;
        let text = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
        let ending = match text("status")?.as_str() {
            "confirmed" => Ending::Confirmed,
            "rejected" => Ending::Rejected,
            "reversed" => Ending::Reversed,
            "held" => Ending::Held,
            _ => return None,
        };
        let amount_minor = json.pointer("/amount/value").and_then(Value::as_i64);
        let payment = match (text("from"), text("to"), amount_minor) {
            (Some(from), Some(to), Some(amount_minor)) => Some(Paid { from, to, amount_minor }),
            _ => None,
        };
        let kind = text("kind").unwrap_or_default();
        let decides = ["payment_release", "payment_refuse", "payment_expire"].contains(&kind.as_str());
        Some(Self { id: text("id")?, ending, reason: text("reason").unwrap_or_default(), payment, decides })
    }
}

/// The id of a record of payment.incoming, `None` when it cannot be told.
pub fn intake_id(value: &[u8], content_type: Option<&[u8]>) -> Option<String> {
    let id = if content_type.is_some_and(|c| c.starts_with(b"application/json")) {
        let json: Value = serde_json::from_slice(value).ok()?;
        let id = json.get("commandId").or_else(|| json.get("id")).and_then(Value::as_str)?;
        let is_payment = json.get("from").is_some();
        // An opening without a command id has one made of the account's.
        if is_payment || json.get("commandId").is_some() || json.get("funding").is_none() {
            id.to_owned()
        } else {
            format!("open:{id}")
        }
    } else {
        let fields = Fields::read(value).ok()?;
        let body = fields.message(1).ok()?.or(fields.message(2).ok()?)?;
        body.text(1).ok()?
    };
    (!id.is_empty()).then_some(id)
}
