//! Holds, refunds and debits that wait, over aborts and restarts at any moment.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kpay_domain::{AccountCommand, Action};
use kpay_domain::{
    AccountId, Attributes, Command, Currency, DecideHold, HoldVerdict, Intake, Money, Outcome, Payment,
    PaymentId, Policy, Reference, Refund, RuleAction, RuleSource, Rules, intake::default_id,
};
use kpay_streams::out::{Out, Topic};
use kpay_streams::record::{NoHeaders, Record};
use kpay_streams::stage::Stage;

use super::{INTERVAL_MS, Log, PARTITION};
use crate::live::Live;
use crate::names::{Names, StageName, TopicName};
use crate::stage::account::{AccountStage, Accounts};

/// The stage with its input queue; everything it sends to itself comes back at the end.
struct World {
    log: Log,
    policy: Policy,
    stage: AccountStage,
    accounts: Arc<Accounts>,
    out: Out,
    queue: VecDeque<Command>,
    outcomes: Vec<Outcome>,
}

fn usd() -> Currency {
    Currency::new("USD").unwrap()
}

fn words(text: &str) -> Reference {
    Reference::new(text).unwrap().unwrap()
}

fn payment(id: &str, from: &str, to: &str, minor: i64) -> Payment {
    Payment {
        id: PaymentId::new(id).unwrap(),
        from: AccountId::new(from).unwrap(),
        to: AccountId::new(to).unwrap(),
        amount: Money::new(minor, usd()),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    }
}

fn debit(payment: Payment) -> Command {
    Command::Debit { payment, accepted_at_ms: 0 }
}

fn command(id: PaymentId, account: &str, action: Action) -> Command {
    let account = AccountId::new(account).unwrap();
    Command::Account {
        command: AccountCommand { id, account, action, occurred_at_ms: None },
        accepted_at_ms: 0,
    }
}

fn open(account: &str, funding_minor: i64) -> Command {
    let id = default_id("open", account);
    command(id, account, Action::Open { currency: Some(usd()), funding_minor })
}

fn verdict(payment: &str, payer: &str, verdict: HoldVerdict) -> Command {
    let decide = DecideHold {
        payment: PaymentId::new(payment).unwrap(),
        verdict,
        by: words("carol"),
        why: words("asked"),
    };
    command(default_id(verdict.as_str(), payment), payer, Action::Decide(Box::new(decide)))
}

impl World {
    fn new(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::new(usd());
        change(&mut policy);
        let topic = |topic: &TopicName| Topic { name: topic.as_str().to_owned(), partitions: 1 };
        let topics: Vec<Topic> = StageName::Account.topics().iter().map(topic).collect();
        let accounts = Arc::<Accounts>::default();
        let stage = Self::stage(&policy, Arc::clone(&accounts));
        let (queue, outcomes) = (VecDeque::new(), Vec::new());
        let mut world =
            Self { log: Log::default(), policy, stage, accounts, out: Out::new(&topics), queue, outcomes };
        world.restart();
        world
    }

    fn stage(policy: &Policy, accounts: Arc<Accounts>) -> AccountStage {
        let names = Names { prefix: String::new() };
        let shared = (accounts, Arc::default());
        AccountStage::new(&names, 1, Live::fixed(policy.clone()), shared, INTERVAL_MS, Arc::default())
    }

    fn restart(&mut self) {
        self.accounts = Arc::default();
        self.stage = Self::stage(&self.policy, Arc::clone(&self.accounts));
        self.stage.restore(PARTITION, 0, "", &mut self.log).unwrap();
    }

    /// One transaction of one record; an aborted one leaves the record where it was.
    fn step(&mut self, abort: bool) {
        let Some(command) = self.queue.front() else { return };
        let (mut value, now_ms) = (Vec::new(), self.log.now_ms);
        command.encode(&mut value);
        let record = Record {
            partition: PARTITION,
            offset: 0,
            timestamp_ms: now_ms,
            key: command.account_id().as_str().as_bytes(),
            value: &value,
            headers: &NoHeaders,
        };
        self.stage.process(&record, now_ms, &mut self.out);
        self.stage.before_commit(now_ms, &mut self.out);
        if abort {
            self.out.clear();
            return self.stage.abort();
        }
        self.queue.pop_front();
        for sent in self.out.iter() {
            let value = sent.value.unwrap_or_default().to_vec();
            if sent.topic == super::STAGE.index(TopicName::Inflight) {
                self.queue.push_back(Command::decode(&value).unwrap());
            } else if sent.topic == super::STAGE.index(TopicName::Complete) {
                self.outcomes.push(Outcome::decode(&value).unwrap());
            } else {
                self.log.topics.entry(sent.topic).or_default().push((now_ms, sent.key.to_vec(), value));
            }
        }
        self.out.clear();
        self.stage.commit();
    }

    /// Steps with aborts, restarts and time between them until nothing waits, at most so often.
    fn run(&mut self, seed: u64) {
        let mut state = seed;
        for _ in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            match (state >> 33) % 8 {
                0 => self.restart(),
                1 => self.step(true),
                2 => self.log.now_ms += 20_000,
                _ if self.queue.is_empty() => return,
                _ => self.step(false),
            }
        }
        panic!("{} commands are left", self.queue.len());
    }

    fn balance(&self, account: &str) -> i64 {
        self.accounts.get(PARTITION, account).flatten().unwrap().balance_minor
    }

    /// How the payments and commands ended, in that order.
    fn ends(&self) -> Vec<(String, &'static str)> {
        self.outcomes.iter().map(|outcome| (outcome.id().to_string(), outcome.status.as_str())).collect()
    }
}

#[test]
fn serial_debits_wait_in_order_and_none_is_lost_over_aborts_and_restarts() {
    for seed in 0..60 {
        let mut world = World::new(|policy| policy.limits.serial_debits = true);
        world.queue.extend([open("alice", 100), open("bob", 0)]);
        for number in 0..12 {
            // The last ones are more than what is left.
            world.queue.push_back(debit(payment(&format!("p-{number:02}"), "alice", "bob", 10)));
        }
        world.run(seed);
        assert_eq!((world.balance("alice"), world.balance("bob")), (0, 100), "seed {seed}");
        let ends: Vec<(String, &str)> =
            world.ends().into_iter().filter(|(id, _)| id.starts_with('p')).collect();
        let expected: Vec<(String, &str)> =
            (0..12).map(|n| (format!("p-{n:02}"), if n < 10 { "confirmed" } else { "rejected" })).collect();
        assert_eq!(ends, expected, "seed {seed}");
    }
}

#[test]
fn one_serial_debit_too_many_is_rejected_and_the_lane_is_free_after_a_reversal() {
    let mut world = World::new(|policy| {
        policy.limits.serial_debits = true;
        policy.limits.waiting_debits_max = 1;
    });
    world.queue.push_back(open("alice", 100));
    // Nobody has opened the payee: the first comes back, and only then the second goes.
    for id in ["p-1", "p-2", "p-3"] {
        world.queue.push_back(debit(payment(id, "alice", "nobody", 10)));
    }
    world.run(7);
    let ends: BTreeMap<String, &str> = world.ends().into_iter().collect();
    assert_eq!((ends["p-1"], ends["p-2"], ends["p-3"]), ("reversed", "reversed", "rejected"));
    assert_eq!(world.balance("alice"), 100);
}

#[test]
fn a_hold_outlives_aborts_and_restarts_and_is_decided_once() {
    for seed in 0..60 {
        let mut world = World::new(|policy| {
            let rule = RuleSource {
                name: "big".to_owned(),
                when: "payment.amount > 50".to_owned(),
                action: RuleAction::Hold,
                message: None,
            };
            policy.rules = Rules::compile(&[rule]).unwrap();
        });
        world.queue.extend([open("alice", 200), open("bob", 0)]);
        for id in ["p-1", "p-2"] {
            world.queue.push_back(debit(payment(id, "alice", "bob", 60)));
        }
        world.run(seed);
        assert_eq!(world.balance("alice"), 200, "held payments move nothing");
        world.queue.push_back(verdict("p-1", "alice", HoldVerdict::Release));
        world.queue.push_back(verdict("p-2", "alice", HoldVerdict::Refuse));
        world.run(seed + 1);
        world.queue.push_back(verdict("p-1", "alice", HoldVerdict::Refuse));
        world.queue.push_back(verdict("p-2", "alice", HoldVerdict::Release));
        world.run(seed + 2);
        assert_eq!((world.balance("alice"), world.balance("bob")), (140, 60), "seed {seed}");
        let ends: BTreeMap<String, &str> = world.ends().into_iter().collect();
        let expected = [
            ("p-1", "confirmed"),
            ("p-2", "rejected"),
            ("release:p-1", "confirmed"),
            ("refuse:p-2", "confirmed"),
            ("refuse:p-1", "rejected"),
            ("release:p-2", "rejected"),
        ];
        for (id, status) in expected {
            assert_eq!(ends[id], status, "{id}, seed {seed}");
        }
    }
}

#[test]
fn refunds_together_are_at_most_the_payment_over_aborts_and_restarts() {
    for seed in 0..60 {
        let mut world = World::new(|_| {});
        world.queue.extend([open("alice", 0), open("bob", 1000)]);
        for number in 0..5 {
            let refund = Some(Box::new(Refund { of: PaymentId::new("p-1").unwrap(), amount_minor: 100 }));
            let id = format!("r-{number}");
            world.queue.push_back(debit(Payment { refund, ..payment(&id, "bob", "alice", 40) }));
        }
        world.run(seed);
        assert_eq!((world.balance("alice"), world.balance("bob")), (80, 920), "seed {seed}");
        let rejected = world.outcomes.iter().filter(|outcome| {
            outcome.status.reason().is_some_and(|reason| reason.code() == "refund_exceeds_payment")
                && matches!(outcome.subject, Intake::Payment(_))
        });
        assert_eq!(rejected.count(), 3, "seed {seed}");
    }
}
