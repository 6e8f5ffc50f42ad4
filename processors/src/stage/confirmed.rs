//! The confirmed stage: publishes every outcome, counts what is finished, knows how a payment ended.

use std::sync::Arc;

use kpay_domain::fingerprint::id_hash;
use kpay_domain::{Intake, Outcome, Progress, Status, confirmed};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{DeadLetter, Out, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::stage::Stage;

use crate::ids::{CommittedIds, Ids, Known};
use crate::names::{Names, StageName, TopicName};
use crate::stage::change::Changes;
use crate::stage::counters::{Counters, Pending};
use crate::stage::figures::Figures;
use crate::stage::windows::Paid;

const STAGE: StageName = StageName::Confirmed;
const DAY_MS: i64 = 86_400_000;

/// State and outputs of the stage. What it knows of an id is where its outcome lies; the log has the rest.
pub struct ConfirmedStage {
    confirmed: TopicIndex,
    complete: TopicIndex,
    dlq: TopicIndex,
    complete_name: String,
    source: String,
    ids: Ids,
    finished: Changes<Finished>,
    figures: Arc<Figures>,
    latencies_ms: Vec<i64>,
    paid: Paid,
    counters: Arc<Counters>,
    pending: Pending,
}

/// What one partition has finished: since its topics were made, and on the current day (UTC).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Since the topics were made.
    pub total: Progress,
    /// Days since 1970.
    pub day: i64,
    /// On that day, confirmed payments only.
    pub today: Progress,
}

impl Finished {
    /// `<total>|<day>|<today>`; empty text is the beginning.
    pub fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let mut parts = text.splitn(3, '|');
        let total = Progress::from_text(parts.next()?).ok()?;
        let day = parts.next()?.parse().ok()?;
        let today = Progress::from_text(parts.next()?).ok()?;
        Some(Self { total, day, today })
    }

    fn to_text(&self) -> String {
        format!("{}|{}|{}", self.total.to_text(), self.day, self.today.to_text())
    }

    fn record(&mut self, outcome: &Outcome, now_ms: i64) {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            self.today = Progress::default();
        }
        self.total.finish(outcome);
        if outcome.status == Status::Confirmed && matches!(outcome.subject, Intake::Payment(_)) {
            self.today.record(&outcome.subject);
        }
    }
}

impl ConfirmedStage {
    /// A stage whose known outcomes are `shared` with the pod's queries. `source` is the `ce_source` of what it
    /// publishes.
    pub fn new(
        names: &Names,
        source: String,
        shared: Arc<CommittedIds>,
        window_ms: i64,
        figures: Arc<Figures>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            confirmed: STAGE.index(TopicName::Confirmed),
            complete: STAGE.index(TopicName::Complete),
            dlq: STAGE.index(TopicName::Dlq),
            complete_name: names.topic(TopicName::Complete),
            source,
            ids: Ids::new(shared, window_ms),
            finished: Changes::default(),
            figures,
            latencies_ms: Vec::new(),
            paid: Paid::default(),
            counters,
            pending: Pending::default(),
        }
    }

    fn count(&mut self, partition: i32, outcome: &Outcome, now_ms: i64) {
        match outcome.status {
            Status::Confirmed => self.pending.confirmed += 1,
            Status::Rejected(_) => self.pending.rejected += 1,
            Status::Reversed(_) => self.pending.reversed += 1,
            Status::Held(_) => self.pending.held += 1,
        }
        if let Some(finished) = self.finished.get_mut(partition) {
            finished.record(outcome, now_ms);
        }
        let latency_ms = now_ms - outcome.accepted_at_ms;
        // Where a person had to decide, the time says nothing of the pipeline.
        if !outcome.is_decided() {
            self.latencies_ms.push(latency_ms);
        }
        if let (Status::Confirmed, Intake::Payment(payment)) = (&outcome.status, &outcome.subject) {
            self.paid.add(&payment.id, payment.amount, latency_ms, now_ms);
        }
    }
}

impl Stage for ConfirmedStage {
    fn restore(
        &mut self,
        partition: i32,
        committed: i64,
        metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        let Some(finished) = Finished::from_text(metadata) else {
            return Err(LogError::Unavailable(format!("metadata {metadata:?} of partition {partition}")));
        };
        self.finished.restore(partition, finished);
        self.ids.restore(partition);
        let from = Start::Timestamp(reader.now_ms().saturating_sub(self.ids.window_ms()));
        let Self { ids, complete, .. } = self;
        reader.read(*complete, partition, from, Until::Offset(committed), &mut |record| {
            // The key is the id: no need to read the value.
            if let Ok(id) = std::str::from_utf8(record.key) {
                let known = Known { tag: 0, offset: record.offset };
                // A held payment has a second outcome: the newest counts.
                ids.replaced(partition, id_hash(id), known, record.timestamp_ms);
            }
        })?;
        self.ids.publish(partition);
        Ok(())
    }

    fn revoke(&mut self, partition: i32) {
        self.ids.revoke(partition);
        self.finished.revoke(partition);
    }

    fn process(&mut self, record: &Record<'_>, now_ms: i64, out: &mut Out) {
        let outcome = match Outcome::decode(record.value) {
            Ok(outcome) => outcome,
            Err(malformed) => {
                self.pending.dead_letters += 1;
                let (source_topic, detail) = (&self.complete_name, &malformed.to_string());
                let stage = STAGE.as_str();
                let letter = DeadLetter { record, source_topic, stage, code: malformed.code, detail };
                return out.dead_letter(self.dlq, &letter);
            }
        };
        let id = outcome.id().as_str();
        let known = Known { tag: 0, offset: record.offset };
        if outcome.is_decided() {
            self.ids.replace(record.partition, id_hash(id), known, record.timestamp_ms);
        } else {
            self.ids.insert(record.partition, id_hash(id), known, record.timestamp_ms);
        }
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut headers: Vec<_> =
            confirmed::headers(&outcome).into_iter().map(|(name, value)| header(name, value)).collect();
        headers.push(header("ce_source", &self.source));
        out.send_with_headers(self.confirmed, id.as_bytes(), headers, |b| confirmed::to_json(&outcome, b));
        self.count(record.partition, &outcome, now_ms);
    }

    fn metadata(&self, partition: i32) -> String {
        self.finished.get(partition).map(Finished::to_text).unwrap_or_default()
    }

    fn commit(&mut self) {
        // Before the outcomes can be seen: who has seen one finds it counted.
        self.figures.record(&self.latencies_ms, self.pending.rejected + self.pending.reversed);
        self.latencies_ms.clear();
        self.figures.record_paid(&self.paid);
        self.paid.clear();
        self.ids.fold();
        self.finished.fold();
        self.pending.fold(&self.counters);
    }

    fn abort(&mut self) {
        self.ids.discard();
        self.finished.discard();
        self.latencies_ms.clear();
        self.paid.clear();
        self.pending = Pending::default();
    }
}
