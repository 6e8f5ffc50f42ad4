//! The pipeline of one seed: its topics, how many workers each stage has, how they are set, what goes wrong.

use kpay::names::{Names, StageName, TopicName};
use kpay_domain::{Currency, Limits, Policy, RuleAction, RuleSource, Rules};
use kpay_streams::out::Topic;
use kpay_streams::sim::{Faults, Rng, SimCluster};
use kpay_streams::worker::Settings;

/// How long a dead member keeps its partitions.
pub const SESSION_MS: i64 = 300;
/// One day.
pub const DAY_MS: i64 = 86_400_000;
const TRANSACTION_MS: i64 = 400;

/// What the pipeline decides for all of its payments, as it is written down.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// A payment of more than this is held.
    pub hold_above: Option<i64>,
    /// How long.
    pub hold_expiry_ms: i64,
    /// The most that one payment moves.
    pub per_payment: Option<i64>,
    /// The most that an account pays in a day.
    pub daily_outflow: Option<i64>,
    /// The most payments of an account in a day.
    pub daily_count: Option<u32>,
    /// What a payment has to leave.
    pub lowest: Option<i64>,
    /// How far below zero a payment may go.
    pub overdraft: i64,
    /// Debits of an account come one by one.
    pub serial: bool,
    /// How many may wait.
    pub waiting_max: usize,
}

impl Terms {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            hold_above: [None, None, Some(4), Some(9), Some(49)][rng.below(5)],
            hold_expiry_ms: [20, 500, 5_000, 1_000_000][rng.below(4)],
            per_payment: [None, None, None, Some(49)][rng.below(4)],
            daily_outflow: [None, None, None, Some(20), Some(100)][rng.below(5)],
            daily_count: [None, None, None, Some(2), Some(8)][rng.below(5)],
            lowest: [None, None, None, None, Some(2)][rng.below(5)],
            overdraft: [0, 0, 0, 5, 50][rng.below(5)],
            serial: rng.below(3) == 0,
            waiting_max: [1, 3, 1_000][rng.below(3)],
        }
    }

    /// The same, as the stages are told.
    pub fn policy(&self) -> Policy {
        let rule = self.hold_above.map(|bound| RuleSource {
            name: RULE.to_owned(),
            when: format!("payment.amount > {bound}"),
            action: RuleAction::Hold,
            message: None,
        });
        let rules = Rules::compile(rule.as_slice()).unwrap();
        let limits = Limits {
            per_payment_minor: self.per_payment,
            daily_outflow_minor: self.daily_outflow,
            daily_count: self.daily_count,
            lowest_balance_minor: self.lowest,
            overdraft_minor: self.overdraft,
            serial_debits: self.serial,
            waiting_debits_max: u32::try_from(self.waiting_max).unwrap(),
        };
        Policy {
            limits,
            rules,
            hold_expiry_ms: self.hold_expiry_ms,
            ..Policy::new(Currency::new("USD").unwrap())
        }
    }
}

/// The name of the rule that holds.
pub const RULE: &str = "big";

/// What does not change during a run.
pub struct Topology {
    /// The brokers.
    pub cluster: SimCluster,
    /// Topics and groups.
    pub names: Names,
    /// Partitions of payment.incoming.
    pub incoming: i32,
    /// Partitions of payment.inflight, account.ledger and account.checkpoints.
    pub inflight: i32,
    /// Partitions of payment.complete.
    pub complete: i32,
    /// Of every worker.
    pub settings: Settings,
    /// Limits and rules.
    pub terms: Terms,
    /// Between two checkpoints.
    pub checkpoint_interval_ms: i64,
}

impl Topology {
    /// Draws a pipeline and makes its topics.
    pub fn draw(seed: u64, rng: &mut Rng) -> Self {
        let cluster = SimCluster::new(seed);
        cluster.set_timeouts(SESSION_MS, TRANSACTION_MS);
        cluster.keep_journal();
        if rng.below(3) == 0 {
            // Midnight comes in the middle.
            let left = DAY_MS - cluster.now_ms().rem_euclid(DAY_MS);
            cluster.advance(left - rng.up_to_ms(20_000).min(left));
        }
        let mut partitions = || 1 + i32::try_from(rng.below(4)).unwrap();
        let (incoming, inflight, complete) = (partitions(), partitions(), partitions());
        let settings = Settings {
            commit_records_max: 1 + rng.below(30),
            commit_interval_ms: 1 + rng.up_to_ms(30),
            commit_linger_ms: 0,
            poll_records_max: 1 + rng.below(12),
            idle_wait_ms: 0,
        };
        let topology = Self {
            cluster,
            names: Names { prefix: "sim.".to_owned() },
            incoming,
            inflight,
            complete,
            settings,
            terms: Terms::draw(rng),
            checkpoint_interval_ms: [20, 100, 1_000, 30_000][rng.below(4)],
        };
        for name in TopicName::ALL {
            topology.cluster.create_topic(&topology.topic(name));
        }
        topology
    }

    /// The full name of a topic.
    pub fn name(&self, topic: TopicName) -> String {
        self.names.topic(topic)
    }

    /// How many partitions it has.
    pub fn partitions(&self, topic: TopicName) -> i32 {
        match topic {
            TopicName::Incoming => self.incoming,
            TopicName::Inflight | TopicName::Ledger | TopicName::Checkpoints => self.inflight,
            TopicName::Complete | TopicName::Confirmed => self.complete,
            TopicName::Dlq => 1,
        }
    }

    fn topic(&self, topic: TopicName) -> Topic {
        Topic { name: self.name(topic), partitions: self.partitions(topic) }
    }

    /// The topics of a stage, its input first.
    pub fn topics(&self, stage: StageName) -> Vec<Topic> {
        stage.topics().iter().map(|t| self.topic(*t)).collect()
    }
}

/// Most histories have a few kinds of faults; one in eight has none.
pub fn faults(rng: &mut Rng) -> Faults {
    let calm = rng.below(8) == 0;
    let mut draw = |most: f64| {
        let level = f64::from(u32::try_from(rng.below(4)).unwrap());
        if calm || rng.below(2) == 0 { 0.0 } else { most * (level + 1.0) / 4.0 }
    };
    Faults {
        crash: draw(0.005),
        unavailable: draw(0.002),
        rebalance: draw(0.01),
        expire: draw(0.004),
        late_rebalance: draw(0.5),
        append_abort: draw(0.01),
        commit_abort: draw(0.1),
        commit_unknown: draw(0.2),
        abort_unknown: draw(0.2),
        fenced: draw(0.002),
        redelivery: draw(0.3),
        short_poll: draw(0.8),
        late_marker: draw(0.6),
        late_marker_max_ms: 60,
        slow: draw(0.2),
        slow_max_ms: 200,
    }
}
