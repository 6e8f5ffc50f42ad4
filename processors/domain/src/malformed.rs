//! The one error of the crate.

use std::borrow::Cow;

/// Bytes that cannot be read as what they should be: a dead letter, or a 400 at the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {field}: {detail}")]
pub struct Malformed {
    /// Stable, `snake_case`; fit for a metric label.
    pub code: &'static str,
    /// The field by its JSON path, such as `amount.value`; `body` for the record as a whole, or the header's name.
    pub field: &'static str,
    /// For people; names the bound, never the content.
    pub detail: Cow<'static, str>,
}

impl Malformed {
    /// A code, the field by its JSON path, and what would be right.
    pub fn new(code: &'static str, field: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, field, detail: detail.into() }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::new("field_missing", field, "is required")
    }

    /// The metric label.
    pub const fn category(&self) -> &'static str {
        self.code
    }
}
