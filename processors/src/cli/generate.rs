//! `kpay generate`: load for a gateway or straight for the topic. Only I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use futures::FutureExt;
use futures::future::BoxFuture;
use kpay_domain::{AccountCommand, Action, Intake, Payment};
use kpay_kafka::admin::Admin;
use kpay_kafka::config::Connection;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Context;
use super::client::Gateway;
use super::exit::{CliError, Exit};
use super::print::{self, Printer, pairs};
use crate::args::{PhaseSource, PipelineRef};
use crate::generator::drive::{Drive, Open, while_intake_is_open};
use crate::generator::stats::{Counts, Latency, Sent, Stats};
use crate::generator::topic::Topic;
use crate::generator::{Item, Plan, Settings, Sink, Skew, new_run};
use crate::names::{Names, TopicName};
use crate::pod::phase;

const PROGRESS: Duration = Duration::from_secs(1);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Where it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// `POST /v1/payments` of the gateway.
    Rest,
    /// payment.incoming in Kafka.
    Kafka,
}

/// A load.
#[derive(Debug, Clone, Args)]
#[command(long_about = "Send payments at a rate, to a gateway or straight to the topic.

The same --seed and --run give the same payments. Progress is told each second on stderr, a summary at the end on stdout. \
Without --duration or --count it goes on until Ctrl-C. By REST what is due is sent on time whatever the answers are, up \
to --concurrency at a time.")]
pub struct GenerateArgs {
    /// Payments per second.
    #[arg(long, default_value_t = 100)]
    pub rate: u64,
    /// Rates one after the other instead: 500:10s,2000:30s. The last one stays.
    #[arg(long, conflicts_with_all = ["rate", "burst"])]
    pub steps: Option<String>,
    /// Bursts on top of the rate: their rate, length and beat, as 5000:2s/30s.
    #[arg(long)]
    pub burst: Option<String>,
    /// How many accounts take part, named acct-000000 and on.
    #[arg(long, default_value_t = 1_000)]
    pub accounts: u64,
    /// Which of them are taken.
    #[arg(long, value_enum, default_value = "uniform")]
    pub skew: Skew,
    /// Minor units: 100 always, 1..500 evenly, or ~2000 around a median.
    #[arg(long, default_value = "1..100")]
    pub amounts: String,
    /// Of ISO 4217.
    #[arg(long, default_value = "USD")]
    pub currency: String,
    /// The share of invalid payments, of six kinds.
    #[arg(long, default_value = "0%")]
    pub invalid: String,
    /// The share of repeated payments.
    #[arg(long, default_value = "0%")]
    pub duplicates: String,
    /// Open the accounts first.
    #[arg(long)]
    pub open_accounts: bool,
    /// What each account is opened with, in minor units.
    #[arg(long, default_value_t = 1_000_000_000, requires = "open_accounts")]
    pub funding: i64,
    /// End after this time.
    #[arg(long)]
    pub duration: Option<String>,
    /// End after so many payments.
    #[arg(long)]
    pub count: Option<u64>,
    /// The same seed and run give the same payments.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Before every payment id [default: a new one]
    #[arg(long)]
    pub run: Option<String>,
    /// Where it is sent.
    #[arg(long, value_enum, default_value = "rest")]
    pub to: To,
    /// So many requests at a time, by REST.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub concurrency: u32,
    /// Kafka, as host:port[,host:port].
    #[arg(long, env = "KPAY_BOOTSTRAP_SERVERS", required_if_eq("to", "kafka"))]
    pub bootstrap_servers: Option<String>,
    /// Before the name of the topic.
    #[arg(long, env = "KPAY_TOPIC_PREFIX", required_if_eq("to", "kafka"))]
    pub topic_prefix: Option<String>,
    /// How long a batch to Kafka waits for company, in milliseconds.
    #[arg(long, default_value_t = 5)]
    pub linger_ms: u32,
    /// To Kafka: `kubernetes` sends only while the pipeline's phase lets payments in.
    #[arg(long, env = "KPAY_PHASE_SOURCE", default_value = "static:Running")]
    pub phase_source: PhaseSource,
    /// The `PaymentPipeline` with that phase, as namespace/name.
    #[arg(long, env = "KPAY_PIPELINE", default_value = "default/payments")]
    pub pipeline: PipelineRef,
}

impl GenerateArgs {
    /// What is asked for, in the grammar that REST and the resource have too.
    pub fn settings(&self) -> Settings {
        Settings {
            rate: self.rate,
            steps: self.steps.clone(),
            burst: self.burst.clone(),
            accounts: self.accounts,
            skew: self.skew,
            amounts: self.amounts.clone(),
            currency: self.currency.clone(),
            invalid: self.invalid.clone(),
            duplicates: self.duplicates.clone(),
            funding: self.open_accounts.then_some(self.funding),
            count: self.count,
            duration: self.duration.clone(),
            seed: self.seed,
            run: self.run.clone(),
        }
    }
}

/// Sends until the plan ends or somebody interrupts.
pub(super) async fn run(context: &Context, args: &GenerateArgs) -> Result<Exit, CliError> {
    let plan = args.settings().plan(&new_run()).map_err(|error| CliError::Usage(format!("--{error}")))?;
    let (plan, stats) = (Arc::new(plan), Arc::<Stats>::default());
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        // An error means that there are no signals: then only the plan ends it.
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok();
        let terminated = async {
            match &mut terminate {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminated => {}
        }
        stop.send_replace(true);
        // Somebody who asks again does not want the summary.
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
    if args.open_accounts {
        eprintln!("{} accounts are opened first; the figures count them as well", args.accounts);
    }
    let began = Instant::now();
    let progress = tokio::spawn(tell_progress(Arc::clone(&stats), began));
    let sent = match args.to {
        To::Rest => {
            // Before the first payment: a wrong address is told at once.
            context.gateway.get("/v1/pipeline", &[]).await?;
            let sink = Arc::new(Rest(context.gateway.clone()));
            let open: Open = Arc::new(|| true);
            let (stats, concurrency) = (Arc::clone(&stats), args.concurrency);
            Drive { sink, stats, concurrency, open, stop: stopped }.run(&plan).await;
            Ok(())
        }
        To::Kafka => to_kafka(args, Arc::clone(&plan), Arc::clone(&stats), stopped).await,
    };
    progress.abort();
    sent?;
    summary(context.printer, &stats, began.elapsed())?;
    Ok(if stats.counts().failed > 0 { Exit::Again } else { Exit::Done })
}

async fn to_kafka(
    args: &GenerateArgs,
    plan: Arc<Plan>,
    stats: Arc<Stats>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), CliError> {
    let connection = Connection {
        bootstrap_servers: args.bootstrap_servers.clone().unwrap_or_default(),
        client_id: "kpay-generator".to_owned(),
    };
    let prefix = args.topic_prefix.clone().unwrap_or_default();
    let name = Names { prefix }.topic(TopicName::Incoming);
    let learned = phase::watch_phase(&args.phase_source, &args.pipeline)
        .map_err(|error| CliError::Usage(format!("{error:#}")))?;
    let open = while_intake_is_open(learned);
    let (stop, linger_ms) = (Arc::new(AtomicBool::new(false)), args.linger_ms);
    let writer = {
        let stop = Arc::clone(&stop);
        tokio::task::spawn_blocking(move || {
            let partitions = Admin::new(connection.clone(), ADMIN_TIMEOUT)?.partition_count(&name)?;
            let leave = || stop.load(Ordering::Relaxed);
            Topic::open(&connection, name, partitions, linger_ms, stats)?.run(&plan, &open, &leave)
        })
    };
    let mut writer = std::pin::pin!(writer);
    let ended = tokio::select! {
        ended = &mut writer => ended,
        _ = stopped.wait_for(|stop| *stop) => {
            stop.store(true, Ordering::Relaxed);
            writer.await
        }
    };
    ended.map_err(|error| CliError::Usage(error.to_string()))?.map_err(CliError::from)
}

async fn tell_progress(stats: Arc<Stats>, began: Instant) {
    let mut seconds = tokio::time::interval(PROGRESS);
    let (mut before, mut at) = (Counts::default(), began);
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let (now, counts) = (Instant::now(), stats.counts());
        let rate = per_second(total(counts) - total(before), now - at);
        let latency = stats.latency_since().map(|l| format!(", {}", in_words(l))).unwrap_or_default();
        let Counts { taken, refused, failed } = counts;
        let elapsed = began.elapsed().as_secs();
        eprintln!("{elapsed:>5} s  {rate}/s  {taken} taken, {refused} refused, {failed} failed{latency}");
        (before, at) = (counts, now);
    }
}

const fn total(counts: Counts) -> u64 {
    counts.taken + counts.refused + counts.failed
}

fn per_second(count: u64, elapsed: Duration) -> u128 {
    u128::from(count) * 1_000_000 / elapsed.as_micros().max(1)
}

fn in_words(latency: Latency) -> String {
    format!("p50 {:.1} ms, p99 {:.1} ms", latency.p50_ms, latency.p99_ms)
}

fn summary(printer: Printer, stats: &Stats, elapsed: Duration) -> Result<(), CliError> {
    let (counts, latency) = (stats.counts(), stats.latency());
    let rate = per_second(total(counts), elapsed);
    if printer.json() {
        let told = json!({
            "counts": counts, "seconds": elapsed.as_secs_f64(), "perSecond": u64::try_from(rate).unwrap_or(u64::MAX),
            "latency": latency,
        });
        return Ok(print::line(&told.to_string())?);
    }
    let text = pairs(&[
        ("taken", counts.taken.to_string()),
        ("refused", counts.refused.to_string()),
        ("failed", counts.failed.to_string()),
        ("seconds", format!("{:.1}", elapsed.as_secs_f64())),
        ("per second", rate.to_string()),
        ("answers", latency.map(in_words).unwrap_or_default()),
    ]);
    Ok(print::write(&text)?)
}

/// A gateway by HTTP.
struct Rest(Gateway);

impl Sink for Rest {
    fn send(&self, item: Item) -> BoxFuture<'_, Sent> {
        async move {
            let (path, body) = request(&item);
            match self.0.post(path, body, None).await {
                Ok(_) => Sent::Taken,
                Err(error) if error.may_pass() => Sent::Failed,
                Err(_) => Sent::Refused,
            }
        }
        .boxed()
    }
}

fn request(item: &Item) -> (&'static str, Vec<u8>) {
    let (path, body) = match item {
        Item::Intake(Intake::Payment(payment)) => ("/v1/payments", payment_json(payment)),
        Item::Intake(Intake::Account(command)) => ("/v1/accounts", account_json(command)),
        Item::Unreadable(id) => ("/v1/payments", json!({"id": id.as_str(), "amount": "unreadable"})),
    };
    (path, body.to_string().into_bytes())
}

fn payment_json(payment: &Payment) -> Value {
    json!({
        "id": payment.id.as_str(), "from": payment.from.as_str(), "to": payment.to.as_str(),
        "amount": {"value": payment.amount.minor, "currency": payment.amount.currency.as_str()},
    })
}

fn account_json(command: &AccountCommand) -> Value {
    match command.action {
        Action::Open { currency, funding_minor } => json!({
            "id": command.account.as_str(), "commandId": command.id.as_str(), "funding": funding_minor,
            "currency": currency.as_ref().map(kpay_domain::Currency::as_str),
        }),
        _ => json!({"id": command.account.as_str()}),
    }
}

#[cfg(test)]
mod tests {
    use kpay_domain::intake::{open_from_json, payment_from_json};

    use super::*;

    #[test]
    fn a_request_says_what_the_record_says() {
        let settings = Settings { invalid: "10%".to_owned(), ..Settings::default() };
        let plan = settings.plan("r").unwrap();
        let mut unreadable = 0;
        for number in 0..500 {
            let item = plan.workload.item(number).unwrap();
            let (_, body) = request(&item);
            match &item {
                Item::Intake(intake) => assert_eq!(&payment_from_json(&body, None).unwrap(), intake),
                Item::Unreadable(_) => {
                    unreadable += 1;
                    assert!(payment_from_json(&body, None).is_err());
                }
            }
        }
        assert!(unreadable > 0);
        let opening = plan.workload.opening(3, 7).unwrap();
        let (path, body) = request(&Item::Intake(opening.clone()));
        assert_eq!((path, open_from_json(&body).unwrap()), ("/v1/accounts", opening));
    }
}
