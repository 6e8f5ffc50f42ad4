//! What a sender asks for: a payment or an account command, read and bounded, not yet judged.

use compact_str::CompactString;

use crate::{
    account::AccountLimits,
    hold::{DecideHold, HoldVerdict},
    ids::{AccountId, PaymentId},
    malformed::Malformed,
    money::{Currency, Money},
};

/// The longest reference, in bytes.
pub const REFERENCE_BYTES_MAX: usize = 256;
/// The most attributes of a payment.
pub const ATTRIBUTES_MAX: usize = 16;
/// The longest key of an attribute, in bytes.
pub const ATTRIBUTE_KEY_BYTES_MAX: usize = 64;
/// The longest value of an attribute, in bytes.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 256;

/// One record of payment.incoming. Both kinds share one space of ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// Moves money between two accounts.
    Payment(Payment),
    /// Opens, funds, freezes or closes one account.
    Account(AccountCommand),
}

impl Intake {
    /// The idempotency key, and the key of the record.
    pub const fn id(&self) -> &PaymentId {
        match self {
            Self::Payment(payment) => &payment.id,
            Self::Account(command) => &command.id,
        }
    }
}

/// A payment as its sender asked for it. The amount may be zero or below: that is for the inflight stage to reject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The caller's idempotency key.
    pub id: PaymentId,
    /// The payer.
    pub from: AccountId,
    /// The payee.
    pub to: AccountId,
    /// What is moved.
    pub amount: Money,
    /// Free text for people.
    pub reference: Option<Reference>,
    /// The caller's own keys and values.
    pub attributes: Attributes,
    /// When it happened at the sender, in milliseconds since 1970 UTC.
    pub occurred_at_ms: Option<i64>,
    /// Of which payment it gives something back.
    pub refund: Option<Box<Refund>>,
}

/// What a refund gives back: the payer is the payee of the earlier payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The earlier payment.
    pub of: PaymentId,
    /// What that one moved, in minor units, as the refund's sender found it: all its refunds together are at most this.
    pub amount_minor: i64,
}

/// A command to one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountCommand {
    /// Makes the command idempotent.
    pub id: PaymentId,
    /// The account.
    pub account: AccountId,
    /// What to do with it.
    pub action: Action,
    /// When it happened at the sender, in milliseconds since 1970 UTC.
    pub occurred_at_ms: Option<i64>,
}

/// What an account command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Opens the account.
    Open {
        /// `None`: the pipeline's default, put in by [`crate::inflight::decide`].
        currency: Option<Currency>,
        /// The balance to begin with, in minor units.
        funding_minor: i64,
    },
    /// Puts money from outside into the account.
    Fund {
        /// In minor units.
        amount_minor: i64,
        /// `None`: the account's own.
        currency: Option<Currency>,
    },
    /// Says whether the account takes part.
    Change(StatusChange),
    /// Gives the account limits of its own, in place of those that it had.
    Limits(Box<AccountLimits>),
    /// Decides a held payment of the account.
    Decide(Box<DecideHold>),
}

/// A change of whether an account takes part. It moves no money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    /// Neither pays nor is paid until it is unfrozen.
    Freeze,
    /// Takes part again.
    Unfreeze,
    /// Takes no part any more; only at a balance of zero.
    Close,
}

impl StatusChange {
    /// Every change.
    pub const ALL: [Self; 3] = [Self::Freeze, Self::Unfreeze, Self::Close];

    /// `account.freeze`, `account.unfreeze` or `account.close`: the header `kpay-kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Freeze => "account.freeze",
            Self::Unfreeze => "account.unfreeze",
            Self::Close => "account.close",
        }
    }
}

impl Action {
    /// What an outcome calls it: `account_opened`, `account_funded`, `account_frozen`, `account_unfrozen`,
    /// `account_closed`, `account_limited`, `payment_release`, `payment_refuse` or `payment_expire`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Open { .. } => "account_opened",
            Self::Fund { .. } => "account_funded",
            Self::Change(StatusChange::Freeze) => "account_frozen",
            Self::Change(StatusChange::Unfreeze) => "account_unfrozen",
            Self::Change(StatusChange::Close) => "account_closed",
            Self::Limits(_) => "account_limited",
            Self::Decide(decide) => match decide.verdict {
                HoldVerdict::Release => "payment_release",
                HoldVerdict::Refuse => "payment_refuse",
                HoldVerdict::Expire => "payment_expire",
            },
        }
    }

    /// What it puts into the account, in minor units, and the currency if it was said; `None` for what moves no money.
    pub const fn amount(&self) -> Option<(i64, Option<&Currency>)> {
        match self {
            Self::Open { currency, funding_minor } => Some((*funding_minor, currency.as_ref())),
            Self::Fund { amount_minor, currency } => Some((*amount_minor, currency.as_ref())),
            Self::Change(_) | Self::Limits(_) | Self::Decide(_) => None,
        }
    }
}

/// Free text of at most [`REFERENCE_BYTES_MAX`], never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(CompactString);

impl Reference {
    /// Checks the length and copies the text. Empty is `None`.
    pub fn new(text: &str) -> Result<Option<Self>, Malformed> {
        Self::of_field("reference", text)
    }

    /// The same for another field than a payment's reference.
    pub fn of_field(field: &'static str, text: &str) -> Result<Option<Self>, Malformed> {
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(Malformed::new("text_too_long", field, "must have at most 256 bytes"));
        }
        Ok((!text.is_empty()).then(|| Self(CompactString::new(text))))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// At most [`ATTRIBUTES_MAX`] keys with a value each, in the order of the keys; the last of two with one key counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(CompactString, CompactString)>);

impl Attributes {
    /// Checks the bounds and copies the texts. Nothing is allocated for none.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Malformed> {
        let mut kept: Vec<(CompactString, CompactString)> = Vec::new();
        for (key, value) in pairs {
            if key.is_empty() || key.len() > ATTRIBUTE_KEY_BYTES_MAX {
                return Err(Malformed::new("attribute_key_invalid", "attributes", "a key has 1 to 64 bytes"));
            }
            if value.len() > ATTRIBUTE_VALUE_BYTES_MAX {
                return Err(Malformed::new("text_too_long", "attributes", "a value has at most 256 bytes"));
            }
            match kept.binary_search_by(|(known, _)| known.as_str().cmp(key)) {
                Ok(at) => {
                    if let Some((_, known)) = kept.get_mut(at) {
                        *known = CompactString::new(value);
                    }
                }
                Err(_) if kept.len() == ATTRIBUTES_MAX => {
                    return Err(Malformed::new("attributes_too_many", "attributes", "at most 16"));
                }
                Err(at) => kept.insert(at, (CompactString::new(key), CompactString::new(value))),
            }
        }
        Ok(Self(kept))
    }

    /// How many.
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of the key.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_str())
    }

    /// The pairs in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}
