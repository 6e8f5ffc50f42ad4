//! Puts records into a batch. Pure.

use super::coding::{length, put_bytes, put_number, zigzag};
use super::{HEAD_BYTES, Parts};

/// Collects the records of one batch. Its buffer is used again after [`BatchBuilder::clear`].
#[derive(Debug, Default)]
pub(in crate::embedded) struct BatchBuilder {
    bytes: Vec<u8>,
    span: u32,
    first_ms: i64,
    newest_ms: i64,
    headers: Vec<u8>,
}

impl BatchBuilder {
    pub(in crate::embedded) fn is_empty(&self) -> bool {
        self.span == 0
    }

    /// Number of records.
    pub(in crate::embedded) fn span(&self) -> u32 {
        self.span
    }

    /// The newest time of a record.
    pub(in crate::embedded) fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Appends a record at the next offset.
    pub(in crate::embedded) fn push(
        &mut self,
        timestamp_ms: i64,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[(String, Vec<u8>)],
    ) {
        self.put(self.span, timestamp_ms, key, value, |bytes| {
            for (name, value) in headers {
                put_bytes(bytes, name.as_bytes());
                put_bytes(bytes, value);
            }
        });
    }

    /// Appends a record of another batch at its place there, which is not before that of the last one.
    pub(in crate::embedded) fn keep(&mut self, delta: u32, parts: &Parts<'_>) {
        let raw = parts.headers.0;
        self.put(delta, parts.timestamp_ms, parts.key, parts.value, |bytes| bytes.extend_from_slice(raw));
    }

    fn put(
        &mut self,
        delta: u32,
        timestamp_ms: i64,
        key: &[u8],
        value: Option<&[u8]>,
        headers: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.bytes.is_empty() {
            self.bytes.resize(HEAD_BYTES, 0);
            (self.first_ms, self.newest_ms) = (timestamp_ms, timestamp_ms);
        }
        self.span = delta.saturating_add(1);
        self.newest_ms = self.newest_ms.max(timestamp_ms);
        put_number(&mut self.bytes, u64::from(delta));
        put_number(&mut self.bytes, zigzag(timestamp_ms.wrapping_sub(self.first_ms)));
        put_bytes(&mut self.bytes, key);
        put_number(&mut self.bytes, value.map_or(0, |v| length(v).saturating_add(1)));
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.headers.clear();
        headers(&mut self.headers);
        put_bytes(&mut self.bytes, &self.headers);
    }

    /// The batch as it is written. It takes as many offsets as its records, or `span` when that is more.
    pub(in crate::embedded) fn seal(&mut self, written_ms: i64, span: u32) -> &[u8] {
        let head = self.span.max(span).to_le_bytes().into_iter();
        let head = head.chain(written_ms.to_le_bytes()).chain(self.first_ms.to_le_bytes());
        for (to, from) in self.bytes.iter_mut().zip(head) {
            *to = from;
        }
        &self.bytes
    }

    /// Forgets the records and keeps the buffer.
    pub(in crate::embedded) fn clear(&mut self) {
        self.bytes.clear();
        self.span = 0;
    }
}
