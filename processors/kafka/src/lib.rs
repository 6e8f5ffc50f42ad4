//! librdkafka for kpay: client settings that are right for exactly-once, and the few calls that the
//! safe binding lacks. Only I/O; knows nothing of payments. [`ffi`] is the only `unsafe` of the workspace.

pub mod admin;
pub mod config;
pub mod error;
#[allow(unsafe_code)]
pub mod ffi;
pub mod group;
pub mod partition;
pub mod quiet;

pub use error::KafkaError;
