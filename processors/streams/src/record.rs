//! A record as a stage sees it. Pure.

/// The offset of a record that is handled in the transaction that made it.
pub const NOT_WRITTEN: i64 = -1;

/// One record of a log, borrowed from the client's buffer.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Partition that it was read from.
    pub partition: i32,
    /// Its offset there, or [`NOT_WRITTEN`].
    pub offset: i64,
    /// When it was written, in milliseconds since 1970 (the producer's clock).
    pub timestamp_ms: i64,
    /// Key, empty when there is none.
    pub key: &'a [u8],
    /// Value, empty when there is none.
    pub value: &'a [u8],
    /// Headers; looked at only when asked for.
    pub headers: &'a dyn Headers,
}

/// The headers of a record.
pub trait Headers {
    /// The value of the last header of this name.
    fn get(&self, name: &str) -> Option<&[u8]>;
    /// Every header in order.
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8]));
}

/// No headers.
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _: &str) -> Option<&[u8]> {
        None
    }
    fn each(&self, _: &mut dyn FnMut(&str, &[u8])) {}
}

impl Headers for Vec<(String, Vec<u8>)> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in self {
            visit(name, value);
        }
    }
}
