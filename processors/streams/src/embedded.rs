//! The durable log of one process: topics, groups and transactions over an embedded database. Only I/O.
//!
//! A [`Store`] is one data directory. The intake appends to it ([`Store::append`]); each stage's one worker reads and
//! commits through an [`EmbeddedLog`]. An open transaction is a buffer in memory: a commit writes it in one atomic batch
//! together with the input offsets, an abort forgets it. So everything in the store is committed, offsets have no
//! holes of markers, and the outcome of a commit is always known. A second log of a group fences the first; the
//! generations are kept in memory, since only one process can hold the directory.
//!
//! # What is promised
//! - A transaction is there as a whole or not at all, and is read only after it was written.
//! - A record of the intake is answered after an `fdatasync` of the journal that holds it. Those who wait at the same
//!   time share one. Readers see it before, and a commit does not wait while a sync lasts: so a payment waits for the disk
//!   where something of it leaves the process, and nowhere between.
//! - [`Store::when_synced`] tells when everything is on the disk that can be read: who tells others what was read asks it
//!   first.
//! - A commit of a worker is answered once it is handed to the operating system, in the order of the commits. So after
//!   the end of the process (`kill -9`) everything committed is there.
//! - Each sync covers everything written before it, and one follows a commit within [`Limits::sync_interval_ms`]. After
//!   a loss of power the store is a prefix of the commits that holds every answered record of the intake: there is
//!   one journal, and one key space, whose memtable is flushed as a whole. What was not synced yet may be lost with all
//!   that follows it; it comes again, since the input offsets are lost with it.
//! - A journal that was cut short ends before its first incomplete batch. When the disk wrote its unsynced end out of
//!   order, so that there is a hole within a batch and the end of that batch is there, opening is refused with
//!   [`StoreError::Torn`]: nothing is read wrongly, but the database does not say where the good part ends.
//! - A write that fails (a full disk) fails the store: nothing more is written or answered until it is opened again,
//!   because nobody knows what the journal ends with. Readers see nothing of it.
//!
//! # Why fjall
//! It hands each batch to the system in one journal, with a checksum, and leaves the rest to a background thread. The
//! commits of redb that are not synced are lost with the process; and with a sync each, every stage of a payment
//! would wait for the disk. Batches of records, not records, are the values: a commit costs one for each partition that
//! it touches.

mod batch;
#[cfg(test)]
#[path = "../tests/embedded/directory.rs"]
mod directory;
mod error;
mod journal;
mod keys;
mod log;
mod open;
mod read;
mod retain;
mod state;
mod store;
mod sync;
mod tail;
mod write;

pub use error::StoreError;
pub use log::EmbeddedLog;
pub use store::{Limits, Store, StoredTopic};
pub use sync::{Done, NewRecord, Synced};
