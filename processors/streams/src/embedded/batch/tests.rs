use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, proptest};

use super::{BatchBuilder, Cursor, Malformed};
use crate::record::Headers;

type OwnedHeaders = Vec<(String, Vec<u8>)>;
type Owned = (i64, Vec<u8>, Option<Vec<u8>>, OwnedHeaders);

fn records() -> impl Strategy<Value = Vec<Owned>> {
    let bytes = || vec(any::<u8>(), 0..300);
    let headers = vec(("[a-zé]{0,5}", bytes()), 0..3);
    vec((any::<i64>(), bytes(), option::of(bytes()), headers), 1..20)
}

fn build(records: &[Owned]) -> BatchBuilder {
    let mut builder = BatchBuilder::default();
    for (at_ms, key, value, headers) in records {
        builder.push(*at_ms, key, value.as_deref(), headers);
    }
    builder
}

fn read(base: i64, bytes: &[u8]) -> Result<Vec<(i64, Owned)>, Malformed> {
    let mut cursor = Cursor::new(base, bytes)?;
    let mut found = Vec::new();
    while let Some(parts) = cursor.next()? {
        let mut headers = OwnedHeaders::new();
        parts.headers.each(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
        for (name, _) in &headers {
            assert_eq!(parts.headers.get(name), headers.get(name), "the last of a name counts");
        }
        let value = parts.value.map(<[u8]>::to_vec);
        found.push((parts.offset, (parts.timestamp_ms, parts.key.to_vec(), value, headers)));
    }
    Ok(found)
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_put(records in records(), base in 0..i64::from(u32::MAX)) {
        let mut builder = build(&records);
        let bytes = builder.seal(7, 0).to_vec();
        let expected: Vec<_> = (base..).zip(records.iter().cloned()).collect();
        assert_eq!(read(base, &bytes), Ok(expected));
        let cursor = Cursor::new(base, &bytes).unwrap();
        assert_eq!(cursor.head().written_ms, 7);
        assert_eq!(cursor.end(), base + i64::try_from(records.len()).unwrap());
        assert_eq!(builder.newest_ms(), records.iter().map(|r| r.0).max().unwrap());
    }

    #[test]
    fn a_batch_that_is_cut_short_gives_an_error_or_fewer_records(records in records(), cut in any::<usize>()) {
        let mut builder = build(&records);
        let bytes = builder.seal(7, 0);
        let cut = cut % bytes.len();
        let found = read(0, &bytes[..cut]);
        assert!(found.is_err() || found.unwrap().len() < records.len());
    }

    #[test]
    fn no_bytes_make_the_parser_fail_otherwise(bytes in vec(any::<u8>(), 0..200)) {
        drop(read(0, &bytes));
    }
}

#[test]
fn records_that_are_kept_keep_their_offsets_and_the_batch_its_span() {
    let headers = vec![("h".to_owned(), b"v".to_vec())];
    let records: Vec<Owned> =
        (0..5).map(|n| (i64::from(n), vec![n], Some(vec![n]), headers.clone())).collect();
    let mut all = build(&records);
    let mut some = BatchBuilder::default();
    let mut cursor = Cursor::new(10, all.seal(9, 0).to_vec()).unwrap();
    while let Some(parts) = cursor.next().unwrap() {
        if [1, 3].contains(&parts.key[0]) {
            some.keep(u32::try_from(parts.offset - 10).unwrap(), &parts);
        }
    }
    let bytes = some.seal(9, cursor.head().span).to_vec();
    assert_eq!(read(10, &bytes), Ok(vec![(11, records[1].clone()), (13, records[3].clone())]));
    assert_eq!(Cursor::new(10, &bytes).unwrap().end(), 15);
}
