//! A small exactly-once stream engine over a log trait. Knows nothing of payments.
//!
//! A [`worker::Worker`] owns one [`log::Log`] (a consumer and a transactional producer) and one
//! [`stage::Stage`] (what is done with a record, and its state). The loop is: poll → process each record into an
//! overlay and [`out::Out`] → outputs, changelog and offsets in one transaction → commit → fold the overlay.
//! An abort throws the overlay away and rewinds; a fenced producer ends the worker.
//!
//! Logs: [`kafka`] (many processes), [`embedded`] (one process, durable) and [`sim`] (in memory, seeded, injects
//! faults).

pub mod clock;
pub mod control;
pub mod dead_letter;
pub mod embedded;
pub mod kafka;
pub mod log;
pub mod map;
pub mod out;
pub mod record;
pub mod rows;
pub mod sim;
pub mod stage;
pub mod table;
pub mod worker;
