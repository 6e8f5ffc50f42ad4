//! Takes an intake in: the same for payments and account commands.
//!
//! check → known here? → known to the inflight stage? → append → answer, or wait for the outcome.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kpay_domain::{Intake, PaymentId, fingerprint, inflight};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::App;
use super::answer::{Json, json};
use super::extract::Prefer;
use super::peers::{Answer, AskError, Question};
use super::problem::{Failure, Problem};
use super::recent::Claim;
use crate::names::StageName;

/// Between two questions to an owner that could not answer, while somebody waits.
const WAIT_RETRY: Duration = Duration::from_millis(100);
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The request was taken in before, and nothing was done now.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What the inflight stage answers of an id that it knows.
#[derive(Debug, Deserialize)]
pub(super) struct KnownIntake {
    /// The low 48 bits of the request's fingerprint, in hexadecimal digits.
    pub(super) fingerprint: String,
    /// The request.
    pub(super) intake: KnownBody,
}

/// The request as the inflight stage gives it.
#[derive(Debug, Deserialize)]
pub(super) struct KnownBody {
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) account: Option<String>,
    pub(super) amount: Option<super::dto::Amount>,
    pub(super) reference: Option<String>,
}

/// A request to take in.
pub(super) struct Order {
    /// What is asked for.
    pub(super) intake: Intake,
    /// Whether the caller may have used the id before.
    pub(super) id_from_caller: bool,
    /// Whether to wait for the outcome.
    pub(super) prefer: Prefer,
    /// Where the thing is found later.
    pub(super) location: String,
}

impl App {
    /// Takes the order in and answers: 202 with `body`, or 200 with the outcome if that was waited for.
    pub(super) async fn accept<T: Serialize>(&self, order: &Order, body: T) -> Result<Response, Failure> {
        let Order { intake, prefer, location, .. } = order;
        inflight::check(intake).map_err(|reason| Problem::refused(intake, &reason))?;
        let replayed = self.take_in(order).await?.then_some([(REPLAYED, "true")]);
        let mut applied = None;
        if let Some(wait) = prefer.wait().filter(|_| self.intake_open()) {
            applied = prefer.wait_s.map(|wait_s| [(PREFERENCE_APPLIED, format!("wait={wait_s}"))]);
            if let Some(outcome) = self.outcome_within(intake.id(), wait).await {
                return Ok((replayed, applied, json(&outcome)).into_response());
            }
        }
        let location = [(header::LOCATION, location.clone())];
        Ok((StatusCode::ACCEPTED, location, replayed, applied, Json(body)).into_response())
    }

    /// Whether the same request was taken in before, as far as it is known.
    async fn take_in(&self, order: &Order) -> Result<bool, Failure> {
        let Order { intake, location, .. } = order;
        let conflict = || Problem::conflict(intake, location.clone());
        let mut known = self.recent.lock().check(intake, Instant::now());
        if known.is_none() && order.id_from_caller {
            known = self.known_to_inflight(intake).await;
        }
        match known {
            Some(Claim::Accepted) => return Ok(true),
            Some(Claim::Conflict) => return Err(conflict()),
            Some(Claim::Append) | None => {}
        }
        if self.phase.borrow().is_some_and(|learned| learned.rejects_while_closed && !learned.intake_open()) {
            return Err(Problem::intake_closed().at(location.clone()));
        }
        // Another request may have come in between: only the claim decides.
        let claim = self.recent.lock().claim(intake, Instant::now());
        match claim {
            Claim::Accepted => Ok(true),
            Claim::Conflict => Err(conflict()),
            Claim::Append => {
                self.append(intake).await.map_err(|problem| problem.at(location.clone()))?;
                Ok(false)
            }
        }
    }

    /// What the inflight stage knows of the id. Without an answer it is appended: the pipeline tells copies apart, and a
    /// conflict is a dead letter.
    async fn known_to_inflight(&self, intake: &Intake) -> Option<Claim> {
        let question = Question { brief: true, ..Question::now(StageName::Inflight, intake.id().as_str()) };
        let Ok(Answer::Found(found)) = self.peers.ask(question).await else { return None };
        let known: KnownIntake = serde_json::from_slice(&found).ok()?;
        let low48 = fingerprint::fingerprint(intake) & 0xffff_ffff_ffff;
        let same = known.fingerprint == format!("{low48:012x}");
        Some(if same { Claim::Accepted } else { Claim::Conflict })
    }

    async fn append(&self, intake: &Intake) -> Result<(), Failure> {
        let mut record = Vec::with_capacity(256);
        intake.encode(&mut record);
        match self.appender.append(intake.id().as_str(), &record).await {
            Ok(()) => {
                self.recent.lock().acknowledge(intake, Instant::now());
                Ok(())
            }
            Err(error) => {
                warn!(%error, "append");
                self.recent.lock().release(intake.id());
                Err(Problem::kafka_unavailable())
            }
        }
    }

    /// The outcome, as soon as there is one. An owner that cannot answer is asked again.
    async fn outcome_within(&self, id: &PaymentId, wait: Duration) -> Option<Bytes> {
        let now = tokio::time::Instant::now;
        let deadline = now() + wait;
        loop {
            let wait = deadline.saturating_duration_since(now());
            let question = Question { wait, ..Question::now(StageName::Confirmed, id.as_str()) };
            let answer = tokio::time::timeout(wait, self.peers.ask(question)).await;
            match answer {
                Ok(Ok(Answer::Found(outcome))) => return Some(outcome),
                // Early: the owner is restoring, or has changed.
                Ok(Ok(Answer::Unknown) | Err(_)) if deadline > now() => tokio::time::sleep(WAIT_RETRY).await,
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// What the caller should know of the phase. `what` is "payment" or "command".
    pub(super) fn note(&self, what: &str) -> Option<String> {
        let learned = *self.phase.borrow();
        match learned {
            Some(learned) if learned.intake_open() => None,
            Some(learned) => Some(format!("the pipeline is {}; the {what} is buffered", learned.phase)),
            None => Some(format!("the pipeline's phase is not known yet; the {what} is buffered")),
        }
    }

    fn intake_open(&self) -> bool {
        self.phase.borrow().is_some_and(|learned| learned.intake_open())
    }

    /// The outcome of an id, if there is one by now.
    pub(super) async fn outcome(&self, id: &PaymentId) -> Result<Option<Bytes>, AskError> {
        let answer = self.peers.ask(Question::now(StageName::Confirmed, id.as_str())).await?;
        Ok(match answer {
            Answer::Found(outcome) => Some(outcome),
            Answer::Unknown => None,
        })
    }

    /// The request of an id, if the inflight stage knows it by now.
    pub(super) async fn known_intake(&self, id: &PaymentId) -> Result<Option<KnownIntake>, AskError> {
        match self.peers.ask(Question::now(StageName::Inflight, id.as_str())).await? {
            Answer::Found(found) => {
                serde_json::from_slice(&found).map(Some).map_err(|_| AskError::Unreachable)
            }
            Answer::Unknown => Ok(None),
        }
    }
}
