//! A record batch as the log stores it (format 2): what a producer appends to one partition at once. Pure.
//!
//! Format: Kafka's documentation, "Record Batch". All integers are big-endian; those of a record are zigzag varints.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

/// Bytes before the checksummed part: base offset, length, leader epoch, magic, the checksum itself.
const BEFORE_CHECKSUMMED: usize = 21;
const HEADER: usize = 61;
const MAGIC: i8 = 2;
const LZ4: i16 = 3;
const TRANSACTIONAL: i16 = 0x10;
/// A batch below this size is not worth compressing: the broker would have to take it apart again.
const COMPRESS_FROM: usize = 2_048;

/// Who appends, and the number of the batch's first record in this partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequence {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) first: i32,
}

/// A name and a value.
pub(crate) type Header = (String, Vec<u8>);

/// Records that are collected for one partition. The buffer is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
    count: i32,
    records: Vec<u8>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn count(&self) -> i32 {
        self.count
    }

    /// Size before compression, in bytes.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.records.len()
    }

    /// Adds a record; an empty key is none, `None` as value is a tombstone.
    pub(crate) fn push(&mut self, at_ms: i64, key: &[u8], value: Option<&[u8]>, headers: &[Header]) {
        if self.count == 0 {
            self.base_timestamp_ms = at_ms;
            self.max_timestamp_ms = at_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(at_ms);
        let at_delta = at_ms - self.base_timestamp_ms;
        let offset_delta = i64::from(self.count);
        let key = (!key.is_empty()).then_some(key);
        let header_count = signed(headers.len());
        let mut length =
            1 + varint_size(at_delta) + varint_size(offset_delta) + field_size(key) + field_size(value);
        length += varint_size(header_count);
        for (name, value) in headers {
            length += field_size(Some(name.as_bytes())) + field_size(Some(value));
        }
        let to = &mut self.records;
        to.reserve(length + 5);
        put_varint(to, signed(length));
        to.push(0);
        put_varint(to, at_delta);
        put_varint(to, offset_delta);
        put_field(to, key);
        put_field(to, value);
        put_varint(to, header_count);
        for (name, value) in headers {
            put_field(to, Some(name.as_bytes()));
            put_field(to, Some(value));
        }
        self.count += 1;
    }

    /// The batch as it goes to the broker; what was collected is forgotten.
    pub(crate) fn seal(&mut self, sequence: Sequence) -> Bytes {
        let compressed = (self.records.len() >= COMPRESS_FROM).then(|| lz4(&self.records)).flatten();
        let (codec, records) = match &compressed {
            Some(smaller) => (LZ4, smaller.as_slice()),
            None => (0, self.records.as_slice()),
        };
        let mut batch = BytesMut::with_capacity(HEADER + records.len());
        batch.put_i64(0);
        batch.put_i32(i32::try_from(HEADER - 12 + records.len()).unwrap_or(i32::MAX));
        batch.put_i32(-1);
        batch.put_i8(MAGIC);
        batch.put_u32(0);
        batch.put_i16(codec | TRANSACTIONAL);
        batch.put_i32(self.count - 1);
        batch.put_i64(self.base_timestamp_ms);
        batch.put_i64(self.max_timestamp_ms);
        batch.put_i64(sequence.producer_id);
        batch.put_i16(sequence.producer_epoch);
        batch.put_i32(sequence.first);
        batch.put_i32(self.count);
        batch.put_slice(records);
        if let Some((before, checksummed)) = batch.split_at_mut_checked(BEFORE_CHECKSUMMED) {
            let checksum = crc32c::crc32c(checksummed).to_be_bytes();
            if let Some(place) = before.last_chunk_mut::<4>() {
                *place = checksum;
            }
        }
        self.clear();
        batch.freeze()
    }

    /// Forgets the records.
    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.records.clear();
    }
}

/// An LZ4 frame of independent blocks, which is what Kafka reads; `None` when it saves nothing.
fn lz4(records: &[u8]) -> Option<Vec<u8>> {
    let frame = Vec::with_capacity(records.len() / 2);
    // A reader takes the memory of a block before it looks into it.
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, frame);
    encoder.write_all(records).ok()?;
    let frame = encoder.finish().ok()?;
    (frame.len() < records.len()).then_some(frame)
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn varint_size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    usize::try_from(bits.div_ceil(7)).unwrap_or(10)
}

fn put_varint(to: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        to.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
        rest >>= 7;
    }
    to.push(u8::try_from(rest).unwrap_or(0));
}

/// A length and the bytes; −1 for none.
fn put_field(to: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => {
            put_varint(to, signed(bytes.len()));
            to.extend_from_slice(bytes);
        }
        None => put_varint(to, -1),
    }
}

fn field_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_size(signed(bytes.len())) + bytes.len())
}

#[cfg(test)]
mod tests;
