//! The kpay processors: stages wired to Kafka, the pod's control endpoint, and the gateway.
//!
//! | module | what it is |
//! |---|---|
//! | [`stage`] | the business of each stage over the engine of `kpay-streams` |
//! | [`pod`] | what every pod has: worker threads, the phase watch, port 9090 |
//! | [`gateway`] | the public REST API |
//! | [`cli`] | the commands that ask a gateway |
//! | [`generator`] | load for a pipeline |
//! | [`local`] | all of it in one process, on the embedded log |
//! | [`names`] | topics and groups of a pipeline |
//! | [`ids`] | the window of known ids |
//! | [`rebuild`] | the accounts of a pipeline, for other partitions |
//! | [`lookup`] | reads one record of a topic by its offset |
//! | [`scan`] | reads stretches of a topic by their offsets |

pub mod args;
pub mod cli;
pub mod gateway;
pub mod generator;
pub mod ids;
pub mod live;
pub mod local;
pub mod lookup;
pub mod names;
pub mod pod;
pub mod rebuild;
pub mod scan;
pub mod stage;
