//! `/v1/dead-letters`: list, show, replay.
//!
//! | module | what it is |
//! |---|---|
//! | `letter` | a letter, the record that it is replayed as, the mark that it was |
//! | `list`, `show` | the newest first, and one in full |
//! | `replay`, `replayed` | each at most once, and how that is known |
//! | `log`, `kafka` | the seam to ops.dlq, and Kafka behind it |
//! | `order` | what a request may ask for |

mod dto;
mod kafka;
mod letter;
mod list;
pub(crate) mod log;
mod order;
mod replay;
mod replayed;
mod show;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State, rejection};
use kpay_crds::Phase;
use kpay_streams::clock::now_ms;
use tokio::sync::Semaphore;
use tracing::warn;

use self::dto::{
    DeadLetterDetail, DeadLetterList, ReplayManyOrder, ReplayManyView, ReplayOrder, ReplayStatus, ReplayView,
    SkippedView,
};
use self::letter::LetterId;
use self::log::{LetterLog, LettersError};
use self::order::ListQuery;
use self::replay::{Desk, Listed, One, Refusal, Replaying, Shown};
use super::App;
use super::answer::Json;
use super::extract::JsonBody;
use super::problem::{Failure, Problem, Rejected};
use crate::names::Names;

pub(super) use self::kafka::KafkaLetters;

/// How long a request waits for those before: they take turns, so that no more than one thread is busy with them.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);

/// The letters, for the handlers.
pub(super) struct DeadLetters {
    desk: Arc<Desk>,
    turn: Arc<Semaphore>,
}

impl DeadLetters {
    pub(super) fn new(log: Box<dyn LetterLog>, names: Names) -> Self {
        Self { desk: Arc::new(Desk::new(log, names)), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Makes the call on a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Desk) -> Result<Replaying<T>, LettersError> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turn).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Problem::letters_unavailable()) };
        let desk = Arc::clone(&self.desk);
        let called = tokio::task::spawn_blocking(move || {
            // Also when the caller has gone meanwhile.
            let _turn = turn;
            call(&desk)
        });
        match called.await {
            Ok(Ok(Replaying::Done(done))) => Ok(done),
            Ok(Ok(Replaying::Unknown)) => Err(Problem::letter_unknown()),
            Ok(Ok(Replaying::Reading)) => Err(Problem::letters_reading()),
            Ok(Err(error)) => {
                warn!(%error, "dead letters");
                Err(Problem::letters_unavailable())
            }
            Err(_) => Err(Problem::internal()),
        }
    }
}

impl App {
    /// Whether commands inside the pipeline may be carried out: a replay must not move money that a proven pause says
    /// is at rest. What waits for payment.incoming is held back by the stage itself.
    fn moves_inside(&self) -> bool {
        self.phase.borrow().is_some_and(|learned| match learned.phase {
            Phase::Running | Phase::Draining | Phase::Resuming => true,
            Phase::Pending | Phase::Paused | Phase::Failed => false,
        })
    }
}

fn id_of(path: Result<Path<String>, rejection::PathRejection>) -> Result<LetterId, Failure> {
    let id = path.ok().and_then(|Path(text)| LetterId::parse(&text));
    id.ok_or_else(|| Problem::bad_id("is <partition>-<offset>"))
}

/// List the records that no stage could read.
///
/// The newest first. A request looks at a bounded number of records: with a filter that takes few, a page may have less
/// than `limit`, and `next` leads on.
#[utoipa::path(
    get, operation_id = "list_dead_letters", path = "/v1/dead-letters", tag = "dead letters",
    params(ListQuery),
    responses(
        (status = 200, body = DeadLetterList, description = "A page"),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListQuery>, rejection::QueryRejection>,
) -> Result<Json<DeadLetterList>, Rejected> {
    let query = query.map_err(|_| Problem::bad_parameter("query", "cannot be read"))?;
    let (filter, after, limit) = query.0.parse()?;
    let asked = app.dead_letters.ask(move |desk| desk.list(&filter, after.as_ref(), limit));
    let Listed { page, marks } = asked.await?;
    let views = page.letters.iter().zip(marks).map(|(letter, marked)| show::letter_view(letter, marked));
    let next = page.next.map(|cursor| cursor.text());
    Ok(Json(DeadLetterList { dead_letters: views.collect(), next }))
}

/// Look at a dead letter.
#[utoipa::path(
    get, operation_id = "get_dead_letter", path = "/v1/dead-letters/{id}", tag = "dead letters",
    params(("id" = String, Path, description = "Of the dead letter", example = "0-17")),
    responses(
        (status = 200, body = DeadLetterDetail, description = "With its headers, bytes and history"),
    ),
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, rejection::PathRejection>,
) -> Result<Json<DeadLetterDetail>, Rejected> {
    let id = id_of(path)?;
    let Shown { full, source, marked, replay } = app.dead_letters.ask(move |desk| desk.show(id)).await?;
    Ok(Json(DeadLetterDetail {
        letter: show::letter_view(&full.letter, marked),
        headers: show::headers_view(&full),
        value: show::value_view(&full, source),
        history: full.history(),
        replay,
    }))
}

/// Replay a dead letter.
///
/// The record goes back to where it came from, with its key and headers. A letter is replayed once, however often it is
/// asked for; a record that fails again is a new letter that has the history of this one. Who asked and why are kept
/// with the letter.
#[utoipa::path(
    post, operation_id = "replay_dead_letter", path = "/v1/dead-letters/{id}/replay", tag = "dead letters",
    params(("id" = String, Path, description = "Of the dead letter", example = "0-17")),
    request_body = ReplayOrder,
    responses(
        (status = 200, body = ReplayView, description = "Replayed, now or before"),
    ),
)]
pub(super) async fn replay(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, rejection::PathRejection>,
    JsonBody(body): JsonBody,
) -> Result<Json<ReplayView>, Rejected> {
    let id = id_of(path)?;
    let ReplayOrder { by, reason } = order::read(&body)?;
    let replay = order::replay(by, reason, now_ms())?;
    let inside = app.moves_inside();
    let (status, replay) = match app.dead_letters.ask(move |desk| desk.replay(id, replay, inside)).await? {
        One::Replayed(replay) => (ReplayStatus::Replayed, replay),
        One::Already(replay) => (ReplayStatus::AlreadyReplayed, replay),
        One::Refused(refusal) => return Err(refused(refusal).into()),
    };
    Ok(Json(ReplayView { id: id.to_string(), status, replay }))
}

fn refused(refusal: Refusal) -> Failure {
    let detail = match refusal {
        Refusal::TooLarge => "it is longer than any record that a stage reads, or cut",
        Refusal::SourceUnknown => "it came from no topic that a stage of this pipeline reads",
        Refusal::Paused => {
            "it is a step of a payment inside the pipeline, and nothing may move now; resume first"
        }
    };
    Problem::letter_refused(refusal.code(), detail)
}

/// Replay the dead letters that a filter takes.
///
/// Each as if it were replayed alone, the oldest of each partition first. When `next` is answered, there may be more.
#[utoipa::path(
    post, operation_id = "replay_dead_letters", path = "/v1/dead-letters/replay", tag = "dead letters",
    request_body = ReplayManyOrder,
    responses(
        (status = 200, body = ReplayManyView, description = "What was done"),
    ),
)]
pub(super) async fn replay_many(
    State(app): State<Arc<App>>,
    JsonBody(body): JsonBody,
) -> Result<Json<ReplayManyView>, Rejected> {
    let asked: ReplayManyOrder = order::read(&body)?;
    let order = order::many(asked, now_ms(), app.moves_inside())?;
    let many = app.dead_letters.ask(move |desk| desk.replay_many(&order)).await?;
    let skipped = |(id, refusal): (LetterId, Refusal)| SkippedView {
        id: id.to_string(),
        code: refusal.code().to_owned(),
    };
    Ok(Json(ReplayManyView {
        replayed: many.replayed.iter().map(LetterId::to_string).collect(),
        skipped: many.skipped.into_iter().map(skipped).collect(),
        next: many.next.map(|cursor| cursor.text()),
    }))
}
