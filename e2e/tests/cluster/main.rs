//! The pipeline on a real cluster, made by the operator that helm has installed. Run by `cargo xtask test --tier
//! cluster` inside the cluster's network; without a cluster or a broker every test fails.
//!
//! Three at a time, each in a namespace of its own, and at the end one after the other those that measure or that do something
//! to every pipeline. `RUST_TEST_THREADS` has room for all of them, and [`world::turn`] lets them in.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod accounts;
mod admission;
mod audit;
mod bad_input;
mod benchmark;
mod deletion;
mod drain;
mod generator;
mod ground;
mod live;
mod money;
mod node;
mod operations;
mod outcomes;
mod owned;
mod plugin;
mod pods;
mod rights;
mod saga;
mod scaling;
mod start;
mod topics;
mod upgrade;
mod wipe;
mod world;
