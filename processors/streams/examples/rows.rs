//! What [`Rows`] cost against a hash table of the entries themselves, for a million entries of 24 bytes: nanoseconds of
//! each step, and the ratio.
//!
//! `cargo run --release -p kpay-streams --example rows`

use std::hint::black_box;
use std::time::Instant;

use hashbrown::HashTable;
use kpay_streams::rows::Rows;

const ENTRIES: u64 = 1_000_000;
/// As many tables as a worker has partitions.
const TABLES: usize = 8;

type Entry = [u64; 3];

/// Numbers that look like hashes: `splitmix64`.
fn hash(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The best of some rounds, in nanoseconds an entry.
fn best(mut round: impl FnMut() -> f64) -> f64 {
    (0..5).map(|_| round()).fold(f64::INFINITY, f64::min)
}

#[allow(clippy::cast_precision_loss, reason = "a million is far below 2^53")]
fn each(of: impl Iterator<Item = u64>, mut step: impl FnMut(u64)) -> f64 {
    let began = Instant::now();
    of.for_each(|number| step(hash(number)));
    began.elapsed().as_secs_f64() * 1e9 / ENTRIES as f64
}

fn table(hash: u64) -> usize {
    // The lowest bits place an entry within its table.
    usize::try_from(hash >> 32).unwrap_or(0) % TABLES
}

fn main() {
    let mut rows: Vec<Rows<Entry>> = Vec::new();
    let mut tables: Vec<HashTable<Entry>> = Vec::new();
    let insert = [
        best(|| {
            rows = (0..TABLES).map(|_| Rows::default()).collect();
            each(0..ENTRIES, |hash| {
                if let Some(rows) = rows.get_mut(table(hash)) {
                    rows.insert_unique(hash, [hash, 0, 0], |entry| entry[0]);
                }
            })
        }),
        best(|| {
            tables = (0..TABLES).map(|_| HashTable::new()).collect();
            each(0..ENTRIES, |hash| {
                if let Some(entries) = tables.get_mut(table(hash)) {
                    entries.insert_unique(hash, [hash, 0, 0], |entry| entry[0]);
                }
            })
        }),
    ];
    let find = |from: u64| {
        let range = || from..from + ENTRIES;
        [
            best(|| {
                each(range(), |hash| {
                    black_box(rows.get(table(hash)).and_then(|r| r.find(hash, |e| e[0] == hash)));
                })
            }),
            best(|| {
                each(range(), |hash| {
                    black_box(tables.get(table(hash)).and_then(|t| t.find(hash, |e| e[0] == hash)));
                })
            }),
        ]
    };
    let (known, unknown) = (find(0), find(ENTRIES));
    println!("{:<24} {:>6} {:>10} {:>6}", "ns an entry", "rows", "hash table", "ratio");
    for (name, [rows, table]) in
        [("insert", insert), ("find what is there", known), ("find what is not", unknown)]
    {
        println!("{name:<24} {rows:>6.0} {table:>10.0} {:>6.2}", rows / table);
    }
}
