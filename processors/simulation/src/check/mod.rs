//! The books: what has to hold after every transaction. They follow the journal of the simulated brokers, decide nothing
//! by the product's code, and say what is wrong as soon as it is.
//!
//! A transaction has to be exactly what follows from the input that its offsets cover: nothing less, nothing more, and
//! nothing twice.

mod accounts;
mod end;
mod flow;
mod holds;
mod intake;
mod lanes;
mod progress;
mod published;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use kpay::names::{StageName, TopicName};
use kpay_domain::{Command, Outcome, Payment, Reason, Status};
use kpay_kafka::partition::partition_of;
use kpay_streams::sim::{Decided, SimRecord};

use crate::request::{Body, Request, Sent, Wire};
use crate::topology::{Terms, Topology};

pub use state::View;

use accounts::Accounts;
use lanes::Lanes;
use progress::Tally;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which rule it breaks.
    pub checker: &'static str,
    /// What was seen.
    pub detail: String,
}

pub(crate) type Checked<T = ()> = Result<T, Violation>;

pub(crate) fn wrong<T>(checker: &'static str, detail: impl Into<String>) -> Checked<T> {
    Err(Violation { checker, detail: detail.into() })
}

/// Where an accepted request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// Its first command is written, or its rejection.
    Accepted,
    /// The money left the payer. The credit is written, or is handled in the transaction of the debit.
    Debited { written: bool },
    /// The credit was refused, and the reversal is written.
    Refused(Reason),
    /// The payee has it; the outcome is due in the same transaction.
    Credited,
    /// The payer has it back; the outcome is due in the same transaction.
    Reversed(Reason),
    /// The account command is carried out; the outcome is due in the same transaction.
    Applied,
    /// Another debit of its payer is in flight.
    Waiting,
    /// It has waited, and is decided in the same transaction.
    Turn,
    /// A rule holds it until this time; nothing has moved.
    Held { expires_at_ms: i64 },
    /// It has an outcome.
    Done,
}

/// A request that has a place in the pipeline.
#[derive(Debug)]
struct Known {
    request: Rc<Request>,
    partition: i32,
    offset: i64,
    hash: [u8; 12],
    step: Step,
    /// It was held before, and whether that is published.
    held: Option<bool>,
    published: bool,
}

impl Known {
    /// A held payment is not in flight.
    fn is_over(&self) -> bool {
        self.published || self.step.is_held() && self.held == Some(true)
    }
}

impl Step {
    const fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

/// The input of one transaction: a partition, its offsets, and what the commit carries.
struct Moved<'a> {
    partition: i32,
    from: i64,
    to: i64,
    metadata: &'a str,
}

/// All that was decided so far, and all that was sent.
pub struct Books {
    topics: Vec<TopicName>,
    partitions: HashMap<TopicName, i32>,
    groups: HashMap<String, StageName>,
    wires: HashMap<Wire, Sent>,
    incoming: Vec<BTreeMap<i64, (Wire, Sent)>>,
    commands: Vec<BTreeMap<i64, Rc<Command>>>,
    outcomes: Vec<BTreeMap<i64, Rc<Outcome>>>,
    known: BTreeMap<String, Known>,
    /// The payments that are confirmed, but for refunds.
    paid: Vec<Rc<Request>>,
    accounts: Accounts,
    terms: Terms,
    lanes: Lanes,
    consumed: HashMap<(StageName, i32), i64>,
    accepted: Vec<Tally>,
    finished: Vec<Tally>,
    records: BTreeMap<TopicName, usize>,
    /// Set while the phase is Paused: nothing may move.
    pub paused: bool,
    /// Transactions that were followed.
    pub transactions: u64,
    /// Records of these.
    pub written: u64,
}

impl Books {
    /// Books of a pipeline in which nothing has happened.
    pub fn new(topology: &Topology) -> Self {
        let mut topics: Vec<(usize, TopicName)> = TopicName::ALL
            .into_iter()
            .map(|topic| (topology.cluster.topic_number(&topology.name(topic)).unwrap(), topic))
            .collect();
        topics.sort_by_key(|(number, _)| *number);
        let count = |topic| usize::try_from(topology.partitions(topic)).unwrap();
        Self {
            topics: topics.into_iter().map(|(_, topic)| topic).collect(),
            partitions: TopicName::ALL.into_iter().map(|t| (t, topology.partitions(t))).collect(),
            groups: StageName::ALL.into_iter().map(|s| (topology.names.group(s), s)).collect(),
            wires: HashMap::new(),
            incoming: vec![BTreeMap::new(); count(TopicName::Incoming)],
            commands: vec![BTreeMap::new(); count(TopicName::Inflight)],
            outcomes: vec![BTreeMap::new(); count(TopicName::Complete)],
            known: BTreeMap::new(),
            paid: Vec::new(),
            accounts: Accounts::new(topology.terms),
            terms: topology.terms,
            lanes: Lanes::default(),
            consumed: HashMap::new(),
            accepted: vec![Tally::default(); count(TopicName::Incoming)],
            finished: vec![Tally::default(); count(TopicName::Complete)],
            records: BTreeMap::new(),
            paused: false,
            transactions: 0,
            written: 0,
        }
    }

    /// A client has appended this to payment.incoming.
    pub fn sent(&mut self, partition: i32, offset: i64, wire: &Wire, sent: Sent) {
        *self.records.entry(TopicName::Incoming).or_default() += 1;
        self.wires.insert(wire.clone(), sent.clone());
        self.incoming[index(partition)].insert(offset, (wire.clone(), sent));
    }

    /// Balance and currency of an account that was opened.
    pub fn held(&self, account: &str) -> Option<(i64, &'static str)> {
        self.accounts.held(account)
    }

    /// Requests that are accepted and not finished.
    pub fn in_flight(&self) -> usize {
        self.known.values().filter(|known| !known.is_over()).count()
    }

    /// How many requests were accepted.
    pub fn accepted(&self) -> usize {
        self.known.len()
    }

    /// The payments that are held, with their payers.
    pub fn held_payments(&self) -> Vec<(String, String)> {
        let held = self.known.values().filter(|known| known.step.is_held());
        let payer = |known: &Known| match &known.request.body {
            Body::Payment { from, .. } => Some((known.request.id.clone(), from.clone())),
            _ => None,
        };
        held.filter_map(payer).collect()
    }

    /// The payments that are confirmed, but for refunds.
    pub fn paid(&self) -> &[Rc<Request>] {
        &self.paid
    }

    /// What the account may still pay today, if that is bounded.
    pub fn room(&self, account: &str, now_ms: i64) -> Option<i64> {
        self.accounts.room(account, now_ms)
    }

    /// Follows one transaction.
    pub fn follow(&mut self, decided: &Decided) -> Checked {
        self.transactions += 1;
        self.written += u64::try_from(decided.records.len()).unwrap();
        if self.paused {
            return wrong("paused", format!("a transaction of {} records", decided.records.len()));
        }
        let (stage, moved) = self.moved(decided)?;
        for (topic, _) in &decided.records {
            let topic = self.topics[*topic];
            *self.records.entry(topic).or_default() += 1;
            if !stage.topics().contains(&topic) {
                return wrong("topics", format!("{} wrote {}", stage.as_str(), topic.as_str()));
            }
        }
        match stage {
            StageName::Inflight => self.intake(&moved, decided)?,
            StageName::Account => self.flow(&moved, decided)?,
            StageName::Confirmed => self.published(&moved, decided)?,
        }
        for moved in &moved {
            self.progress(stage, moved)?;
        }
        Ok(())
    }

    /// Which input the transaction has read.
    fn moved<'a>(&mut self, decided: &'a Decided) -> Checked<(StageName, Vec<Moved<'a>>)> {
        let Some((group, _)) = decided.offsets.first() else {
            return wrong("offsets", format!("{} records without an offset", decided.records.len()));
        };
        let stage = self.groups[group];
        let mut moved = Vec::new();
        for (_, offset) in &decided.offsets {
            let consumed = self.consumed.entry((stage, offset.partition)).or_default();
            let (partition, from, to) = (offset.partition, *consumed, offset.next);
            if to <= from {
                return wrong("offsets", format!("{} {partition}: from {from} to {to}", stage.as_str()));
            }
            *consumed = to;
            moved.push(Moved { partition, from, to, metadata: &offset.metadata });
        }
        Ok((stage, moved))
    }

    fn home(&self, topic: TopicName, key: &str) -> i32 {
        partition_of(key.as_bytes(), self.partitions[&topic])
    }

    /// The record lies where its key belongs, and has this key.
    fn placed(&self, topic: TopicName, record: &SimRecord, key: &str) -> Checked {
        let home = self.home(topic, key);
        if record.key != key.as_bytes() || record.partition != home {
            let at = format!("{} {}@{}", topic.as_str(), record.partition, record.offset);
            let is = String::from_utf8_lossy(&record.key).into_owned();
            return wrong("placed", format!("{at} has the key {is}, should be {key} in {home}"));
        }
        Ok(())
    }

    fn outcome(&mut self, record: &SimRecord, outcome: Outcome) -> Checked {
        let id = outcome.id().as_str().to_owned();
        self.placed(TopicName::Complete, record, &id)?;
        let Some(known) = self.known.get_mut(&id) else {
            return wrong("invented", format!("outcome of {id}"));
        };
        if known.step == Step::Done {
            return wrong("one_outcome", format!("{id} has a second outcome"));
        }
        let held = matches!(outcome.status, Status::Held(_));
        let decided = outcome.hold.as_ref().map(|hold| hold.decided.is_some());
        // Both outcomes of a held payment say so, and the second one that it was decided.
        if decided != (held || known.held.is_some()).then_some(!held) {
            return wrong("hold", format!("{outcome:?} of {known:?}"));
        }
        if outcome.status == Status::Confirmed
            && matches!(known.request.body, Body::Payment { refund: None, .. })
        {
            self.paid.push(Rc::clone(&known.request));
        }
        known.step = match &outcome.hold {
            Some(of) if held => {
                known.held = Some(false);
                Step::Held { expires_at_ms: of.expires_at_ms }
            }
            _ => Step::Done,
        };
        if !says(&known.request, &outcome) {
            return wrong("outcome", format!("{outcome:?} is not of {:?}", known.request));
        }
        self.outcomes[index(record.partition)].insert(record.offset, Rc::new(outcome));
        Ok(())
    }
}

fn index(partition: i32) -> usize {
    usize::try_from(partition).unwrap()
}

/// Whether the payment gives back what it should, of what it should.
fn refunds(payment: &Payment, refund: Option<&(String, i64)>) -> bool {
    let says = payment.refund.as_ref().map(|refund| (refund.of.as_str(), refund.amount_minor));
    says == refund.map(|(of, paid)| (of.as_str(), *paid))
}

/// Whether the outcome is of the request, by what it says.
fn says(request: &Request, outcome: &Outcome) -> bool {
    use kpay_domain::{Action, Intake};
    match (&request.body, &outcome.subject) {
        (Body::Payment { from, to, amount, currency, refund, .. }, Intake::Payment(payment)) => {
            refunds(payment, refund.as_ref())
                && payment.from.as_str() == from
                && payment.to.as_str() == to
                && payment.amount.minor == *amount
                && payment.amount.currency.as_str() == *currency
        }
        (Body::Open { account, funding, .. }, Intake::Account(command)) => {
            command.account.as_str() == account
                && matches!(command.action, Action::Open { funding_minor, .. } if funding_minor == *funding)
        }
        (Body::Fund { account, amount, .. }, Intake::Account(command)) => {
            command.account.as_str() == account
                && matches!(command.action, Action::Fund { amount_minor, .. } if amount_minor == *amount)
        }
        (Body::Change { account, change }, Intake::Account(command)) => {
            command.account.as_str() == account && command.action == Action::Change(*change)
        }
        (Body::Limits { account, limits }, Intake::Account(command)) => {
            command.account.as_str() == account && command.action == Action::Limits(Box::new(*limits))
        }
        (Body::Decide { account, payment, verdict, .. }, Intake::Account(command)) => {
            command.account.as_str() == account
                && matches!(&command.action, Action::Decide(decide)
                    if decide.payment.as_str() == payment && decide.verdict == *verdict)
        }
        _ => false,
    }
}
