use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use super::super::directory::Directory;
use super::super::{EmbeddedLog, Limits, NewRecord, Store};
use crate::log::{Log, Offset};
use crate::out::{Outgoing, Topic, TopicIndex};

/// By when whatever goes on has gone on.
const LONG: Duration = Duration::from_secs(30);
/// Enough for a sync, if nothing kept it.
const SHORT: Duration = Duration::from_millis(100);

#[test]
fn a_commit_goes_on_while_a_sync_lasts_and_an_answer_waits_for_its_end() {
    let directory = Directory::new();
    let topics = [Topic { name: "in".to_owned(), partitions: 1 }];
    let store = Store::open(directory.path(), &topics, Limits::default()).unwrap();
    let topic = store.topic("in").unwrap();

    // As a sync does that takes long.
    let syncing = store.state().journal.lock();
    let (tell, told) = channel();
    let done = Box::new(move |result: Result<i64, _>| tell.send(result.unwrap()).unwrap());
    store.append(topic, NewRecord { key: b"k", value: None, headers: &[] }, done).unwrap();
    let (commit, committed) = channel();
    let worker = thread::spawn({
        let store = store.clone();
        move || {
            let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
            log.begin().unwrap();
            let record =
                Outgoing { topic: TopicIndex(0), partition: 0, key: b"c", value: None, headers: &[] };
            log.append(&record).unwrap();
            log.commit(&[Offset { partition: 0, next: 1, metadata: String::new() }]).unwrap();
            commit.send(()).unwrap();
        }
    });
    committed.recv_timeout(LONG).expect("no commit waits for a sync");
    assert_eq!(told.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout), "not on the disk yet");
    assert!(store.ends(topic, 0).unwrap().1 > 0, "what was committed is read before");

    let (tell_reader, reader_told) = channel();
    let done = Box::new(move |result: Result<(), _>| tell_reader.send(result.is_ok()).unwrap());
    store.when_synced(done).unwrap();
    assert_eq!(reader_told.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout), "nor for a reader");

    drop(syncing);
    assert!(reader_told.recv_timeout(LONG).unwrap());
    told.recv_timeout(LONG).unwrap();
    worker.join().unwrap();
}
