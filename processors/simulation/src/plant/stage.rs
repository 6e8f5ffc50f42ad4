//! A stage between the worker and the real one.

use std::collections::HashMap;

use kpay::names::{StageName, TopicName};
use kpay_domain::{AccountSnapshot, Command, EntryKind, LedgerEntry, Outcome, Payment, Status};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{Out, Topic, TopicIndex};
use kpay_streams::record::Record;
use kpay_streams::stage::Stage;

use super::StagePlant;

/// The real stage, with a mistake or without.
pub struct PlantedStage {
    inner: Box<dyn Stage>,
    stage: StageName,
    plant: Option<StagePlant>,
    scratch: Out,
    processed: u64,
    sent: u64,
    /// What each account has, as far as it was told; of the mistake with the funds.
    balances: HashMap<String, i64>,
}

/// What becomes of a record that the stage sends.
enum Fate {
    Keep,
    Drop,
    Twice,
    Bare,
    Value(Vec<u8>),
    Key(Vec<u8>),
}

impl PlantedStage {
    /// Around a stage that writes to `topics`.
    pub fn new(inner: Box<dyn Stage>, stage: StageName, topics: &[Topic], plant: Option<StagePlant>) -> Self {
        Self {
            inner,
            stage,
            plant,
            scratch: Out::new(topics),
            processed: 0,
            sent: 0,
            balances: HashMap::new(),
        }
    }

    fn is(&self, plant: StagePlant) -> bool {
        self.plant == Some(plant)
    }

    /// Hands on what the stage has sent, with the mistake in it.
    fn hand_on(&mut self, out: &mut Out) {
        let Some(plant) = self.plant else { return };
        let scratch = std::mem::replace(&mut self.scratch, Out::new(&[]));
        for record in scratch.iter() {
            let topic = self.stage.topics()[record.topic.0];
            let value = record.value.unwrap_or_default();
            self.sent += 1;
            if topic == TopicName::Ledger
                && let Ok(entry) = LedgerEntry::decode(value)
            {
                self.balances.insert(entry.account.as_str().to_owned(), entry.balance_minor);
            }
            let (mut key, mut bytes, mut headers) = (record.key.to_vec(), value.to_vec(), record.headers);
            let mut partition = record.partition;
            let mut copies = 1;
            match fate(plant, topic, record.key, value, self.sent) {
                Fate::Keep => {}
                Fate::Drop => copies = 0,
                Fate::Twice => copies = 2,
                Fate::Bare => headers = &[],
                Fate::Value(changed) => bytes = changed,
                Fate::Key(changed) => {
                    partition = out.partition_of(record.topic, &changed);
                    key = changed;
                }
            }
            for _ in 0..copies {
                if headers.is_empty() {
                    out.send_to(record.topic, partition, &key, |b| b.extend_from_slice(&bytes));
                } else {
                    out.send_with_headers(record.topic, &key, headers.to_vec(), |b| {
                        b.extend_from_slice(&bytes);
                    });
                }
            }
        }
        self.scratch = scratch;
        self.scratch.clear();
    }
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Fate {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    Fate::Value(bytes)
}

fn fate(plant: StagePlant, topic: TopicName, key: &[u8], value: &[u8], sent: u64) -> Fate {
    let some = sent.is_multiple_of(10);
    match (topic, plant) {
        (TopicName::Ledger, _) => ledger(plant, value, some),
        (TopicName::Inflight, _) => command(plant, value),
        (TopicName::Complete, _) => outcome(plant, value, some),
        (TopicName::Dlq, StagePlant::LetterLost) | (TopicName::Incoming, StagePlant::RekeyLost) => Fate::Drop,
        (TopicName::Dlq, StagePlant::LetterTwice) => Fate::Twice,
        (TopicName::Confirmed, StagePlant::OutcomeTwice) if some => Fate::Twice,
        (TopicName::Incoming, StagePlant::RekeyBare) => Fate::Bare,
        (TopicName::Confirmed, StagePlant::JsonWrong) => {
            let text = String::from_utf8_lossy(value).replace("\"rejected\"", "\"confirmed\"");
            Fate::Value(text.into_bytes())
        }
        (TopicName::Checkpoints, StagePlant::MarkerEarly) if key.starts_with(b"\0round") => {
            let at_ms = value.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes));
            Fate::Value((at_ms + 60_000).to_be_bytes().to_vec())
        }
        (TopicName::Checkpoints, StagePlant::LaneUnnoted) if key.starts_with(b"\0f") => Fate::Drop,
        (TopicName::Checkpoints, StagePlant::WaitingUnnoted) if key.starts_with(b"\0w") => Fate::Drop,
        (TopicName::Checkpoints, StagePlant::RefundUnnoted) if key.starts_with(b"\0b") => Fate::Drop,
        (TopicName::Checkpoints, StagePlant::HoldUnnoted) if key.starts_with(b"\0h") && !value.is_empty() => {
            Fate::Drop
        }
        (TopicName::Checkpoints, StagePlant::HoldEndUnnoted)
            if key.starts_with(b"\0h") && value.is_empty() =>
        {
            Fate::Drop
        }
        (TopicName::Checkpoints, StagePlant::SnapshotWrong) => match AccountSnapshot::decode(value) {
            Ok(mut snapshot) if some => {
                snapshot.state.balance_minor += 1;
                encoded(|b| snapshot.encode(b))
            }
            _ => Fate::Keep,
        },
        _ => Fate::Keep,
    }
}

fn ledger(plant: StagePlant, value: &[u8], some: bool) -> Fate {
    let Ok(mut entry) = LedgerEntry::decode(value) else { return Fate::Keep };
    match plant {
        StagePlant::BalanceWrong if some => entry.balance_minor += 1,
        StagePlant::VersionWrong if some => entry.version = entry.version.saturating_sub(1),
        StagePlant::OutflowLost if entry.outflow.count > 0 => entry.outflow = kpay_domain::Outflow::NONE,
        StagePlant::EntryLost if some => return Fate::Drop,
        StagePlant::CreditTwice if entry.kind == EntryKind::Credit => {
            entry.amount.minor *= 2;
            entry.balance_minor += entry.amount.minor / 2;
        }
        _ => return Fate::Keep,
    }
    encoded(|b| entry.encode(b))
}

fn command(plant: StagePlant, value: &[u8]) -> Fate {
    match (plant, Command::decode(value)) {
        (StagePlant::ReverseLost, Ok(Command::Reverse { .. }))
        | (StagePlant::SettledLost, Ok(Command::Settled { .. }))
        | (StagePlant::CreditLost, Ok(Command::Credit { .. })) => Fate::Drop,
        (StagePlant::CommandElsewhere, Ok(Command::Debit { payment, .. })) => {
            Fate::Key(payment.to.as_str().as_bytes().to_vec())
        }
        (StagePlant::CommandElsewhere, Ok(Command::Credit { payment, .. })) => {
            Fate::Key(payment.from.as_str().as_bytes().to_vec())
        }
        _ => Fate::Keep,
    }
}

fn outcome(plant: StagePlant, value: &[u8], some: bool) -> Fate {
    match plant {
        StagePlant::OutcomeLost if some => Fate::Drop,
        StagePlant::OutcomeTwice if some => Fate::Twice,
        StagePlant::HoldUntold => match Outcome::decode(value) {
            Ok(mut outcome) if outcome.hold.as_ref().is_some_and(|hold| hold.decided.is_some()) => {
                outcome.hold = None;
                encoded(|b| outcome.encode(b))
            }
            _ => Fate::Keep,
        },
        StagePlant::OutcomeUntrue => match Outcome::decode(value) {
            Ok(mut outcome) if matches!(outcome.status, Status::Rejected(_)) => {
                outcome.status = Status::Confirmed;
                encoded(|b| outcome.encode(b))
            }
            _ => Fate::Keep,
        },
        _ => Fate::Keep,
    }
}

/// Reads less than it is asked for.
struct ShortReader<'a> {
    inner: &'a mut dyn Reader,
    nothing: bool,
    skips: Option<TopicIndex>,
}

impl Reader for ShortReader<'_> {
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        let skipped = self.nothing || self.skips == Some(topic);
        self.inner.read(topic, partition, from, until, &mut |record| {
            if !skipped {
                each(record);
            }
        })
    }

    fn now_ms(&self) -> i64 {
        self.inner.now_ms()
    }
}

impl Stage for PlantedStage {
    fn restore(
        &mut self,
        partition: i32,
        committed: i64,
        metadata: &str,
        reader: &mut dyn Reader,
    ) -> Result<(), LogError> {
        let (mut until, mut carried) = (committed, metadata);
        match self.plant {
            Some(StagePlant::RestoreShort) => until = committed - 2,
            Some(StagePlant::RestoreMetadataLost) => carried = "",
            _ => {}
        }
        let ledger = self.stage.topics().iter().position(|t| *t == TopicName::Ledger).map(TopicIndex);
        let skips = ledger.filter(|_| self.is(StagePlant::RestoreLedgerSkipped));
        let nothing = self.is(StagePlant::RestoreNothing);
        let mut reader = ShortReader { inner: reader, nothing, skips };
        self.inner.restore(partition, until, carried, &mut reader)
    }

    fn revoke(&mut self, partition: i32) {
        self.inner.revoke(partition);
    }

    fn process(&mut self, record: &Record<'_>, now_ms: i64, out: &mut Out) {
        if self.plant.is_none() {
            return self.inner.process(record, now_ms, out);
        }
        self.processed += 1;
        let chosen = self.processed.is_multiple_of(20);
        if self.is(StagePlant::RecordSkipped) && chosen {
            return;
        }
        let twice = self.is(StagePlant::RecordTwice) && chosen;
        let unchecked = self.unchecked(record);
        let record = match &unchecked {
            Some((_, _, value)) => Record { value, ..*record },
            None => *record,
        };
        for _ in 0..=usize::from(twice) {
            self.inner.process(&record, now_ms, &mut self.scratch);
        }
        if let Some((payment, paid, _)) = &unchecked {
            self.at_full_price(payment, *paid);
        }
        self.hand_on(out);
        if self.is(StagePlant::FoldBeforeCommit) {
            self.inner.commit();
        }
    }

    fn handles_own(&self) -> bool {
        self.inner.handles_own()
    }

    fn before_commit(&mut self, now_ms: i64, out: &mut Out) {
        if self.plant.is_none() {
            return self.inner.before_commit(now_ms, out);
        }
        self.inner.before_commit(now_ms, &mut self.scratch);
        self.hand_on(out);
    }

    fn metadata(&self, partition: i32) -> String {
        self.inner.metadata(partition)
    }

    fn commit(&mut self) {
        if self.is(StagePlant::FoldSkipped) {
            return self.inner.abort();
        }
        self.inner.commit();
    }

    fn abort(&mut self) {
        if !self.is(StagePlant::OverlayKept) {
            self.inner.abort();
        }
    }
}

impl PlantedStage {
    /// A debit of more than there is, as the stage is told of it: it costs no more than what is there.
    fn unchecked(&self, record: &Record<'_>) -> Option<(Payment, i64, Vec<u8>)> {
        if !self.is(StagePlant::FundsUnchecked) {
            return None;
        }
        let Ok(Command::Debit { payment, accepted_at_ms }) = Command::decode(record.value) else {
            return None;
        };
        let held = *self.balances.get(payment.from.as_str()).filter(|held| **held > 0)?;
        if held >= payment.amount.minor {
            return None;
        }
        let mut cheap = payment.clone();
        cheap.amount.minor = held;
        let mut value = Vec::new();
        Command::Debit { payment: cheap, accepted_at_ms }.encode(&mut value);
        Some((payment, held, value))
    }

    /// Rewrites what a debit that was too cheap has sent to what was to be paid.
    fn at_full_price(&mut self, payment: &Payment, paid: i64) {
        let topics = self.stage.topics();
        let mut rewritten = Vec::new();
        for record in self.scratch.iter() {
            let mut value = record.value.unwrap_or_default().to_vec();
            match topics[record.topic.0] {
                TopicName::Ledger => {
                    if let Ok(mut entry) = LedgerEntry::decode(&value) {
                        let price = payment.amount.minor;
                        entry.amount.minor = -price;
                        entry.balance_minor = (entry.balance_minor + paid).saturating_sub(price);
                        value.clear();
                        entry.encode(&mut value);
                    }
                }
                TopicName::Inflight => {
                    if let Ok(Command::Credit { trail, serial, .. }) = Command::decode(&value) {
                        value.clear();
                        let payment = payment.clone();
                        Command::Credit { payment, trail, serial }.encode(&mut value);
                    }
                }
                TopicName::Complete => {
                    if let Ok(mut outcome) = Outcome::decode(&value) {
                        outcome.subject = kpay_domain::Intake::Payment(payment.clone());
                        value.clear();
                        outcome.encode(&mut value);
                    }
                }
                _ => {}
            }
            rewritten.push((record.topic, record.partition, record.key.to_vec(), value));
        }
        self.scratch.clear();
        for (topic, partition, key, value) in rewritten {
            self.scratch.send_to(topic, partition, &key, |b| b.extend_from_slice(&value));
        }
    }
}
