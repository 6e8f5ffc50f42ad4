//! Load for a pipeline, by the command line, by REST and as a processor of the resource.
//!
//! | module | what it is |
//! |---|---|
//! | `settings` | what a person asks for, in one grammar for all three (its words: `kpay_control::generator`); pure |
//! | `part` | what a resource asks of one pod; pure |
//! | `run` | the name of a run |
//! | `workload`, `random` | what is paid; pure and seeded |
//! | `stats` | what became of it |
//! | `drive` | sends what is due to a [`Sink`]: the gateway over HTTP, or a log that answers each record |
//! | `topic` | writes it to the topic in Kafka, without an answer to wait for |
//! | `pod` | the processor of the resource: follows its part, and opens its accounts first |
//!
//! A generator that runs within the pipeline (in the gateway, as a processor of the resource) sends nothing while the
//! intake is closed: it has nobody who waits, and would only fill payment.incoming behind a paused pipeline. `kpay
//! generate` against a gateway stands for callers from outside, which go on, and whose payments are buffered.

pub mod drive;
mod part;
pub mod pod;
mod random;
mod run;
mod settings;
pub mod stats;
pub mod topic;
mod workload;

pub use self::drive::Sink;
pub use self::part::Part;
pub use self::random::spread;
pub use self::run::new_run;
pub use self::settings::{Plan, Settings, SettingsError};
pub use self::workload::{Invalid, Item, Skew, Spec, Workload, account};
