//! Load for a pipeline, by the command line, by REST and as a processor of the resource.
//!
//! | module | what it is |
//! |---|---|
//! | `settings` | what a person asks for, in one grammar for all three; pure |
//! | `shape` | when payments are due; pure |
//! | `workload`, `random` | what is paid; pure and seeded |
//! | `stats` | what became of it |
//! | `drive` | sends what is due to a [`Sink`]: the gateway over HTTP, or a log that answers each record |
//! | `topic` | writes it to the topic in Kafka, without an answer to wait for |
//!
//! A generator that runs within the pipeline (in the gateway, as a processor of the resource) sends nothing while the
//! intake is closed: it has nobody who waits, and would only fill payment.incoming behind a paused pipeline. `kpay
//! generate` against a gateway stands for callers from outside, which go on, and whose payments are buffered.

pub mod drive;
mod random;
mod settings;
mod shape;
pub mod stats;
pub mod topic;
mod workload;

pub use self::drive::Sink;
pub use self::random::spread;
pub use self::settings::{Plan, Settings, SettingsError};
pub use self::shape::{RATE_MAX, Shape, Step};
pub use self::workload::{ACCOUNTS_MAX, Amounts, Invalid, Item, Skew, Spec, Workload, account};
