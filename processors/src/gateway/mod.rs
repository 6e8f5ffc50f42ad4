//! The public REST API: takes payments and account commands in, and answers what became of them. Only I/O; what a
//! request means and whether it may be is the domain's to say.
//!
//! | module | what it is |
//! |---|---|
//! | `router` | the routes, their description, what every request goes through |
//! | `payments`, `accounts`, `lists`, `holds`, `figures`, `pipeline`, `dead_letters`, `generator` | the handlers |
//! | `follow_ups` | what is done with a payment later: release, refuse, refund |
//! | `fields`, `params` | what a JSON body and a query may hold |
//! | `answer` | JSON as it is sent |
//! | `problem`, `codes` | errors, and which of them each operation answers |
//! | `events` | the pipeline's figures, second by second |
//! | `page` | the page for browsers |
//! | `accept` | what taking in a payment and a command have in common |
//! | `recent` | what was accepted lately |
//! | `append` | payment.incoming |
//! | `peers`, `owners` | the pods that own the keys, and which they are |
//! | `wish` | who keeps what is wanted of the pipeline |
//! | `server` | connections, time-outs, the stop |

pub(crate) mod accept;
mod accounts;
mod answer;
pub(crate) mod append;
mod codes;
pub(crate) mod dead_letters;
pub mod dto;
mod events;
mod extract;
mod fields;
mod figures;
mod follow_ups;
mod generator;
mod holds;
mod lists;
pub mod metrics;
mod owners;
mod page;
mod params;
mod payments;
pub(crate) mod peers;
mod pipeline;
pub mod problem;
mod recent;
mod router;
mod server;
pub(crate) mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use kpay_domain::Intake;
use kpay_kafka::config::Connection;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::info;

use self::append::{Appender, KafkaAppender};
use self::dead_letters::log::LetterLog;
use self::dead_letters::{DeadLetters, KafkaLetters};
use self::events::Events;
use self::metrics::Metrics;
use self::owners::Directory;
use self::peers::{HttpPeers, Peers};
use self::recent::Recent;
use self::wish::Wishes;
use crate::args::GatewayArgs;
use crate::names::{Names, TopicName};
use crate::pod::phase::{Learned, Pausing};

pub use self::router::openapi_json;

/// How the gateway is, for the pod's control port.
#[derive(Debug, Default)]
pub struct GatewayStatus {
    /// The broker answered the last time.
    pub kafka_connected: AtomicBool,
    /// The partitions of every stage's input are known.
    pub topics_known: AtomicBool,
    /// What it counts.
    pub metrics: Metrics,
}

impl GatewayStatus {
    /// Payments can be taken in. A broker that goes away later makes the gateway answer 503, not unready: without any
    /// endpoint its callers would be told less.
    pub fn ready(&self) -> bool {
        self.topics_known.load(Ordering::Acquire)
    }
}

/// What the handlers share.
struct App {
    appender: Arc<dyn Appender>,
    peers: Arc<dyn Peers>,
    wishes: Arc<dyn Wishes>,
    recent: Mutex<Recent>,
    dead_letters: DeadLetters,
    phase: watch::Receiver<Option<Learned>>,
    pause: Pausing,
    status: Arc<GatewayStatus>,
    /// `None`: not wanted.
    generator: Option<generator::Generator>,
    events: Events,
}

/// Serves until `shutdown`, then finishes the requests that were begun. The caller may look at `status` meanwhile.
pub async fn run(
    args: GatewayArgs,
    phase: watch::Receiver<Option<Learned>>,
    pause: Pausing,
    status: Arc<GatewayStatus>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.gateway_listen)
        .await
        .with_context(|| format!("KPAY_GATEWAY_LISTEN: cannot listen on {}", args.gateway_listen))?;
    let connection = Connection {
        bootstrap_servers: args.pod.bootstrap_servers.clone(),
        client_id: args.pod.pod_name.clone(),
    };
    let names = args.pod.names();
    let topic = names.topic(TopicName::Incoming);
    let directory = Directory::start(&connection, names.clone(), Arc::clone(&status))?;
    let letters = KafkaLetters::new(connection.clone(), names.clone(), directory.clone());
    let appender = Arc::new(KafkaAppender::open(connection, topic, directory.clone())?);
    let backends = Backends {
        accepted: Vec::new(),
        appender: Arc::clone(&appender) as Arc<dyn Appender>,
        peers: Arc::new(HttpPeers::new(directory)?),
        wishes: wish::wishes(&args.pod),
        letters: Box::new(letters),
        names,
        generator: args.generator,
        pause,
    };
    info!(address = %args.gateway_listen, "serving");
    serve(listener, backends, phase, status, shutdown).await;
    tokio::task::spawn_blocking(move || appender.stop()).await?;
    Ok(())
}

/// What the gateway stands on: the log, and those that own the keys.
pub(crate) struct Backends {
    pub(crate) appender: Arc<dyn Appender>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) wishes: Arc<dyn Wishes>,
    pub(crate) letters: Box<dyn LetterLog>,
    pub(crate) names: Names,
    /// What was acknowledged before this gateway began, and is not known to the stages yet.
    pub(crate) accepted: Vec<Intake>,
    /// Whether `/v1/generator` may send.
    pub(crate) generator: bool,
    /// Who wants the pipeline not to run.
    pub(crate) pause: Pausing,
}

/// Serves on `listener` until `shutdown`, then finishes the requests that were begun.
pub(crate) async fn serve(
    listener: TcpListener,
    backends: Backends,
    phase: watch::Receiver<Option<Learned>>,
    status: Arc<GatewayStatus>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let Backends { appender, peers, wishes, letters, names, accepted, generator, pause } = backends;
    let mut recent = Recent::default();
    for intake in &accepted {
        recent.acknowledge(intake, Instant::now());
    }
    let dead_letters = DeadLetters::new(letters, names);
    let generator = generator.then(generator::Generator::default);
    let (recent, events) = (Mutex::new(recent), Events::default());
    let app = App { appender, peers, wishes, recent, dead_letters, phase, pause, status, generator, events };
    let app = Arc::new(app);
    let stopping = Arc::clone(&app);
    let shutdown = async move {
        shutdown.await;
        stopping.events.stop();
    };
    server::serve(listener, router::router(app), shutdown).await;
}

#[cfg(test)]
mod tests;
