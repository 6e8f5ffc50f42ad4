//! The independent auditor: reads a pipeline's topics from their beginning to their end, `read_committed`, and says
//! what is wrong with the money. It shares no code with the stages: it walks protobuf by field numbers and has its own
//! arithmetic. [`books`] is only I/O, [`check`] is pure; what is wrong is a value, not an error.

pub mod books;
pub mod check;
pub mod fields;
pub mod record;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use kpay::names::Names;
use kpay_kafka::config::Connection;

pub use check::{Expected, Report, Violation};

/// Reads the topics under `names` and checks them. The pipeline should be at rest, or payments on their way are found
/// to be without an outcome.
pub fn audit(connection: &Connection, names: &Names, expected: &Expected) -> anyhow::Result<Report> {
    Ok(check::check(&books::read(connection, names)?, expected))
}

impl Expected {
    /// So much by currency, in minor units, and each of these ids with an outcome.
    pub fn new(funded: &[(&str, i128)], ids: impl IntoIterator<Item = String>) -> Self {
        let funded: BTreeMap<String, i128> = funded.iter().map(|(c, m)| ((*c).to_owned(), *m)).collect();
        let ids: BTreeSet<String> = ids.into_iter().collect();
        Self { funded, ids, grown_from: None }
    }
}
