//! What a stage has accepted or finished since its topics were made. Kept in the metadata of the committed offset, so
//! that it moves in the same transaction as the payments.
//!
//! Both sides count by one function, [`Progress::record`] ([`Progress::finish`] says of what), so that accepted − finished is 0 when
//! nothing is in flight, by count and by currency. An account command counts with no value; so does a payment that
//! the inflight stage rejects for what it says, which keeps the text below Kafka's 4,096 bytes of metadata: at most 155
//! listed currencies of 24 bytes each.

use std::{collections::BTreeMap, fmt::Write};

use crate::{
    inflight,
    money::{Currency, Money},
    outcome::{Outcome, Status},
    payment::{AccountCommand, Action, Intake},
};

/// A count and the value of it by currency, in minor units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Payments and account commands.
    pub count: u64,
    /// Of the payments. Signed, so that differences have a place.
    pub value: BTreeMap<Currency, i128>,
}

/// A text that is no progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProgressError {
    /// It does not begin with `v1`.
    #[error("not of version 1")]
    Version,
    /// The count is missing or no number.
    #[error("the count is not a number")]
    Count,
    /// A currency with its value is not `USD=123`, or comes twice.
    #[error("a value is not like USD=123")]
    Value,
    /// The start is no offset.
    #[error("the start is not an offset")]
    Start,
}

const VERSION: &str = "v1";

impl Progress {
    /// Counts one intake, with its value if it is a payment that the inflight stage lets pass.
    pub fn record(&mut self, intake: &Intake) {
        match intake {
            Intake::Payment(payment) if inflight::check(intake).is_ok() => self.add(&payment.amount),
            Intake::Payment(_) | Intake::Account(_) => self.count = self.count.saturating_add(1),
        }
    }

    /// Counts one outcome as [`Progress::record`] has counted what it ends, so that what is accepted and finished is the
    /// same. A hold is an end: a held payment is not in flight. What is decided then is a command that was accepted, by
    /// count and without value; it is finished with the payment's second outcome, or with its own if it was refused.
    pub fn finish(&mut self, outcome: &Outcome) {
        match &outcome.subject {
            Intake::Account(AccountCommand { action: Action::Decide(_), .. })
                if outcome.status == Status::Confirmed => {}
            Intake::Payment(_) if outcome.is_decided() => self.count = self.count.saturating_add(1),
            subject => self.record(subject),
        }
    }

    /// Counts one payment of this amount.
    pub fn add(&mut self, amount: &Money) {
        self.count = self.count.saturating_add(1);
        // 2^64 amounts of 2^63 at most fit in 2^127.
        let value = self.value.entry(amount.currency).or_default();
        *value = value.saturating_add(i128::from(amount.minor));
    }

    /// Adds another partition's progress to this.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        for (currency, minor) in &other.value {
            let value = self.value.entry(*currency).or_default();
            *value = value.saturating_add(*minor);
        }
    }

    /// The text form, such as `v1;123;EUR=7;USD=45600`.
    pub fn to_text(&self) -> String {
        let mut text = format!("{VERSION};{}", self.count);
        for (currency, minor) in &self.value {
            let written = write!(text, ";{currency}={minor}");
            debug_assert!(written.is_ok(), "writing to a String does not fail");
        }
        text
    }

    /// Reads the text form.
    pub fn from_text(text: &str) -> Result<Self, ProgressError> {
        let mut parts = text.split(';');
        if parts.next() != Some(VERSION) {
            return Err(ProgressError::Version);
        }
        let count = parts.next().and_then(|count| count.parse().ok()).ok_or(ProgressError::Count)?;
        let mut value = BTreeMap::new();
        for part in parts {
            let (currency, minor) = part.split_once('=').ok_or(ProgressError::Value)?;
            let currency = Currency::new(currency).map_err(|_| ProgressError::Value)?;
            let minor = minor.parse().map_err(|_| ProgressError::Value)?;
            if value.insert(currency, minor).is_some() {
                return Err(ProgressError::Value);
            }
        }
        Ok(Self { count, value })
    }
}

/// What the intake of a partition keeps with its committed offset: what it has accepted, and where it began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Since the start.
    pub progress: Progress,
    /// The first offset that was ever read: what lies before was never accepted, so that its ids are free.
    pub start: i64,
}

impl Accepted {
    /// The text form: that of the progress, with `@57` behind it when the start is not the beginning.
    pub fn to_text(&self) -> String {
        let text = self.progress.to_text();
        if self.start == 0 { text } else { format!("{text}@{}", self.start) }
    }

    /// Reads the text form.
    pub fn from_text(text: &str) -> Result<Self, ProgressError> {
        let (progress, start) = match text.split_once('@') {
            None => (text, 0),
            Some((progress, start)) => {
                let start = start.parse().ok().filter(|start| *start > 0);
                (progress, start.ok_or(ProgressError::Start)?)
            }
        };
        Ok(Self { progress: Progress::from_text(progress)?, start })
    }
}

#[cfg(test)]
mod tests {
    use super::{Accepted, Progress, ProgressError};

    #[test]
    fn where_the_intake_began_goes_with_what_it_accepted() {
        let of = |start| Accepted { progress: Progress { count: 3, ..Progress::default() }, start };
        for (accepted, text) in
            [(of(0), "v1;3"), (of(57), "v1;3@57"), (of(i64::MAX), "v1;3@9223372036854775807")]
        {
            assert_eq!(accepted.to_text(), text);
            assert_eq!(Accepted::from_text(text), Ok(accepted));
            // A reader from before there was a start says so, and does not take it for the beginning.
            assert_eq!(Progress::from_text(text).is_ok(), !text.contains('@'), "{text}");
        }
        for text in ["v1;3@", "v1;3@0", "v1;3@-1", "v1;3@x", "v1;3@1@2"] {
            assert_eq!(Accepted::from_text(text), Err(ProgressError::Start), "{text}");
        }
        assert!(Accepted::from_text("@57").is_err());
    }
}
