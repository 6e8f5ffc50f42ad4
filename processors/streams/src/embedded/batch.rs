//! How the records of a batch lie in a value of the store. Pure.
//!
//! A head of fixed length, then the records one after the other; lengths are LEB128. Each record names its place within
//! the batch, so that compaction can leave some out and the others keep their offsets. There is no checksum of ours: the
//! database has one over each entry of its journal and over each block of its tables.

mod builder;
mod coding;

pub(super) use builder::BatchBuilder;
use coding::{Rest, unzigzag};

use crate::record::{Headers, Record};

/// Span (u32), time of writing (i64) and time of the first record (i64), little-endian.
const HEAD_BYTES: usize = 4 + 8 + 8;

/// The bytes are not those of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What precedes the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// How many offsets the batch takes.
    pub(super) span: u32,
    /// Not before any record of this batch and of the batches before it, in milliseconds since 1970.
    pub(super) written_ms: i64,
    /// What the records' times are relative to.
    first_ms: i64,
}

impl Head {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut rest = Rest(bytes);
        let mut parse = || {
            Some(Self {
                span: u32::from_le_bytes(rest.array()?),
                written_ms: i64::from_le_bytes(rest.array()?),
                first_ms: i64::from_le_bytes(rest.array()?),
            })
        };
        parse().ok_or(Malformed)
    }
}

/// A record within its batch.
pub(super) struct Parts<'a> {
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) key: &'a [u8],
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: RawHeaders<'a>,
}

impl Parts<'_> {
    /// As a stage sees it.
    pub(super) fn record(&self, partition: i32) -> Record<'_> {
        let Parts { offset, timestamp_ms, key, value, ref headers } = *self;
        let value = value.unwrap_or_default();
        Record { partition, offset, timestamp_ms, key, value, headers }
    }
}

/// Goes through the records of a batch in order.
#[derive(Debug)]
pub(super) struct Cursor<B> {
    bytes: B,
    at: usize,
    base: i64,
    head: Head,
}

impl<B: AsRef<[u8]>> Cursor<B> {
    /// Before the first record of the batch that begins at offset `base`.
    pub(super) fn new(base: i64, bytes: B) -> Result<Self, Malformed> {
        let head = Head::parse(bytes.as_ref())?;
        Ok(Self { bytes, at: HEAD_BYTES, base, head })
    }

    /// What precedes the records.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// The first offset of the batch.
    pub(super) fn base(&self) -> i64 {
        self.base
    }

    /// The offset after the batch.
    pub(super) fn end(&self) -> i64 {
        self.base.saturating_add(i64::from(self.head.span))
    }

    /// Goes back before the first record.
    pub(super) fn rewind(&mut self) {
        self.at = HEAD_BYTES;
    }

    /// The next record; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Parts<'_>>, Malformed> {
        let bytes = self.bytes.as_ref();
        let mut rest = Rest(bytes.get(self.at..).unwrap_or_default());
        if rest.0.is_empty() {
            return Ok(None);
        }
        let mut parse = || {
            let delta = u32::try_from(rest.number()?).ok().filter(|delta| *delta < self.head.span)?;
            let since_ms = unzigzag(rest.number()?);
            let key = rest.bytes()?;
            let value = match rest.number()?.checked_sub(1) {
                Some(length) => Some(rest.take(usize::try_from(length).ok()?)?),
                None => None,
            };
            let headers = RawHeaders(rest.bytes()?);
            let offset = self.base.saturating_add(i64::from(delta));
            let timestamp_ms = self.head.first_ms.wrapping_add(since_ms);
            Some(Parts { offset, timestamp_ms, key, value, headers })
        };
        let parts = parse().ok_or(Malformed)?;
        self.at = bytes.len().saturating_sub(rest.0.len());
        Ok(Some(parts))
    }
}

/// The headers of a record as they lie in the batch.
pub(super) struct RawHeaders<'a>(&'a [u8]);

impl<'a> RawHeaders<'a> {
    fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut rest = Rest(self.0);
        std::iter::from_fn(move || {
            let name = std::str::from_utf8(rest.bytes()?).ok()?;
            Some((name, rest.bytes()?))
        })
    }
}

impl Headers for RawHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(n, _)| *n == name).last().map(|(_, value)| value)
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self.iter() {
            visit(name, value);
        }
    }
}

#[cfg(test)]
mod tests;
