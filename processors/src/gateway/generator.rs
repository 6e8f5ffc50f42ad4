//! `/v1/generator`: a load of this gateway's own, for a demonstration or a test. Off unless the gateway was started with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use super::App;
use super::answer::Json;
use super::append::Appender;
use super::extract::JsonBody;
use super::problem::{Failure, Problem, Rejected};
use crate::generator::drive::{Drive, Open, while_intake_is_open};
use crate::generator::stats::{Counts, Sent, Stats};
use crate::generator::{Item, Plan, Settings, Sink, new_run};

/// A gateway has other things to do: beyond this there is `kpay generate --to kafka`.
const RATE_MAX: u64 = 50_000;
const ACCOUNTS_MAX: u64 = 100_000;
/// One that was forgotten ends by itself.
const DURATION_DEFAULT: Duration = Duration::from_mins(10);
const DURATION_MAX: Duration = Duration::from_hours(24);
const CONCURRENCY: u32 = 1_024;

/// The generator's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GeneratorView {
    /// Whether it is sending, or waits for the intake to be open.
    pub running: bool,
    /// What was asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// Since it was started, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u64>,
    /// What became of its records, the openings of accounts among them.
    pub counts: Counts,
}

/// The one load of a gateway.
#[derive(Default)]
pub(super) struct Generator {
    last: Mutex<Option<Run>>,
}

struct Run {
    settings: Settings,
    stats: Arc<Stats>,
    began: Instant,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Generator {
    fn view(&self) -> GeneratorView {
        match &*self.last.lock() {
            None => {
                GeneratorView { running: false, settings: None, elapsed_ms: None, counts: Counts::default() }
            }
            Some(run) => GeneratorView {
                running: !run.task.is_finished(),
                settings: Some(run.settings.clone()),
                elapsed_ms: u64::try_from(run.began.elapsed().as_millis()).ok(),
                counts: run.stats.counts(),
            },
        }
    }

    fn start(&self, settings: Settings, plan: Plan, appender: Arc<dyn Appender>, open: Open) {
        let stats = Arc::<Stats>::default();
        let (stop, stopped) = watch::channel(false);
        let sink = Arc::new(Log(appender));
        let drive = Drive { sink, stats: Arc::clone(&stats), concurrency: CONCURRENCY, open, stop: stopped };
        let task = tokio::spawn(async move { drive.run(&Arc::new(plan)).await });
        let run = Run { settings, stats, began: Instant::now(), stop, task };
        // The one before ends when its word to stop is dropped.
        *self.last.lock() = Some(run);
    }

    fn stop(&self) {
        if let Some(run) = &*self.last.lock() {
            run.stop.send_replace(true);
        }
    }
}

/// payment.incoming by the gateway's appender, past the checks that a request goes through.
struct Log(Arc<dyn Appender>);

impl Sink for Log {
    fn send(&self, item: Item) -> BoxFuture<'_, Sent> {
        async move {
            let mut record = Vec::with_capacity(256);
            item.encode(&mut record);
            match self.0.append(item.id().as_str(), &record).await {
                Ok(()) => Sent::Taken,
                Err(_) => Sent::Failed,
            }
        }
        .boxed()
    }
}

fn generator(app: &App) -> Result<&Generator, Failure> {
    app.generator.as_ref().ok_or_else(Problem::generator_off)
}

/// Start a load, or replace the one that runs.
///
/// Its records go to payment.incoming as those of any client; while the intake is closed it waits. It ends by `count`, by
/// `duration` (10m when left out), or when it is stopped.
#[utoipa::path(
    post, operation_id = "start_generator", path = "/v1/generator", tag = "generator",
    request_body = Settings,
    responses(
        (status = 200, body = GeneratorView, description = "It runs"),
    ),
)]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    JsonBody(body): JsonBody,
) -> Result<Json<GeneratorView>, Rejected> {
    let generator = generator(&app)?;
    let settings: Settings =
        serde_json::from_slice(&body).map_err(|error| Problem::json_invalid(&error.to_string()))?;
    let mut plan =
        settings.plan(&new_run()).map_err(|error| Problem::generator_invalid(error.field, &error.detail))?;
    let beyond = |field, detail: &str| Err(Problem::generator_invalid(field, detail).into());
    if plan.shape.peak() > RATE_MAX {
        return beyond(
            "rate",
            "is at most 50000 payments a second here; kpay generate --to kafka sends more",
        );
    }
    if settings.accounts > ACCOUNTS_MAX {
        return beyond("accounts", "are at most 100000 here");
    }
    if plan.duration.is_some_and(|duration| duration > DURATION_MAX) {
        return beyond("duration", "is at most 24h");
    }
    plan.duration.get_or_insert(DURATION_DEFAULT);
    let open = while_intake_is_open(app.phase.clone());
    generator.start(settings, plan, Arc::clone(&app.appender), open);
    Ok(Json(generator.view()))
}

/// Look at the load.
#[utoipa::path(
    get, operation_id = "get_generator", path = "/v1/generator", tag = "generator",
    responses(
        (status = 200, body = GeneratorView, description = "What it does, and has done"),
    ),
)]
pub(super) async fn get(State(app): State<Arc<App>>) -> Result<Json<GeneratorView>, Rejected> {
    Ok(Json(generator(&app)?.view()))
}

/// Stop the load. What is on its way is still sent.
#[utoipa::path(
    delete, operation_id = "stop_generator", path = "/v1/generator", tag = "generator",
    responses(
        (status = 200, body = GeneratorView, description = "It stops"),
    ),
)]
pub(super) async fn stop(State(app): State<Arc<App>>) -> Result<Json<GeneratorView>, Rejected> {
    let generator = generator(&app)?;
    generator.stop();
    Ok(Json(generator.view()))
}
