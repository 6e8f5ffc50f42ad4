use std::io::{Read, Seek};

use super::super::directory::Directory;
use super::super::{Limits, NewRecord, Store};
use crate::out::Topic;

/// More than what a journal takes before the next one begins.
const RECORDS_MAX: u64 = 400;
static VALUE: [u8; 1 << 20] = [1; 1 << 20];

#[test]
fn what_was_answered_lies_in_the_file_that_was_synced_also_in_the_next_journal() {
    let directory = Directory::new();
    let topics = [Topic { name: "in".to_owned(), partitions: 1 }];
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let topic = store.topic("in").unwrap();
    let answered = |key: &str, value: &[u8]| {
        let record = NewRecord { key: key.as_bytes(), value: Some(value), headers: &[] };
        store.append_and_wait(topic, record).unwrap();
        let (number, mut file) = {
            let journal = store.state().journal.lock();
            let (number, file) = journal.newest.as_ref().unwrap();
            (*number, file.try_clone().unwrap())
        };
        let mut bytes = Vec::new();
        // A clone has the same position, and may have been read before.
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert!(bytes.windows(key.len()).any(|part| part == key.as_bytes()), "{key} is not in {number}.jnl");
        number
    };
    let first = answered("the first", b"");
    for number in 0..RECORDS_MAX {
        let record = NewRecord { key: &number.to_le_bytes(), value: Some(&VALUE), headers: &[] };
        store.append_and_wait(topic, record).unwrap();
        if super::newest_in(directory.path()).unwrap() != first {
            break;
        }
    }
    assert!(super::newest_in(directory.path()).unwrap() > first, "the next journal has begun");
    assert!(answered("the last", b"") > first);
}
