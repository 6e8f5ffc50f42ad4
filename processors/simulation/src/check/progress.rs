//! accepted − finished is what is in flight, at every moment, by count and by value.

use std::collections::BTreeMap;
use std::fmt::Write;

use kpay::names::StageName;

use super::{Books, Checked, Moved, index, wrong};
use crate::request::Body;

/// What one partition has accepted or finished.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    count: u64,
    value: BTreeMap<&'static str, i128>,
}

impl Tally {
    /// A request with no value counts all the same.
    pub(super) fn add(&mut self, body: &Body, passed: bool) {
        self.count += 1;
        if let Body::Payment { amount, currency, .. } = body
            && passed
        {
            *self.value.entry(currency).or_default() += i128::from(*amount);
        }
    }

    /// One more without value: the end of a payment that was held.
    pub(super) const fn add_one(&mut self) {
        self.count += 1;
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("v1;{}", self.count);
        for (currency, value) in &self.value {
            write!(text, ";{currency}={value}").unwrap();
        }
        text
    }
}

impl Books {
    /// What the commit carries is what was counted up to its offset.
    pub(super) fn progress(&self, stage: StageName, moved: &Moved<'_>) -> Checked {
        let (expected, told) = match stage {
            StageName::Inflight => (self.accepted[index(moved.partition)].text(), moved.metadata),
            StageName::Account => (String::new(), moved.metadata),
            StageName::Confirmed => {
                let total = moved.metadata.split('|').next().unwrap_or_default();
                (self.finished[index(moved.partition)].text(), total)
            }
        };
        if told == expected {
            return Ok(());
        }
        let partition = moved.partition;
        wrong("progress", format!("{} {partition} tells {told}, should be {expected}", stage.as_str()))
    }

    /// What the metadata of a partition has to say now; `None` before its first commit.
    pub(super) fn told(&self, stage: StageName, partition: i32) -> Option<String> {
        self.consumed.get(&(stage, partition))?;
        match stage {
            StageName::Inflight => Some(self.accepted[index(partition)].text()),
            StageName::Account => Some(String::new()),
            StageName::Confirmed => Some(self.finished[index(partition)].text()),
        }
    }
}
