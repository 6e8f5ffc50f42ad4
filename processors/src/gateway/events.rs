//! `/v1/events`: the pipeline's figures once a second, as server-sent events. One task asks for all who listen, and only
//! while somebody does. Only I/O.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, Sse};
use futures::stream;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use super::dto::PipelineEvent;
use super::problem::{Problem, Rejected};
use super::{App, pipeline};

const INTERVAL: Duration = Duration::from_secs(1);
/// Each holds a connection.
const LISTENERS_MAX: usize = 64;

/// Who listens, and what they are told.
pub(super) struct Events {
    said: watch::Sender<Said>,
    slots: Arc<Semaphore>,
    /// Whether the task runs.
    sampling: Mutex<bool>,
}

/// The last thing that was said.
#[derive(Debug, Clone)]
enum Said {
    Nothing,
    Figures(Arc<PipelineEvent>),
    /// The gateway stops: the answers end, so that they do not hold it up.
    End,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            said: watch::Sender::new(Said::Nothing),
            slots: Arc::new(Semaphore::new(LISTENERS_MAX)),
            sampling: Mutex::new(false),
        }
    }
}

impl Events {
    /// Ends every answer, also those to come.
    pub(super) fn stop(&self) {
        self.said.send_replace(Said::End);
    }

    fn listen(app: &Arc<App>) -> Option<Listener> {
        let slot = Arc::clone(&app.events.slots).try_acquire_owned().ok()?;
        let mut sampling = app.events.sampling.lock();
        let mut said = app.events.said.subscribe();
        said.mark_changed();
        if !*sampling {
            *sampling = true;
            tokio::spawn(sample(Arc::clone(app)));
        }
        Some(Listener { said, _slot: slot })
    }

    /// Takes the task back when nobody listens. What was said last would be old news to the next listener.
    fn idle(&self) -> bool {
        let mut sampling = self.sampling.lock();
        let ended = matches!(*self.said.borrow(), Said::End);
        let idle = ended || self.said.receiver_count() == 0;
        if idle {
            *sampling = false;
        }
        if idle && !ended {
            self.say(Said::Nothing);
        }
        idle
    }

    fn say(&self, news: Said) {
        self.said.send_if_modified(|said| {
            let ended = matches!(said, Said::End);
            if !ended {
                *said = news;
            }
            !ended
        });
    }
}

/// Asks once a second, until nobody listens.
async fn sample(app: Arc<App>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if app.events.idle() {
            return;
        }
        let figures = pipeline::figures(&app).await;
        app.events.say(Said::Figures(Arc::new(figures)));
    }
}

struct Listener {
    said: watch::Receiver<Said>,
    _slot: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            self.said.changed().await.ok()?;
            let said = self.said.borrow_and_update().clone();
            match said {
                Said::Nothing => {}
                Said::End => return None,
                Said::Figures(figures) => {
                    let event = Event::default().event("pipeline").json_data(&*figures).ok()?;
                    return Some((Ok(event), self));
                }
            }
        }
    }
}

/// Follow the pipeline's figures.
///
/// Server-sent events: every second one named `pipeline`, whose data is the JSON described here. The answer ends when the
/// gateway stops; a client that comes back goes on with the figures of that moment.
#[utoipa::path(
    get, operation_id = "follow_pipeline", path = "/v1/events", tag = "pipeline",
    responses(
        (status = 200, body = PipelineEvent, content_type = "text/event-stream",
            description = "Events without an end"),
    ),
)]
pub(super) async fn follow(State(app): State<Arc<App>>) -> Result<impl IntoResponse, Rejected> {
    let listener = Events::listen(&app).ok_or_else(Problem::too_many_listeners)?;
    Ok(Sse::new(stream::unfold(listener, Listener::next)))
}
