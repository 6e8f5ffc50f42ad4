//! The business of each stage over the engine. No I/O of its own: it reads and appends by the engine's seams.

pub mod account;
pub mod change;
pub mod checkpoint;
pub mod confirmed;
pub mod counters;
pub mod figures;
pub mod inflight;
pub mod windows;
