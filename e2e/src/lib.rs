//! What the tests and benchmarks share: a real broker on loopback, processes of a pipeline, loads, and the auditor
//! that reads the topics by itself.

pub mod auditor;
pub mod broker;
pub mod figures;
pub mod flow;
pub mod latency;
pub mod load;
pub mod local;
pub mod process;
pub mod rest;
pub mod turns;
