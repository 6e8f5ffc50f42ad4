//! `/v1/dead-letters`, over a twin of ops.dlq.

use std::collections::BTreeSet;
use std::ops::Range;

use kpay_domain::{AccountId, Attributes, Command, Currency, Money, Payment, PaymentId};
use kpay_streams::record::Record;

use super::*;
use crate::gateway::dead_letters::log::{Addressed, LetterLog, LettersError, Part, Replayer};
use crate::names::TopicName;

const PARTITIONS: usize = 3;
const ORDER: &str = r#"{"by": "maria", "reason": "mended"}"#;

#[derive(Clone)]
struct Stored {
    at_ms: i64,
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

/// ops.dlq in memory, and what was replayed. `None` is an offset that holds no record, as a marker's.
#[derive(Default)]
pub(super) struct Shelf {
    dlq: [Vec<Option<Stored>>; PARTITIONS],
    replayed: Vec<Addressed>,
    newest_replayer: u64,
    /// Offsets that were read.
    looked_at: i64,
    reads_fail: bool,
    /// Another gateway becomes the replayer between the reading and the writing.
    fence_next: bool,
    /// The next replay is written, and its writer is told that nobody knows.
    answer_lost: bool,
}

impl LetterLog for Arc<Mutex<Shelf>> {
    fn partitions(&self, _: TopicName) -> Result<i32, LettersError> {
        Ok(8)
    }

    fn ends(&self) -> Result<Vec<Range<i64>>, LettersError> {
        Ok(self.lock().dlq.iter().map(|records| 0..i64::try_from(records.len()).unwrap()).collect())
    }

    fn read(&self, parts: &[Part], each: &mut dyn FnMut(&Record<'_>)) -> Result<(), LettersError> {
        if self.lock().reads_fail {
            return Err(LettersError::TimedOut);
        }
        for Part { partition, offsets } in parts {
            self.lock().looked_at += offsets.end - offsets.start;
            for offset in offsets.clone() {
                let at = (usize::try_from(*partition).unwrap(), usize::try_from(offset).unwrap());
                let stored = self.lock().dlq[at.0][at.1].clone();
                let Some(Stored { at_ms, key, value, headers }) = stored else { continue };
                let (partition, timestamp_ms) = (*partition, at_ms);
                each(&Record {
                    partition,
                    offset,
                    timestamp_ms,
                    key: &key,
                    value: &value,
                    headers: &headers,
                });
            }
        }
        Ok(())
    }

    fn replayer(&self) -> Result<Box<dyn Replayer>, LettersError> {
        let mut held = self.lock();
        held.newest_replayer += 1;
        Ok(Box::new(TwinReplayer { shelf: Arc::clone(self), number: held.newest_replayer }))
    }
}

struct TwinReplayer {
    shelf: Arc<Mutex<Shelf>>,
    number: u64,
}

impl Replayer for TwinReplayer {
    fn append(&mut self, records: Vec<Addressed>) -> Result<(), LettersError> {
        let mut held = self.shelf.lock();
        if std::mem::take(&mut held.fence_next) {
            held.newest_replayer += 1;
        }
        if held.newest_replayer != self.number {
            return Err(LettersError::TimedOut);
        }
        for record in records {
            if record.topic == TopicName::Dlq {
                let at_ms = 9_000;
                let Addressed { partition, key, value, headers, .. } = record;
                let stored = Stored { at_ms, key, value, headers };
                held.dlq[usize::try_from(partition).unwrap()].push(Some(stored));
            } else {
                held.replayed.push(record);
            }
        }
        if std::mem::take(&mut held.answer_lost) { Err(LettersError::TimedOut) } else { Ok(()) }
    }
}

fn header(name: &str, value: &str) -> (String, Vec<u8>) {
    (name.to_owned(), value.as_bytes().to_vec())
}

impl Gateway {
    /// Puts a letter where a stage would, and says its id.
    fn letter(&self, at_ms: i64, code: &str, stage: StageName, value: &[u8]) -> String {
        let topic = format!("t.{}", stage.input().as_str());
        let headers = vec![
            header("content-type", "application/json"),
            header("kpay-dlq-code", code),
            header("kpay-dlq-detail", "as it is"),
            header("kpay-dlq-stage", stage.as_str()),
            header("kpay-dlq-topic", &topic),
            header("kpay-dlq-partition", "5"),
            header("kpay-dlq-offset", "77"),
        ];
        self.stored(Stored { at_ms, key: b"k-1".to_vec(), value: value.to_vec(), headers })
    }

    fn stored(&self, stored: Stored) -> String {
        let partition = usize::try_from(stored.at_ms).unwrap() % PARTITIONS;
        let records = &mut self.shelf.lock().dlq[partition];
        // As a transaction's marker in Kafka.
        records.push(None);
        records.push(Some(stored));
        format!("{partition}-{}", records.len() - 1)
    }

    /// The ids of every page.
    async fn pages(&self, query: &str) -> Vec<Vec<String>> {
        let mut pages = Vec::new();
        let mut after = String::new();
        loop {
            let got = self.get(&format!("/v1/dead-letters?{query}{after}")).await;
            assert_eq!(got.status, StatusCode::OK, "{}", got.text);
            let page = got.json();
            let letters = page["deadLetters"].as_array().unwrap();
            pages.push(letters.iter().map(|letter| letter["id"].as_str().unwrap().to_owned()).collect());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return pages,
            }
        }
    }

    /// Replays one, and says how that went.
    async fn replay(&self, id: &str) -> Got {
        self.post(&format!("/v1/dead-letters/{id}/replay"), ORDER).await
    }

    /// How many records were appended to where their letters came from.
    fn count(&self) -> usize {
        self.shelf.lock().replayed.len()
    }
}

fn debit() -> Vec<u8> {
    let payment = Payment {
        id: PaymentId::new("p-1").unwrap(),
        from: AccountId::new("alice").unwrap(),
        to: AccountId::new("bob").unwrap(),
        amount: Money::new(5, Currency::new("USD").unwrap()),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    };
    let mut bytes = Vec::new();
    Command::Debit { payment, accepted_at_ms: 1 }.encode(&mut bytes);
    bytes
}

#[tokio::test]
async fn the_newest_letters_come_first_and_every_page_goes_on_where_the_last_one_ended() {
    let gateway = gateway();
    assert_eq!(gateway.pages("").await, [Vec::<String>::new()]);
    let mut ids: Vec<String> =
        (1..=50).map(|at_ms| gateway.letter(at_ms, "json_invalid", StageName::Inflight, b"{")).collect();
    ids.reverse();
    let pages = gateway.pages("limit=7").await;
    assert_eq!(pages.iter().map(Vec::len).max(), Some(7));
    assert_eq!(pages.concat(), ids);
    assert_eq!(gateway.pages("limit=100").await, [ids.clone()]);
    // What comes in between two pages does not shift the second one.
    let first = gateway.get("/v1/dead-letters?limit=10").await.json();
    gateway.letter(60, "json_invalid", StageName::Inflight, b"{");
    let next = first["next"].as_str().unwrap();
    let second = gateway.get(&format!("/v1/dead-letters?limit=1&after={next}")).await.json();
    assert_eq!(second["deadLetters"][0]["id"], ids[10]);
}

#[tokio::test]
async fn a_filter_that_takes_few_looks_at_a_bounded_part_and_finds_them_in_the_end() {
    let gateway = gateway();
    let wanted = gateway.letter(1, "id_invalid", StageName::Account, b"x");
    for at_ms in 2..20_000 {
        gateway.letter(at_ms, "json_invalid", StageName::Inflight, b"{");
    }
    // Once to learn what was replayed.
    gateway.get("/v1/dead-letters").await;
    for query in ["code=id_invalid", "stage=account", "topic=payment.inflight", "topic=t.payment.inflight"] {
        gateway.shelf.lock().looked_at = 0;
        let first = gateway.get(&format!("/v1/dead-letters?{query}")).await.json();
        assert_eq!(first["deadLetters"], json!([]));
        assert!(gateway.shelf.lock().looked_at < 6_000, "{}", gateway.shelf.lock().looked_at);
        let pages = gateway.pages(query).await;
        assert!(pages.len() > 3, "{}", pages.len());
        assert_eq!(pages.concat(), [wanted.as_str()], "{query}");
    }
}

#[tokio::test]
async fn a_letter_is_shown_with_its_headers_its_bytes_and_what_they_mean() {
    let gateway = gateway();
    let id = gateway.letter(1_000, "amount_not_integer", StageName::Inflight, br#"{"id": "x"}"#);
    let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
    assert_eq!((&shown["code"], &shown["replays"]), (&json!("amount_not_integer"), &json!(0)));
    assert_eq!(shown["at"], "1970-01-01T00:00:01.000Z");
    assert_eq!(shown["source"], json!({"topic": "t.payment.incoming", "partition": 5, "offset": 77}));
    assert_eq!(shown["headers"], json!([{"name": "content-type", "text": "application/json"}]));
    let value = json!({
        "bytes": 11, "hex": "7b226964223a202278227d", "text": r#"{"id": "x"}"#, "decoded": {"id": "x"},
    });
    assert_eq!((&shown["value"], &shown["history"]), (&value, &json!([])));
    let id = gateway.letter(1_001, "enum_unknown", StageName::Account, &debit());
    let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
    let of = json!({"id": "p-1", "from": "alice", "to": "bob", "amount": {"value": 5, "currency": "USD"}});
    assert_eq!(shown["value"]["decoded"], json!({"step": "debit", "account": "alice", "of": of}));
    assert_eq!(shown["value"]["text"], Value::Null);
    for unknown in ["0-0", "0-999", "7-1"] {
        gateway.get(&format!("/v1/dead-letters/{unknown}")).await.assert_problem(
            404,
            "letter_unknown",
            Some("id"),
        );
    }
    for bad in ["x", "0", "-1-2", "0--2", "00-1", "0-01", "0-+1", "0-99999999999999999999"] {
        gateway.get(&format!("/v1/dead-letters/{bad}")).await.assert_problem(400, "id_invalid", Some("id"));
    }
}

#[tokio::test]
async fn a_replay_goes_back_once_and_says_who_and_why() {
    let gateway = gateway();
    let id = gateway.letter(1, "enum_unknown", StageName::Account, &debit());
    let done = gateway.replay(&id).await;
    assert_eq!((done.status, &done.json()["status"]), (StatusCode::OK, &json!("replayed")), "{}", done.text);
    assert_eq!(done.json()["replay"]["by"], "maria");
    let other = r#"{"by": "otto", "reason": "to be sure"}"#;
    let again = gateway.post(&format!("/v1/dead-letters/{id}/replay"), other).await;
    let told = again.json();
    assert_eq!((&told["status"], &told["replay"]), (&json!("already_replayed"), &done.json()["replay"]));
    // Also by a gateway that has just started.
    let fresh = gateway_with(Arc::clone(&gateway.shelf), None);
    assert_eq!(fresh.replay(&id).await.json()["status"], "already_replayed");
    assert_eq!(gateway.count(), 1);
    {
        let shelf = gateway.shelf.lock();
        let record = &shelf.replayed[0];
        assert_eq!(record.topic, TopicName::Inflight);
        assert_eq!(record.partition, kpay_kafka::partition::partition_of(b"k-1", 8));
        assert_eq!((record.key.as_slice(), &record.value), (b"k-1".as_slice(), &debit()));
        let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
        let own = ["kpay-dlq-history", "kpay-dlq-replay-of", "kpay-dlq-replays"];
        assert_eq!(names, ["content-type", own[0], own[1], own[2]]);
        let mark = shelf.dlq.iter().flatten().flatten().last().unwrap();
        let mark: Value = serde_json::from_slice(&mark.value).unwrap();
        assert_eq!((&mark["who"], &mark["why"]), (&json!("maria"), &json!("mended")));
        assert_eq!((&mark["what"], &mark["target"]["letter"]), (&json!("dead_letter_replayed"), &json!(id)));
    }
    let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
    assert_eq!((&shown["replays"], &shown["replay"]), (&json!(1), &done.json()["replay"]));
    let list = gateway.get("/v1/dead-letters").await.json();
    assert_eq!(list["deadLetters"].as_array().unwrap().len(), 1, "the mark is no letter: {list}");
    assert_eq!(list["deadLetters"][0]["replayedAt"], "1970-01-01T00:00:09.000Z");
}

#[tokio::test]
async fn a_record_that_fails_again_has_its_history_over_many_replays() {
    let gateway = gateway();
    let mut id = gateway.letter(1, "json_invalid", StageName::Inflight, b"{");
    let mut ids = vec![];
    for round in 1..=20 {
        assert_eq!(gateway.replay(&id).await.json()["status"], "replayed");
        // The stage refuses it again, and keeps the headers.
        let mut headers = gateway.shelf.lock().replayed.last().unwrap().headers.clone();
        headers.extend([
            header("kpay-dlq-code", "field_missing"),
            header("kpay-dlq-topic", "t.payment.incoming"),
        ]);
        ids.push(std::mem::take(&mut id));
        id = gateway.stored(Stored { at_ms: round, key: vec![], value: b"{".to_vec(), headers });
        let shown = gateway.get(&format!("/v1/dead-letters/{id}")).await.json();
        assert_eq!((&shown["replays"], &shown["code"]), (&json!(round), &json!("field_missing")));
        let history = shown["history"].as_array().unwrap();
        let letters: Vec<&str> = history.iter().map(|failure| failure["letter"].as_str().unwrap()).collect();
        assert_eq!(letters, ids[ids.len().saturating_sub(16)..], "bounded, and the newest");
        assert_eq!(history.last().unwrap()["replayed"]["reason"], "mended");
        assert_eq!(shown["headers"].as_array().unwrap().len(), 1, "the sender's own");
        if round == 1 {
            assert_eq!(history[0]["code"], "json_invalid");
        }
    }
    // Without a key it goes where it was.
    assert_eq!(gateway.shelf.lock().replayed[0].partition, kpay_kafka::partition::partition_of(b"k-1", 8));
}

#[tokio::test]
async fn whatever_happens_to_a_replay_its_repetition_has_one_effect() {
    let gateway = gateway();
    let id = gateway.letter(1, "enum_unknown", StageName::Account, &debit());
    gateway.shelf.lock().fence_next = true;
    gateway.replay(&id).await.assert_problem(503, "letters_unavailable", None);
    assert_eq!(gateway.count(), 0, "another one is the replayer now");
    gateway.shelf.lock().reads_fail = true;
    gateway.replay(&id).await.assert_problem(503, "letters_unavailable", None);
    gateway.shelf.lock().reads_fail = false;
    gateway.shelf.lock().answer_lost = true;
    gateway.replay(&id).await.assert_problem(503, "letters_unavailable", None);
    assert_eq!(gateway.replay(&id).await.json()["status"], "already_replayed");
    assert_eq!(gateway.count(), 1);
}

#[tokio::test]
async fn two_gateways_that_replay_at_one_time_move_the_money_once() {
    let gateway = gateway();
    let other = gateway_with(Arc::clone(&gateway.shelf), None);
    let ids: Vec<String> =
        (1..=30).map(|at_ms| gateway.letter(at_ms, "enum_unknown", StageName::Account, &debit())).collect();
    let all = r#"{"by": "otto", "reason": "all"}"#;
    let (many, more) =
        (gateway.post("/v1/dead-letters/replay", all), other.post("/v1/dead-letters/replay", all));
    let single = async {
        for id in &ids {
            other.replay(id).await;
        }
    };
    tokio::join!(many, more, single);
    for id in &ids {
        let status = gateway.replay(id).await.status;
        assert_eq!(status, StatusCode::OK);
    }
    let shelf = gateway.shelf.lock();
    let replayed = shelf.replayed.iter().flat_map(|record| &record.headers);
    let of: Vec<&Vec<u8>> = replayed.filter(|(n, _)| n == "kpay-dlq-replay-of").map(|(_, id)| id).collect();
    assert_eq!((of.len(), of.iter().collect::<BTreeSet<_>>().len()), (30, 30));
}

#[tokio::test]
async fn a_step_inside_the_pipeline_waits_while_nothing_may_move() {
    let gateway = gateway();
    let step = gateway.letter(1, "enum_unknown", StageName::Account, &debit());
    let intake = gateway.letter(2, "json_invalid", StageName::Inflight, b"{");
    for phase in [Some(Phase::Paused), Some(Phase::Failed), None] {
        gateway.phase.send_replace(phase.map(learned));
        gateway.replay(&step).await.assert_problem(409, "pipeline_paused", Some("id"));
        let many = gateway
            .post("/v1/dead-letters/replay", r#"{"filter": {"stage": "account"}, "by": "a", "reason": "b"}"#);
        assert_eq!(many.await.json()["skipped"], json!([{"id": step, "code": "pipeline_paused"}]));
    }
    assert_eq!(gateway.replay(&intake).await.json()["status"], "replayed", "the stage holds it back itself");
    gateway.phase.send_replace(Some(learned(Phase::Draining)));
    assert_eq!(gateway.replay(&step).await.json()["status"], "replayed", "a drain needs it");
}

#[tokio::test]
async fn what_cannot_be_replayed_is_refused_with_a_reason() {
    let gateway = gateway();
    let large = gateway.letter(1, "record_too_large", StageName::Inflight, &vec![0; 1_000_000]);
    gateway.replay(&large).await.assert_problem(409, "letter_too_large", Some("id"));
    let headers = vec![header("kpay-dlq-code", "c"), header("kpay-dlq-topic", "other.payment.inflight")];
    let foreign = gateway.stored(Stored { at_ms: 2, key: vec![], value: debit(), headers });
    gateway.replay(&foreign).await.assert_problem(409, "letter_source_unknown", Some("id"));
    gateway.replay("0-999").await.assert_problem(404, "letter_unknown", Some("id"));
    assert_eq!(gateway.count(), 0);
    let long = json!({"by": "x".repeat(129), "reason": "b"}).to_string();
    for (body, code, field) in [
        ("{", "json_invalid", "body"),
        (r#"{"by": 1}"#, "field_type", "body"),
        (r#"{"reason": "b"}"#, "field_missing", "by"),
        (r#"{"by": "a", "reason": " "}"#, "field_missing", "reason"),
        (&long, "text_too_long", "by"),
        (r#"{"by": "a", "reason": "b", "max": 0}"#, "parameter_invalid", "max"),
        (r#"{"by": "a", "reason": "b", "after": "x"}"#, "parameter_invalid", "after"),
        (r#"{"by": "a", "reason": "b", "filter": {"before": "soon"}}"#, "parameter_invalid", "filter.before"),
    ] {
        gateway.post("/v1/dead-letters/replay", body.to_owned()).await.assert_problem(400, code, Some(field));
    }
    for (query, field) in
        [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("after=-1", "after")]
    {
        let got = gateway.get(&format!("/v1/dead-letters?{query}")).await;
        got.assert_problem(400, "parameter_invalid", Some(field));
    }
}

#[tokio::test]
async fn many_are_replayed_by_filter_in_parts_and_a_repetition_does_nothing() {
    let gateway = gateway();
    for at_ms in 1..=40 {
        let code = if at_ms % 2 == 0 { "json_invalid" } else { "id_invalid" };
        gateway.letter(at_ms, code, StageName::Inflight, b"{");
    }
    let order = |after: Option<&str>| {
        json!({
            "filter": {"code": "json_invalid", "topic": "payment.incoming", "before": "1970-01-01T00:00:00.031Z"},
            "max": 4, "by": "maria", "reason": "mended", "after": after,
        })
        .to_string()
    };
    let mut replayed = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let got = gateway.post("/v1/dead-letters/replay", order(after.as_deref())).await.json();
        let ids = got["replayed"].as_array().unwrap();
        assert!(ids.len() <= 4 && got["skipped"] == json!([]), "{got}");
        replayed.extend(ids.clone());
        match got["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!((replayed.len(), gateway.count()), (15, 15));
    let got = gateway.post("/v1/dead-letters/replay", order(None)).await.json();
    assert_eq!(got, json!({"replayed": [], "skipped": []}));
    assert_eq!(gateway.count(), 15);
}

#[tokio::test]
async fn a_dry_run_names_what_would_be_replayed_and_replays_nothing() {
    let gateway = gateway();
    let good = gateway.letter(1, "json_invalid", StageName::Inflight, b"{");
    let large = gateway.letter(2, "json_invalid", StageName::Inflight, &vec![0; 1_000_000]);
    let order = |dry_run: bool| json!({"dryRun": dry_run, "by": "maria", "reason": "mended"}).to_string();
    let skipped = json!([{"id": large, "code": "letter_too_large"}]);
    for _ in 0..2 {
        let got = gateway.post("/v1/dead-letters/replay", order(true)).await.json();
        assert_eq!((&got["replayed"], &got["skipped"]), (&json!([good]), &skipped));
        assert_eq!(gateway.count(), 0);
    }
    let got = gateway.post("/v1/dead-letters/replay", order(false)).await.json();
    assert_eq!((&got["replayed"], gateway.count()), (&json!([good]), 1));
    let got = gateway.post("/v1/dead-letters/replay", order(true)).await.json();
    assert_eq!((&got["replayed"], &got["skipped"]), (&json!([]), &skipped));
}
