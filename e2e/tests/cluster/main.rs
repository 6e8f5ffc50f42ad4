//! The pipeline on a real cluster, made by the operator that helm has installed. Run by `cargo xtask test --tier
//! cluster` inside the cluster's network; without a cluster or a broker every test fails.
//!
//! One after the other, each in a namespace of its own.

#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod bad_input;
mod drain;
mod generator;
mod live;
mod money;
mod node;
mod operations;
mod outcomes;
mod owned;
mod plugin;
mod pods;
mod saga;
mod scaling;
mod upgrade;
mod world;
