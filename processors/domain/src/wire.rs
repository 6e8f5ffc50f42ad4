//! The protobuf of `proto/`, in and out. Each message of a topic has `encode`, which appends to a buffer that the
//! caller reuses, and `decode`.
//!
//! The generated types stay in here. They are views: strings are borrowed from the record when reading and from the
//! domain when writing, so that the only copies are those into the ids (inline up to 24 bytes).

mod flow;
mod hold;
mod ledger;
mod payment;

use buffa::{DecodeError, MessageView, ViewEncode};

use crate::malformed::Malformed;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/kpay.rs"));
}
use generated::kpay::v1 as proto;

fn view<'a, V: MessageView<'a>>(bytes: &'a [u8]) -> Result<V, Malformed> {
    V::decode_view(bytes).map_err(|error| unreadable(&error))
}

fn unreadable(error: &DecodeError) -> Malformed {
    Malformed::new("protobuf_invalid", "body", error.to_string())
}

/// Appends. The domain's bounds keep every message far below the 2 GiB that are the one limit of the encoder.
fn append<'a>(view: &impl ViewEncode<'a>, buffer: &mut Vec<u8>) {
    view.encode(buffer);
}

/// A time of the wire, where 0 says that there is none.
const fn time(ms: i64) -> Option<i64> {
    if ms == 0 { None } else { Some(ms) }
}
