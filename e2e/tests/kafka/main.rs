//! The pipeline as real processes over a real broker, without a cluster. Run by `cargo xtask test --tier kafka`; without
//! a broker's jars or the `kpay` binary every test fails and says what is missing.
//!
//! One after the other: each wants the whole machine. They share a broker for as long as one of them waits.

mod admin;
mod bad_input;
mod copies;
mod crashes;
mod dead_letters;
mod generator;
mod leaving;
mod mixed;
mod start;
mod transactions;
mod world;
