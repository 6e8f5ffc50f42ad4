//! A message of librdkafka as a record. Borrows all of it.

use rdkafka::message::{BorrowedMessage, Headers as _, Message};

use crate::record::{Headers, Record};

/// The headers of a message, read only when a stage asks.
struct MessageHeaders<'a>(&'a BorrowedMessage<'a>);

impl Headers for MessageHeaders<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let headers = self.0.headers()?;
        let mut found = None;
        for header in headers.iter().filter(|h| h.key == name) {
            found = header.value;
        }
        found
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for header in self.0.headers().iter().flat_map(|h| h.iter()) {
            visit(header.key, header.value.unwrap_or_default());
        }
    }
}

/// Shows a message to `each` as a record.
pub fn show(message: &BorrowedMessage<'_>, each: &mut dyn FnMut(&Record<'_>)) {
    each(&Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().unwrap_or_default(),
        value: message.payload().unwrap_or_default(),
        headers: &MessageHeaders(message),
    });
}
