//! The stage over a log in memory with a clock of its own: whatever was committed is restored.

mod noted;

use std::collections::BTreeMap;
use std::sync::Arc;

use kpay_domain::{AccountCommand, AccountId, Action, Command, Currency, PaymentId, Policy};
use kpay_streams::log::{LogError, Reader, Start, Until};
use kpay_streams::out::{Out, Topic, TopicIndex};
use kpay_streams::record::{NoHeaders, Record};
use kpay_streams::stage::Stage;

use super::{AccountStage, Accounts, STAGE};
use crate::live::Live;
use crate::names::{Names, StageName, TopicName};

const INTERVAL_MS: i64 = 30_000;
const PARTITION: i32 = 0;

/// Time, key and value.
type Written = (i64, Vec<u8>, Vec<u8>);

/// What was committed to each topic, in order.
#[derive(Default)]
struct Log {
    now_ms: i64,
    topics: BTreeMap<TopicIndex, Vec<Written>>,
}

impl Reader for Log {
    fn read(
        &mut self,
        topic: TopicIndex,
        partition: i32,
        from: Start,
        _until: Until,
        each: &mut dyn FnMut(&Record<'_>),
    ) -> Result<(), LogError> {
        let from_ms = if let Start::Timestamp(ms) = from { ms } else { i64::MIN };
        let records = self.topics.get(&topic).map(Vec::as_slice).unwrap_or_default();
        for (offset, (timestamp_ms, key, value)) in (0..).zip(records) {
            if *timestamp_ms >= from_ms {
                let timestamp_ms = *timestamp_ms;
                each(&Record { partition, offset, timestamp_ms, key, value, headers: &NoHeaders });
            }
        }
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.now_ms
    }
}

struct World {
    log: Log,
    stage: AccountStage,
    accounts: Arc<Accounts>,
    out: Out,
    commands: u32,
}

fn stage(accounts: Arc<Accounts>) -> AccountStage {
    let policy = Live::fixed(Policy::new(Currency::new("USD").unwrap()));
    let shared = (accounts, Arc::default());
    AccountStage::new(&Names { prefix: String::new() }, 1, policy, shared, INTERVAL_MS, Arc::default())
}

impl World {
    fn new() -> Self {
        let topic = |topic: &TopicName| Topic { name: topic.as_str().to_owned(), partitions: 1 };
        let topics: Vec<Topic> = StageName::Account.topics().iter().map(topic).collect();
        let accounts = Arc::<Accounts>::default();
        let stage = stage(Arc::clone(&accounts));
        let mut world = Self { log: Log::default(), stage, accounts, out: Out::new(&topics), commands: 0 };
        world.restart();
        world
    }

    fn restart(&mut self) {
        self.accounts = Arc::default();
        self.stage = stage(Arc::clone(&self.accounts));
        self.stage.restore(PARTITION, 0, "", &mut self.log).unwrap();
    }

    /// One transaction: the account is opened or funded.
    fn touch(&mut self, account: &str) {
        self.commands += 1;
        let known = self.balance(account).is_some();
        let currency = Some(Currency::new("USD").unwrap());
        let command = AccountCommand {
            id: PaymentId::new(&format!("c-{}", self.commands)).unwrap(),
            account: AccountId::new(account).unwrap(),
            action: if known {
                Action::Fund { amount_minor: 1, currency }
            } else {
                Action::Open { currency, funding_minor: 1 }
            },
            occurred_at_ms: None,
        };
        let mut value = Vec::new();
        Command::Account { command, accepted_at_ms: 0 }.encode(&mut value);
        let now_ms = self.log.now_ms;
        let record = Record {
            partition: PARTITION,
            offset: 0,
            timestamp_ms: now_ms,
            key: account.as_bytes(),
            value: &value,
            headers: &NoHeaders,
        };
        self.stage.process(&record, now_ms, &mut self.out);
        self.stage.before_commit(now_ms, &mut self.out);
        for sent in self.out.iter() {
            let value = sent.value.unwrap_or_default().to_vec();
            self.log.topics.entry(sent.topic).or_default().push((now_ms, sent.key.to_vec(), value));
        }
        self.out.clear();
        self.stage.commit();
    }

    fn balance(&self, account: &str) -> Option<i64> {
        self.accounts.get(PARTITION, account).flatten().map(|account| account.balance_minor)
    }

    fn markers(&self) -> usize {
        let topic = STAGE.index(TopicName::Checkpoints);
        let written = self.log.topics.get(&topic).map(Vec::as_slice).unwrap_or_default();
        written.iter().filter(|(_, key, _)| key == b"\0round").count()
    }
}

#[test]
fn an_account_that_was_not_used_since_a_restart_is_there_after_the_next_checkpoint() {
    let mut world = World::new();
    world.touch("alice");
    world.log.now_ms = 10_000;
    world.restart();
    world.log.now_ms = 100_000;
    world.touch("bob");
    assert_eq!(world.markers(), 1, "a round was due, and is done");
    world.restart();
    assert_eq!((world.balance("alice"), world.balance("bob")), (Some(1), Some(1)));
}

#[test]
fn what_was_committed_is_restored_whenever_it_restarts() {
    let mut markers = 0;
    for seed in 0..300_u64 {
        let mut world = World::new();
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        let mut state = seed;
        let mut pick = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..60 {
            match pick(4) {
                0 | 1 => {
                    let account = format!("a{}", pick(6));
                    world.touch(&account);
                    *expected.entry(account).or_default() += 1;
                }
                2 => world.log.now_ms += i64::try_from(pick(40_000)).unwrap(),
                _ => world.restart(),
            }
        }
        world.restart();
        for (account, balance) in &expected {
            assert_eq!(world.balance(account), Some(*balance), "seed {seed}: {account}");
        }
        markers += world.markers();
    }
    assert!(markers > 300, "{markers} rounds were written");
}
