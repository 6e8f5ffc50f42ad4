//! The process is killed at any moment, again and again: what lies in the directory agrees with itself, and holds
//! everything that was answered.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};

use kpay_streams::embedded::{EmbeddedLog, Limits, Store};
use kpay_streams::log::{Log, LogError};
use kpay_streams::sim::Rng;

use crate::directory::Directory;
use crate::{append, intake, offset, read_all, take_over, topics};

const VARIABLE: &str = "KPAY_EMBEDDED_CHILD";
pub(crate) const TOPICS: [(&str, i32); 2] = [("in", 2), ("ledger", 2)];
const ROUNDS: usize = 25;

/// What the child has said to be committed, and to be durable.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) committed: i64,
    pub(crate) durable: BTreeMap<i64, Vec<u8>>,
}

/// Commits one transfer: the debit to one partition, the credit to the other, and the offset.
pub(crate) fn transfer(log: &mut EmbeddedLog, number: i64) -> Result<(), LogError> {
    // Longer than the buffer of the journal, so that a transaction takes several writes.
    let value = vec![number.to_le_bytes()[0]; 40_000];
    log.begin()?;
    for (partition, sign) in [(0, 1), (1, -1)] {
        append(log, 1, partition, &(sign * number).to_le_bytes(), Some(&value));
    }
    log.commit(&[offset(0, number + 1, &number.to_string())])
}

/// Commits transfers and takes some in until it is killed.
#[test]
fn child() {
    let Ok(directory) = env::var(VARIABLE) else { return };
    let topics = topics(&TOPICS);
    let store = Store::open(Path::new(&directory), &topics, Limits::default()).unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    let next = take_over(&mut log)[0].0;
    let topic = store.topic("in").unwrap();
    let mut out = stdout().lock();
    for number in next.. {
        transfer(&mut log, number).unwrap();
        writeln!(out, "committed {}", number + 1).unwrap();
        if number % 4 == 0 {
            let key = number.to_le_bytes();
            writeln!(out, "durable {} {number}", intake(&store, topic, &key, b"v")).unwrap();
        }
    }
}

fn run(directory: &Path, lines_max: usize) -> Said {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture"])
        .env(VARIABLE, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = Said::default();
    let mut lines = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["committed", next] => said.committed = next.parse().unwrap(),
            ["durable", offset, number] => {
                let number: i64 = number.parse().unwrap();
                said.durable.insert(offset.parse().unwrap(), number.to_le_bytes().to_vec());
            }
            _ => continue,
        }
        lines += 1;
        if lines == lines_max {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    said
}

pub(crate) fn check(directory: &Path, said: &Said) {
    let topics = topics(&TOPICS);
    let store = Store::open(directory, &topics, Limits::default()).unwrap();
    let mut log = EmbeddedLog::open(&store, "g", &topics).unwrap();
    let (next, metadata) = take_over(&mut log)[0].clone();
    assert!(next >= said.committed, "committed {}, there {next}", said.committed);
    assert_eq!(metadata, (next - 1).to_string());
    for (partition, sign) in [(0, 1), (1, -1)] {
        let found = read_all(&mut log, 1, partition);
        let keys: Vec<_> = found.iter().map(|r| r.key.clone()).collect();
        let expected: Vec<_> = (0..next).map(|number| (sign * number).to_le_bytes().to_vec()).collect();
        assert!(keys == expected, "partition {partition}: {} records, offset {next}", keys.len());
        assert!(found.iter().zip(0..next).all(|(r, n)| r.value == vec![n.to_le_bytes()[0]; 40_000]));
    }
    let there: Vec<_> = (0..2).flat_map(|p| read_all(&mut log, 0, p)).map(|r| (r.offset, r.key)).collect();
    for (offset, key) in &said.durable {
        assert!(there.contains(&(*offset, key.clone())), "{offset} was answered and is not there");
    }
}

#[test]
fn a_kill_leaves_whole_transactions_and_everything_that_was_answered() {
    let directory = Directory::new();
    let mut rng = Rng::new(7);
    let mut durable = BTreeMap::new();
    for _ in 0..ROUNDS {
        let mut said = run(directory.path(), 1 + rng.below(60));
        assert!(said.committed > 0);
        // What was answered before an earlier kill has to be there as well; the same offset may be in both partitions.
        durable.append(&mut said.durable);
        said.durable.clone_from(&durable);
        check(directory.path(), &said);
    }
    assert!(!durable.is_empty());
}
