use kafka_protocol::records::{Compression, Record, RecordBatchDecoder};
use proptest::prelude::*;

use super::{Batch, COMPRESS_FROM, Header, Sequence, put_varint, varint_size};

const SEQUENCE: Sequence = Sequence { producer_id: 7, producer_epoch: 3, first: 41 };

/// Undoes the compression, as a reader without codecs of its own needs it.
fn decompress(bytes: &mut bytes::Bytes, codec: Compression) -> anyhow::Result<bytes::Bytes> {
    use std::io::Read;
    let mut plain = Vec::new();
    match codec {
        Compression::None => plain.extend_from_slice(bytes),
        Compression::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(bytes.as_ref()).read_to_end(&mut plain)?;
        }
        other => anyhow::bail!("{other:?}"),
    }
    Ok(plain.into())
}

/// Reads a batch with a decoder that is not ours, checksum included.
fn decode(mut bytes: bytes::Bytes) -> Vec<Record> {
    let set = RecordBatchDecoder::decode_with_custom_compression(&mut bytes, Some(decompress)).unwrap();
    assert!(bytes.is_empty(), "one batch and no more");
    set.records
}

fn header() -> impl Strategy<Value = Header> {
    ("[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..20))
}

type Sent = (i64, Vec<u8>, Option<Vec<u8>>, Vec<Header>);

fn sent() -> impl Strategy<Value = Sent> {
    (
        1_700_000_000_000_i64..1_700_000_100_000,
        prop::collection::vec(any::<u8>(), 0..40),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
        prop::collection::btree_map("[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..20), 0..4)
            .prop_map(|headers| headers.into_iter().collect()),
    )
}

proptest! {
    #[test]
    fn another_decoder_reads_what_was_pushed(sent in prop::collection::vec(sent(), 1..60)) {
        let mut batch = Batch::default();
        for (at_ms, key, value, headers) in &sent {
            batch.push(*at_ms, key, value.as_deref(), headers);
        }
        let records = decode(batch.seal(SEQUENCE));
        prop_assert!(batch.is_empty());
        prop_assert_eq!(records.len(), sent.len());
        for (number, (record, (at_ms, key, value, headers))) in records.iter().zip(&sent).enumerate() {
            prop_assert_eq!(record.timestamp, *at_ms);
            prop_assert_eq!(record.offset, i64::try_from(number).unwrap());
            prop_assert_eq!(record.sequence, 41 + i32::try_from(number).unwrap());
            prop_assert_eq!((record.producer_id, record.producer_epoch), (7, 3));
            prop_assert!(record.transactional && !record.control);
            prop_assert_eq!(record.key.as_deref().unwrap_or_default(), key.as_slice());
            prop_assert_eq!(record.value.as_deref(), value.as_deref());
            prop_assert_eq!(record.headers.len(), headers.len());
            for (name, value) in headers {
                let found = record.headers.get(name.as_bytes()).and_then(Option::as_deref);
                prop_assert_eq!(found, Some(value.as_slice()));
            }
        }
    }

    #[test]
    fn a_varint_is_as_long_as_was_said(value in any::<i64>()) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        prop_assert_eq!(bytes.len(), varint_size(value));
    }

    #[test]
    fn a_header_is_found_again(header in header()) {
        let mut batch = Batch::default();
        batch.push(0, b"", None, std::slice::from_ref(&header));
        let records = decode(batch.seal(SEQUENCE));
        let found = records[0].headers.get(header.0.as_bytes()).and_then(Option::as_deref);
        prop_assert_eq!(found, Some(header.1.as_slice()));
    }
}

#[test]
fn only_a_batch_that_is_worth_it_is_compressed() {
    let mut batch = Batch::default();
    batch.push(1, b"k", Some(b"small"), &[]);
    let small = batch.seal(SEQUENCE);
    batch.push(1, b"k", Some(&vec![b'x'; 10 * COMPRESS_FROM]), &[]);
    let large = batch.seal(SEQUENCE);
    assert_eq!(small[22] & 7, 0);
    assert_eq!(large[22] & 7, 3);
    assert!(large.len() < COMPRESS_FROM, "{}", large.len());
    assert_eq!(decode(large)[0].value.as_ref().map(bytes::Bytes::len), Some(10 * COMPRESS_FROM));
}
