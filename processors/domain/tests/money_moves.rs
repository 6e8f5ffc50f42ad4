//! A small world of accounts and a queue of commands in any order: what must hold wherever money moves.

mod common;

use std::collections::BTreeMap;

use common::{account_id, any_account, any_change, any_command, currency, payment, payment_id, trail};
use kpay_domain::{
    Account, AccountCommand, AccountId, AccountStatus, Action, Command, Currency, Intake, LimitName, Money,
    Outcome, Payment, PaymentId, Policy, Progress, Reason, Status, StatusChange,
    account::{self, Decision, Known, Next},
    inflight::{self, Admission},
};
use proptest::{collection::vec, prelude::*};

const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "dave"];
/// Never opened.
const NOBODY: &str = "nobody";

fn policy() -> Policy {
    Policy::new(currency("USD"))
}

/// What a fault takes away or adds, to see that the checks would see it.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    LoseReverses,
    CreditTwice,
}

struct World {
    accounts: BTreeMap<AccountId, Account>,
    queue: Vec<Command>,
    outcomes: BTreeMap<PaymentId, Vec<Outcome>>,
    funded: BTreeMap<Currency, i128>,
    accepted: Progress,
    finished: Progress,
    fault: Fault,
}

impl World {
    fn new(fault: Fault) -> Self {
        Self {
            accounts: BTreeMap::new(),
            queue: Vec::new(),
            outcomes: BTreeMap::new(),
            funded: BTreeMap::new(),
            accepted: Progress::default(),
            finished: Progress::default(),
            fault,
        }
    }

    fn take_in(&mut self, intake: Intake) {
        self.accepted.record(&intake);
        match inflight::decide(intake, &policy(), 1) {
            Admission::Accept(command) => self.queue.push(command),
            Admission::Reject(outcome) => self.end(outcome),
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished.finish(&outcome);
        self.outcomes.entry(outcome.id().clone()).or_default().push(outcome);
    }

    /// Decides any one of the waiting commands. Keys keep the order of one account only, so any order is possible.
    fn step(&mut self, at: usize) {
        if self.queue.is_empty() {
            return;
        }
        let command = self.queue.remove(at % self.queue.len());
        if self.fault == Fault::LoseReverses && matches!(command, Command::Reverse { .. }) {
            return;
        }
        if self.fault == Fault::CreditTwice && matches!(command, Command::Credit { .. }) {
            self.apply(command.clone());
        }
        self.apply(command);
    }

    fn apply(&mut self, command: Command) {
        let id = command.account_id().clone();
        let before = self.accounts.get(&id).cloned();
        let known = Known { account: before.as_ref(), ..Known::default() };
        let Decision { entry, next, .. } = account::decide(known, command, &policy(), 2);
        if let Some(entry) = entry {
            let after = entry.state();
            let was = before.as_ref().map_or((0, 0), |account| (account.balance_minor, account.version));
            assert_eq!(entry.account, id);
            assert_eq!(after.balance_minor, was.0 + entry.amount.minor, "the entry tells the change");
            assert_eq!(after.version, was.1 + 1, "one entry, one version");
            assert!(after.balance_minor >= 0, "no overdraft");
            if matches!(next, Next::Outcome(Outcome { subject: Intake::Account(_), .. })) {
                *self.funded.entry(after.currency).or_default() += i128::from(entry.amount.minor);
            }
            self.accounts.insert(id, after);
        }
        match next {
            Next::Command(command) => self.queue.push(command),
            Next::Outcome(outcome) => self.end(outcome),
            Next::Nothing => {}
        }
    }

    /// Whether the balances and what is between two accounts are what was funded, by currency.
    fn is_conserved(&self) -> bool {
        let mut held: BTreeMap<Currency, i128> = BTreeMap::new();
        for account in self.accounts.values() {
            *held.entry(account.currency).or_default() += i128::from(account.balance_minor);
        }
        for command in &self.queue {
            if let Command::Credit { payment, .. } | Command::Reverse { payment, .. } = command {
                *held.entry(payment.amount.currency).or_default() += i128::from(payment.amount.minor);
            }
        }
        held.retain(|_, minor| *minor != 0);
        let mut funded = self.funded.clone();
        funded.retain(|_, minor| *minor != 0);
        held == funded
    }

    fn drain(&mut self) {
        let mut steps = 0;
        while !self.queue.is_empty() {
            let command = self.queue.remove(0);
            self.apply(command);
            steps += 1;
            assert!(steps < 10_000, "every payment ends");
        }
    }
}

#[derive(Debug, Clone)]
enum Event {
    Payment { from: &'static str, to: &'static str, minor: i64, currency: &'static str },
    Open { account: &'static str, currency: Option<&'static str>, funding_minor: i64 },
    Fund { account: &'static str, amount_minor: i64 },
    Change { account: &'static str, to: StatusChange },
    Step(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    let account = || proptest::sample::select(ACCOUNTS.to_vec());
    let party = || prop_oneof![5 => account(), 1 => Just(NOBODY)];
    let code = || prop_oneof![6 => Just("USD"), 1 => Just("EUR"), 1 => Just("ZZZ")];
    prop_oneof![
        6 => (party(), party(), -5_i64..600, code())
            .prop_map(|(from, to, minor, currency)| Event::Payment { from, to, minor, currency }),
        2 => (account(), prop::option::of(code()), prop_oneof![4 => -5_i64..1000, 1 => Just(0)])
            .prop_map(|(account, currency, funding_minor)| Event::Open { account, currency, funding_minor }),
        1 => (account(), prop_oneof![4 => -5_i64..500, 1 => Just(account::BALANCE_MAX)])
            .prop_map(|(account, amount_minor)| Event::Fund { account, amount_minor }),
        2 => (account(), any_change()).prop_map(|(account, to)| Event::Change { account, to }),
        8 => any::<usize>().prop_map(Event::Step),
    ]
}

fn play(events: &[Event], fault: Fault) -> (World, usize, bool) {
    let mut world = World::new(fault);
    let mut taken_in = 0;
    let mut conserved = true;
    for event in events {
        let id = payment_id(&format!("id-{taken_in}"));
        let command = |account: &'static str, action| {
            let account = account_id(account);
            Intake::Account(AccountCommand { id: id.clone(), account, action, occurred_at_ms: None })
        };
        let intake = match event {
            Event::Payment { from, to, minor, currency: code } => Intake::Payment(Payment {
                id,
                from: account_id(from),
                to: account_id(to),
                amount: Money::new(*minor, currency(code)),
                ..payment(0)
            }),
            Event::Open { account, currency: code, funding_minor } => {
                let action = Action::Open { currency: code.map(currency), funding_minor: *funding_minor };
                command(account, action)
            }
            Event::Fund { account, amount_minor } => {
                command(account, Action::Fund { amount_minor: *amount_minor, currency: None })
            }
            Event::Change { account, to } => command(account, Action::Change(*to)),
            Event::Step(at) => {
                world.step(*at);
                conserved &= world.is_conserved();
                continue;
            }
        };
        taken_in += 1;
        world.take_in(intake);
    }
    (world, taken_in, conserved)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn money_is_conserved_at_every_step_and_every_payment_has_one_outcome(events in vec(any_event(), 1..120)) {
        let (mut world, taken_in, conserved) = play(&events, Fault::None);
        prop_assert!(conserved);
        world.drain();
        prop_assert!(world.is_conserved());
        prop_assert_eq!(world.outcomes.len(), taken_in);
        prop_assert!(world.outcomes.values().all(|outcomes| outcomes.len() == 1));
        prop_assert_eq!(&world.accepted, &world.finished, "nothing in flight, by count and by value");
    }

    #[test]
    fn a_reverse_is_never_refused(account in prop::option::of(any_account()), minor in 1..=i64::MAX) {
        let reverse = Command::Reverse {
            payment: payment(minor), trail: trail(), reason: Reason::UnknownAccount,
        };
        let before = account.as_ref().map_or(0, |account| account.balance_minor);
        let Decision { entry, next, .. } = decide(account.as_ref(), reverse.clone());
        if let Some(sum) = before.checked_add(minor) {
            prop_assert_eq!(entry.unwrap().balance_minor, sum);
            let Next::Outcome(outcome) = next else { panic!("a reverse ends the payment") };
            prop_assert_eq!(outcome.status, Status::Reversed(Reason::UnknownAccount));
        } else {
            // Beyond what can be reached: it waits for its turn again.
            prop_assert_eq!((entry, next), (None, Next::Command(reverse)));
        }
    }

    #[test]
    fn a_decision_changes_only_the_account_of_its_command(
        account in prop::option::of(any_account()), command in any_command()
    ) {
        let (id, key) = (command.id().clone(), command.account_id().clone());
        let decision = decide(account.as_ref(), command);
        if let Some(entry) = &decision.entry {
            prop_assert_eq!(&entry.account, &key);
            prop_assert_eq!(&entry.id, &id);
        }
        let next = match &decision.next {
            Next::Command(command) => command.id(),
            Next::Outcome(outcome) => outcome.id(),
            Next::Nothing => &id,
        };
        prop_assert_eq!(next, &id);
    }

    #[test]
    fn a_debit_is_refused_for_the_first_reason_in_the_order(
        account in prop::option::of(any_account()), minor in -2_i64..30_000, code in prop_oneof![Just("USD"), Just("EUR")]
    ) {
        let paid = Payment { amount: Money::new(minor, currency(code)), ..payment(0) };
        let first = first_reason(account.as_ref(), &paid);
        let debit = Command::Debit { payment: paid, accepted_at_ms: 1 };
        match decide(account.as_ref(), debit).next {
            Next::Command(command) => {
                let credited = matches!(command, Command::Credit { .. });
                prop_assert!(credited);
                prop_assert_eq!(first, None);
            }
            Next::Outcome(outcome) => prop_assert_eq!(outcome.status.reason(), first.as_ref()),
            Next::Nothing => prop_assert!(false, "a debit has a next step"),
        }
    }
}

/// By a policy without limits and rules, on the first day.
fn decide(account: Option<&Account>, command: Command) -> Decision {
    account::decide(Known { account, ..Known::default() }, command, &policy(), 3)
}

/// Why the payment is refused, told another way than the stage does: by all reasons at once.
fn first_reason(account: Option<&Account>, paid: &Payment) -> Option<Reason> {
    let minor = i128::from(paid.amount.minor);
    let status = account.map(|account| account.status);
    let own = account.and_then(|account| account.limits.as_deref().copied()).unwrap_or_default();
    let left = account.map_or(0, |account| i128::from(account.balance_minor)) - minor;
    // Whatever day the account has seen: it is not before the first one.
    let today = account.map(|account| account.outflow).unwrap_or_default();
    let spent = i128::from(today.minor) + minor;
    let beyond = |limit: Option<i64>, value: i128| limit.is_some_and(|limit| value > i128::from(limit));
    let broken = [
        (minor <= 0, Reason::AmountNotPositive),
        (account.is_none(), Reason::UnknownAccount),
        (status == Some(AccountStatus::Closed), Reason::AccountClosed),
        (status == Some(AccountStatus::Frozen), Reason::AccountFrozen),
        (account.is_some_and(|account| account.currency != paid.amount.currency), Reason::CurrencyMismatch),
        (beyond(Some(own.overdraft_minor.unwrap_or(0)), -left), Reason::InsufficientFunds),
        (
            own.lowest_balance_minor.is_some_and(|lowest| left < i128::from(lowest)),
            Reason::LimitExceeded(LimitName::LowestBalance),
        ),
        (beyond(own.daily_outflow_minor, spent), Reason::LimitExceeded(LimitName::DailyOutflow)),
        (
            own.daily_count.is_some_and(|most| today.count >= most),
            Reason::LimitExceeded(LimitName::DailyCount),
        ),
    ];
    broken.into_iter().find(|(broken, _)| *broken).map(|(_, reason)| reason)
}

/// Opens three accounts, then pays an account that nobody opened and one that somebody did.
fn eventful() -> Vec<Event> {
    let open = |account| Event::Open { account, currency: None, funding_minor: 1000 };
    let pay = |to| Event::Payment { from: "alice", to, minor: 10, currency: "USD" };
    let mut events = vec![open("alice"), open("bob"), pay(NOBODY), pay("bob")];
    events.extend((0..20).map(|_| Event::Step(0)));
    events
}

#[test]
fn the_conservation_check_sees_a_lost_reverse_and_a_doubled_credit() {
    assert!(play(&eventful(), Fault::None).2);
    assert!(!play(&eventful(), Fault::LoseReverses).2);
    assert!(!play(&eventful(), Fault::CreditTwice).2);
}
