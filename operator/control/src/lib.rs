//! The pure half of the operator: from facts to decisions and objects. Knows Kubernetes types; has no client,
//! no Kafka, no clock. Times, answers of pods and offsets arrive as arguments.

pub mod autoscale;
pub mod bootstrap;
pub mod build;
pub mod classify;
pub mod differ;
pub mod drain;
pub mod duration;
pub mod generator;
pub mod names;
pub mod operation;
pub mod owner;
pub mod pause;
pub mod phase;
pub mod policy;
pub mod report;
pub mod restart;
pub mod start;
pub mod status;
pub mod topics;
pub mod upgrade;
pub mod validate;
pub mod wipe;
