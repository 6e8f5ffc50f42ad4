//! The inflight stage: a known id, a readable request, the checks of the request → accepted, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use kpay_domain::fingerprint::{fingerprint, id_hash};
use kpay_domain::inflight::{Admission, decide};
use kpay_domain::{Accepted, Intake, Malformed, Policy, Progress, intake};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{DeadLetter, Out, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::stage::Stage;

use crate::ids::{CommittedIds, Ids, Known, tag_of};
use crate::live::Live;
use crate::names::{Names, StageName, TopicName};
use crate::stage::change::Changes;
use crate::stage::counters::{Counters, Pending};

const STAGE: StageName = StageName::Inflight;

/// State and outputs of the stage. Its ids are rebuilt from `payment.incoming` itself.
pub struct InflightStage {
    incoming: TopicIndex,
    inflight: TopicIndex,
    complete: TopicIndex,
    dlq: TopicIndex,
    incoming_name: String,
    incoming_partitions: i32,
    policy: Live<Policy>,
    ids: Ids,
    progress: Changes<Progress>,
    /// Where the intake of each partition began.
    starts: BTreeMap<i32, i64>,
    counters: Arc<Counters>,
    pending: Pending,
}

impl InflightStage {
    /// A stage whose known ids are `shared` with the pod's queries. `window_ms` is how long an id is remembered.
    pub fn new(
        names: &Names,
        incoming_partitions: i32,
        policy: Live<Policy>,
        shared: Arc<CommittedIds>,
        window_ms: i64,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            incoming: STAGE.index(TopicName::Incoming),
            inflight: STAGE.index(TopicName::Inflight),
            complete: STAGE.index(TopicName::Complete),
            dlq: STAGE.index(TopicName::Dlq),
            incoming_name: names.topic(TopicName::Incoming),
            incoming_partitions,
            policy,
            ids: Ids::new(shared, window_ms),
            progress: Changes::default(),
            starts: BTreeMap::new(),
            counters,
            pending: Pending::default(),
        }
    }

    fn dead(&mut self, record: &Record<'_>, code: &'static str, detail: &str, out: &mut Out) {
        self.pending.dead_letters += 1;
        let source_topic = &self.incoming_name;
        out.dead_letter(self.dlq, &DeadLetter { record, source_topic, stage: STAGE.as_str(), code, detail });
    }
}

/// Reads a record of payment.incoming, whatever its form.
pub fn read(record: &Record<'_>) -> Result<Intake, Malformed> {
    let text = |name| record.headers.get(name).and_then(|v| std::str::from_utf8(v).ok());
    intake::parse(record.value, text("content-type"), text("kpay-kind"))
}

impl Stage for InflightStage {
    fn restore(
        &mut self,
        partition: i32,
        committed: i64,
        metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        // Empty metadata: there was no commit yet.
        let Accepted { progress, start } = match metadata {
            "" => Accepted::default(),
            text => Accepted::from_text(text).map_err(|e| {
                LogError::Unavailable(format!("metadata {text:?} of partition {partition}: {e}"))
            })?,
        };
        self.progress.restore(partition, progress);
        self.starts.insert(partition, start);
        self.ids.restore(partition);
        if committed <= start {
            self.ids.publish(partition);
            return Ok(());
        }
        let now_ms = reader.now_ms();
        let from = Start::Timestamp(now_ms.saturating_sub(self.ids.window_ms()));
        let Self { ids, incoming, incoming_partitions, .. } = self;
        reader.read(*incoming, partition, from, Until::Offset(committed), &mut |record| {
            // What was passed over at the first start was never accepted: its ids are not known.
            if record.offset < start {
                return;
            }
            if let Ok(intake) = read(record) {
                let id = intake.id().as_str();
                let home = kpay_kafka::partition::partition_of(id.as_bytes(), *incoming_partitions);
                if home == partition {
                    let known = Known { tag: tag_of(fingerprint(&intake)), offset: record.offset };
                    ids.restored(partition, id_hash(id), known, record.timestamp_ms.min(now_ms));
                }
            }
        })?;
        self.ids.publish(partition);
        Ok(())
    }

    fn revoke(&mut self, partition: i32) {
        self.ids.revoke(partition);
        self.progress.revoke(partition);
        self.starts.remove(&partition);
    }

    fn process(&mut self, record: &Record<'_>, now_ms: i64, out: &mut Out) {
        self.pending.received += 1;
        let intake = match read(record) {
            Ok(intake) => intake,
            Err(malformed) => return self.dead(record, malformed.code, &malformed.to_string(), out),
        };
        let id = intake.id();
        if out.partition_of(self.incoming, id.as_str().as_bytes()) != record.partition {
            // Its copies lie in the partition of the id; there, and only there, they can be told apart.
            let mut headers = Vec::new();
            record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.to_vec())));
            self.pending.rekeyed += 1;
            out.send_with_headers(self.incoming, id.as_str().as_bytes(), headers, |buffer| {
                buffer.extend_from_slice(record.value);
            });
            return;
        }
        let hash = id_hash(id.as_str());
        let tag = tag_of(fingerprint(&intake));
        match self.ids.get(record.partition, &hash) {
            Some(known) if known.tag == tag => {
                self.pending.duplicates += 1;
                return;
            }
            Some(_) => {
                let detail = "the id was used before with another body";
                return self.dead(record, "idempotency_conflict", detail, out);
            }
            None => {}
        }
        // By when it is read, not by what its sender says: a timestamp before the window would be forgotten at once, one in
        // the future would make the window forget what is recent. (The topic is stamped by the broker, for the restore.)
        self.ids.insert(record.partition, hash, Known { tag, offset: record.offset }, now_ms);
        if let Some(progress) = self.progress.get_mut(record.partition) {
            progress.record(&intake);
        }
        self.pending.accepted += 1;
        match decide(intake, self.policy.get(), now_ms) {
            Admission::Accept(command) => {
                out.send(self.inflight, command.account_id().as_str().as_bytes(), |b| command.encode(b));
            }
            Admission::Reject(outcome) => {
                out.send(self.complete, outcome.id().as_str().as_bytes(), |b| outcome.encode(b));
            }
        }
    }

    fn metadata(&self, partition: i32) -> String {
        let start = self.starts.get(&partition).copied().unwrap_or(0);
        let accepted =
            self.progress.get(partition).map(|progress| Accepted { progress: progress.clone(), start });
        accepted.map(|accepted| accepted.to_text()).unwrap_or_default()
    }

    fn commit(&mut self) {
        self.ids.fold();
        self.progress.fold();
        self.pending.fold(&self.counters);
    }

    fn abort(&mut self) {
        self.ids.discard();
        self.progress.discard();
        self.pending = Pending::default();
    }
}

#[cfg(test)]
mod tests;
