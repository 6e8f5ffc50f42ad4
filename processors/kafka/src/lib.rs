//! Kafka for kpay: librdkafka's consumers and plain producers with settings that are right for exactly-once, the few
//! calls that its safe binding lacks, and the transactional producer that it has not. Only I/O; knows nothing of
//! payments. [`ffi`] is the only `unsafe` of the workspace.

pub mod admin;
mod batch;
mod cluster;
pub mod config;
pub mod error;
#[allow(unsafe_code)]
pub mod ffi;
pub mod group;
pub mod partition;
pub mod quiet;
pub mod transaction;
mod wire;

pub use error::KafkaError;
