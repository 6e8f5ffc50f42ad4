//! The operator: the only writer to the API server, and the one that makes topics and proves a drain. Reconcile
//! is observe (I/O) → validate (pure) → decide (pure) → build (pure) → apply (I/O) → status (one write); the
//! pure parts are in `kpay-control`.

pub mod apply;
pub mod bootstrap;
pub mod broker;
pub mod check;
pub mod context;
pub mod controller;
pub mod deletion;
pub mod departures;
pub mod error;
pub mod events;
pub mod evidence;
pub mod finalizer;
pub mod jobs;
pub mod load;
pub mod metrics;
pub mod observe;
pub mod operations;
pub mod pods;
pub mod reconcile;
pub mod record;
pub mod render;
pub mod rest;
pub mod restart;
pub mod run;
pub mod serve;
pub mod settings;
pub mod topics;
pub mod upgrade;
pub mod wipe;
