//! The router in process, over a twin of the pipeline.

mod accounts;
mod codes;
mod dead_letters;
mod edges;
mod events;
mod generator;
mod holds;
mod lists;
mod payments;
mod pipeline;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use futures::future::{BoxFuture, FutureExt};
use kpay_crds::{DesiredPhase, Phase};
use kpay_domain::{Intake, fingerprint};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use self::dead_letters::Shelf;
use super::append::{AppendError, Appender};
use super::dead_letters::DeadLetters;
use super::peers::{Answer, AskError, Controls, Listing, Peers, Question};
use super::wish::{Granted, Wish, WishError, Wishes};
use super::{App, GatewayStatus, Learned, router};
use crate::names::{Names, StageName};
use crate::pod::pause::{ByPhase, Pauses, held};
use crate::stage::windows::Minute;

/// What the pods would know and answer.
#[derive(Default)]
struct Twin {
    /// Records of payment.incoming.
    appended: Vec<(String, Intake)>,
    append_fails: bool,
    /// The inflight stage has read all that was appended.
    inflight_reads: bool,
    /// A long poll finds this status for what was appended.
    ends_with: Option<&'static str>,
    /// Instead of any of that.
    answers: HashMap<(StageName, String), Result<Answer, AskError>>,
    controls: HashMap<StageName, Controls>,
    /// Parts of lists that were asked for, and what is answered, one after the other.
    listed: Vec<Listing>,
    parts: VecDeque<Result<Answer, AskError>>,
    /// What the pods tell of these minutes.
    minutes: Option<Vec<Minute>>,
    wishes: Vec<Wish>,
    wish_fails: Option<WishError>,
    /// How often the controls were asked for.
    controls_asked: usize,
    /// Nobody answers.
    unreachable: bool,
}

impl Twin {
    fn answer(&self, stage: StageName, key: &str, waits: bool) -> Result<Answer, AskError> {
        if self.unreachable {
            return Err(AskError::Unreachable);
        }
        if let Some(answer) = self.answers.get(&(stage, key.to_owned())) {
            return answer.clone();
        }
        let Some((_, intake)) = self.appended.iter().find(|(id, _)| id == key) else {
            return Ok(Answer::Unknown);
        };
        match stage {
            StageName::Inflight if self.inflight_reads => Ok(known(intake)),
            StageName::Confirmed if waits => Ok(self.ends_with.map_or(Answer::Unknown, |status| {
                found(&json!({"id": key, "status": status, "timeline": []}))
            })),
            StageName::Inflight | StageName::Account | StageName::Confirmed => Ok(Answer::Unknown),
        }
    }
}

/// As the inflight stage answers.
fn known(intake: &Intake) -> Answer {
    let body = match intake {
        Intake::Payment(payment) => json!({
            "id": payment.id.as_str(), "from": payment.from.as_str(), "to": payment.to.as_str(),
            "amount": {"value": payment.amount.minor, "currency": payment.amount.currency.as_str()},
            "reference": payment.reference.as_ref().map(kpay_domain::Reference::as_str),
        }),
        Intake::Account(command) => {
            json!({"id": command.id.as_str(), "account": command.account.as_str()})
        }
    };
    let low48 = fingerprint::fingerprint(intake) & 0xffff_ffff_ffff;
    found(&json!({"known": true, "fingerprint": format!("{low48:012x}"), "intake": body}))
}

fn found(value: &Value) -> Answer {
    Answer::Found(Bytes::from(value.to_string()))
}

struct Shared(Arc<Mutex<Twin>>);

impl Appender for Shared {
    fn append<'a>(&'a self, key: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<(), AppendError>> {
        async move {
            let mut twin = self.0.lock();
            if twin.append_fails {
                return Err(AppendError::TopicUnknown);
            }
            twin.appended.push((key.to_owned(), Intake::decode(value).unwrap()));
            Ok(())
        }
        .boxed()
    }
}

impl Peers for Shared {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Answer, AskError>> {
        async move {
            let answer = self.0.lock().answer(question.stage, question.key, !question.wait.is_zero());
            if answer == Ok(Answer::Unknown) {
                tokio::time::sleep(question.wait).await;
            }
            answer
        }
        .boxed()
    }

    fn list(&self, listing: Listing) -> BoxFuture<'_, Result<Answer, AskError>> {
        let mut twin = self.0.lock();
        twin.listed.push(listing);
        let part = twin.parts.pop_front();
        async move { part.unwrap_or(Err(AskError::NoOwner)) }.boxed()
    }

    fn minutes(&self, since: i64) -> BoxFuture<'_, Result<Vec<Minute>, AskError>> {
        let told = self.0.lock().minutes.clone();
        let since = move |minutes: Vec<Minute>| minutes.into_iter().filter(|m| m.minute >= since).collect();
        async move { told.map(since).ok_or(AskError::Unreachable) }.boxed()
    }

    fn controls(&self, stage: StageName) -> BoxFuture<'_, Result<Controls, AskError>> {
        let mut twin = self.0.lock();
        twin.controls_asked += 1;
        let controls = twin.controls.get(&stage).cloned();
        async move { controls.ok_or(AskError::NoOwner) }.boxed()
    }
}

impl Wishes for Shared {
    fn wish(&self, wish: Wish) -> BoxFuture<'_, Result<Granted, WishError>> {
        async move {
            let mut twin = self.0.lock();
            if let Some(error) = twin.wish_fails.take() {
                return Err(error);
            }
            twin.wishes.push(wish.clone());
            Ok(match wish {
                Wish::Phase(desired, reason) => {
                    let since = "2026-11-23T12:00:00Z".parse().ok();
                    let by_phase = Some(ByPhase { by: None, reason, since });
                    Granted { desired, pauses: Pauses { by_phase, holders: vec![] } }
                }
                Wish::Hold(pause) => {
                    let holders = vec![held(&pause)];
                    Granted { pauses: Pauses { by_phase: None, holders }, ..Granted::default() }
                }
                Wish::LetGo(_) => Granted::default(),
            })
        }
        .boxed()
    }
}

/// A gateway over the twin.
struct Gateway {
    app: Arc<App>,
    router: axum::Router,
    twin: Arc<Mutex<Twin>>,
    shelf: Arc<Mutex<Shelf>>,
    phase: watch::Sender<Option<Learned>>,
    pause: watch::Sender<Arc<Pauses>>,
    status: Arc<GatewayStatus>,
}

fn learned(phase: Phase) -> Learned {
    Learned {
        phase,
        epoch: 7,
        desired: DesiredPhase::Running,
        intake_per_second: None,
        slow_start_ms: 0,
        rejects_while_closed: false,
    }
}

fn gateway() -> Gateway {
    gateway_with(Arc::default(), Some(super::generator::Generator::default()))
}

fn gateway_without_generator() -> Gateway {
    gateway_with(Arc::default(), None)
}

/// Over dead letters that another gateway may have as well.
fn gateway_with(shelf: Arc<Mutex<Shelf>>, generator: Option<super::generator::Generator>) -> Gateway {
    gateway_of(shelf, generator, None)
}

/// Over pods of its own instead of the twin's.
fn gateway_of(
    shelf: Arc<Mutex<Shelf>>,
    generator: Option<super::generator::Generator>,
    peers: Option<Arc<dyn Peers>>,
) -> Gateway {
    let twin = Arc::new(Mutex::new(Twin::default()));
    let (sender, phase) = watch::channel(Some(learned(Phase::Running)));
    let (pause, pauses) = watch::channel(Arc::default());
    let status: Arc<GatewayStatus> = Arc::default();
    let app = App {
        appender: Arc::new(Shared(Arc::clone(&twin))),
        peers: peers.unwrap_or_else(|| Arc::new(Shared(Arc::clone(&twin)))),
        wishes: Arc::new(Shared(Arc::clone(&twin))),
        recent: Mutex::default(),
        dead_letters: DeadLetters::new(Box::new(Arc::clone(&shelf)), Names { prefix: "t.".to_owned() }),
        phase,
        pause: pauses,
        status: Arc::clone(&status),
        generator,
        events: super::events::Events::default(),
    };
    let app = Arc::new(app);
    Gateway { router: router::router(Arc::clone(&app)), app, twin, shelf, phase: sender, pause, status }
}

/// An answer, read.
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    /// Its JSON, which ends with a newline, so that a shell's prompt comes on a line of its own.
    fn json(&self) -> Value {
        assert!(self.text.ends_with('\n'), "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that it is a problem in full, with this status, code and field.
    #[track_caller]
    fn assert_problem(&self, status: u16, code: &str, field: Option<&str>) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status)));
        assert_eq!(problem["type"], format!("https://kpay.dev/problems/{code}"));
        assert_eq!(problem["field"].as_str(), field, "{}", self.text);
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(self.header("retry-after").is_some(), status == 503);
    }
}

async fn read(response: Response) -> Got {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    Got { status: parts.status, headers: parts.headers, text }
}

impl Gateway {
    /// Whatever a test asks: a problem that it is answered has to be one that the operation is described with.
    async fn send(&self, request: Request<Body>) -> Got {
        let operation = codes::operation(request.method(), request.uri().path());
        let got = read(self.router.clone().oneshot(request).await.unwrap()).await;
        codes::assert_described(operation.as_deref(), &got);
        got
    }

    async fn get(&self, path: &str) -> Got {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Got {
        self.post_prefer(path, body, None).await
    }

    async fn post_prefer(&self, path: &str, body: impl Into<Body>, prefer: Option<&str>) -> Got {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    fn appended(&self) -> Vec<String> {
        self.twin.lock().appended.iter().map(|(id, _)| id.clone()).collect()
    }

    fn answers(&self, stage: StageName, key: &str, answer: Result<Answer, AskError>) {
        self.twin.lock().answers.insert((stage, key.to_owned()), answer);
    }
}

const SECOND: Duration = Duration::from_secs(1);
