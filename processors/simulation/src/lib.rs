//! The deterministic simulation of the whole pipeline: the real stages, the real worker loop, the real phase machine and
//! drain proof, over the simulated log, with clients that collide on purpose. A test tool: no product links it.
//!
//! One seed is one history. It draws everything, in one thread and in virtual time, so a seed that fails fails again.
//! After each step the [`check::Books`] say whether all that must hold does; [`plant::Plant`] are mistakes that prove
//! that they would tell.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test tool: a panic is a finding, told with its seed"
)]

pub mod check;
pub mod client;
pub mod control;
pub mod plant;
pub mod request;
pub mod run;
pub mod slot;
pub mod topology;
pub mod trace;
pub mod world;
