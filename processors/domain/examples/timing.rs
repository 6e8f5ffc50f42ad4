//! Nanoseconds for each step that the domain takes part in, one core, and for the whole way of a payment.
//!
//! `cargo run --release -p kpay-domain --example timing`

use std::{hint::black_box, time::Instant};

use kpay_domain::{
    Account, AccountId, Attributes, Command, Currency, Intake, LedgerEntry, Money, Outcome, Payer, Payment,
    PaymentId, Policy, Progress, Reference, RuleAction, RuleSource, Rules, Trail,
    account::{self, Known, Next},
    confirmed,
    fingerprint::{fingerprint, id_hash},
    inflight::{self, Admission},
    intake,
};

const ROUNDS: u32 = 500_000;

fn time<T>(name: &str, mut step: impl FnMut() -> T) {
    for _ in 0..ROUNDS / 10 {
        black_box(step());
    }
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(step());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS));
    }
    println!("{name:<34} {best:>8.0} ns");
}

fn main() {
    let usd = Currency::new("USD").expect("three letters");
    let at_ms = 1_785_000_000_000;
    let policy = Policy::new(usd);
    let payment = Payment {
        id: PaymentId::new("01985f2e-4a7c-7d10-8c3e-5b1f6f6f0a11").expect("a UUID"),
        from: AccountId::new("account-0012345").expect("an id"),
        to: AccountId::new("account-0067890").expect("an id"),
        amount: Money::new(1234, usd),
        reference: Reference::new("invoice 7").expect("short"),
        attributes: Attributes::default(),
        occurred_at_ms: Some(at_ms),
        refund: None,
    };
    let payer_payment = payment.clone();
    let account = Account { balance_minor: 1_000_000, version: 7, ..Account::empty(usd) };
    let intake = Intake::Payment(payment.clone());
    let debit = Command::Debit { payment: payment.clone(), accepted_at_ms: at_ms };
    let credit = Command::Credit {
        payment,
        trail: Trail { accepted_at_ms: at_ms, debited_at_ms: at_ms, hold: None },
        serial: false,
    };
    let decide = |account, command| account::decide(known(account), command, &policy, at_ms);
    let done = decide(&account, credit.clone());
    let Next::Outcome(outcome) = done.next else {
        unreachable!("a credit to an open account ends the payment")
    };
    let entry = done.entry.expect("a credit has an entry");

    let bytes = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut buffer = Vec::new();
        encode(&mut buffer);
        buffer
    };
    let intake_bytes = bytes(&|b| intake.encode(b));
    let debit_bytes = bytes(&|b| debit.encode(b));
    let credit_bytes = bytes(&|b| credit.encode(b));
    let entry_bytes = bytes(&|b| entry.encode(b));
    let outcome_bytes = bytes(&|b| outcome.encode(b));
    let json_out = bytes(&|b| confirmed::to_json(&outcome, b));
    let json_in = br#"{"id":"01985f2e-4a7c-7d10-8c3e-5b1f6f6f0a11","from":"account-0012345","to":"account-0067890","amount":{"value":1234,"currency":"USD"},"reference":"invoice 7"}"#;
    println!(
        "bytes: intake {} debit {} credit {} entry {} outcome {} confirmed {}",
        intake_bytes.len(),
        debit_bytes.len(),
        credit_bytes.len(),
        entry_bytes.len(),
        outcome_bytes.len(),
        json_out.len()
    );

    let mut buffer = Vec::with_capacity(1024);
    time("intake parse protobuf", || intake::parse(&intake_bytes, None, None));
    time("intake parse json", || intake::parse(json_in, Some("application/json"), Some("payment")));
    time("fingerprint", || fingerprint(&intake));
    time("id_hash", || id_hash(intake.id().as_str()));
    time("intake clone", || intake.clone());
    time("inflight decide (and clone)", || inflight::decide(intake.clone(), &policy, at_ms));
    time("debit encode", || encode(&mut buffer, |b| debit.encode(b)));
    time("debit decode", || Command::decode(&debit_bytes));
    time("debit decide (and clone)", || decide(&account, debit.clone()));
    time("credit encode", || encode(&mut buffer, |b| credit.encode(b)));
    time("credit decode", || Command::decode(&credit_bytes));
    time("entry encode", || encode(&mut buffer, |b| entry.encode(b)));
    time("entry decode", || LedgerEntry::decode(&entry_bytes));
    time("outcome encode", || encode(&mut buffer, |b| outcome.encode(b)));
    time("outcome decode", || Outcome::decode(&outcome_bytes));
    time("confirmed to_json", || encode(&mut buffer, |b| confirmed::to_json(&outcome, b)));
    let mut progress = Progress::default();
    time("progress record", || progress.record(&intake));
    time("progress to_text", || progress.to_text());
    rules(&payer_payment, at_ms);
    time("the whole way of a payment", || whole_way(&intake_bytes, &account, &policy, at_ms, &mut buffer));
}

fn known(account: &Account) -> Known<'_> {
    Known { account: Some(account), ..Known::default() }
}

/// What it costs to judge a payment.
fn rules(payment: &Payment, at_ms: i64) {
    let payer = Payer { balance_minor: 1_000_000, outflow_today_minor: 5_000, payments_today: 3 };
    let sets: [(&str, &[&str]); 4] = [
        ("judge, no rules", &[]),
        ("judge, an amount", &["payment.amount > 1000000"]),
        (
            "judge, amount, currency and list",
            &[
                "payment.amount > 1000 && payment.currency == 'USD' && payment.to in ['mule-1', 'mule-2', 'mule-3']",
            ],
        ),
        (
            "judge, five rules",
            &[
                "has(payment.attributes.country) && payment.attributes.country in ['KP', 'IR', 'SY']",
                "payment.amount > 100000 && payment.amount * 10 > payer.balance * 9",
                "payer.paymentsToday > 50 && payment.amount < 500",
                "payment.amount > 1000000 && (now.getHours() < 6 || now.getHours() >= 22)",
                "payment.reference.matches('^gift [0-9]+$')",
            ],
        ),
    ];
    for (name, when) in sets {
        let source = |(number, when): (usize, &&str)| RuleSource {
            name: format!("r{number}"),
            when: (*when).to_owned(),
            action: RuleAction::Reject,
            message: None,
        };
        let sources: Vec<_> = when.iter().enumerate().map(source).collect();
        let rules = Rules::compile(&sources).expect("the rules are right");
        time(name, || rules.judge(black_box(payment), &payer, at_ms));
    }
}

fn encode(buffer: &mut Vec<u8>, with: impl FnOnce(&mut Vec<u8>)) -> usize {
    buffer.clear();
    with(buffer);
    buffer.len()
}

/// All that the domain does for one confirmed payment in its four hops.
fn whole_way(
    bytes: &[u8],
    account: &Account,
    policy: &Policy,
    at_ms: i64,
    buffer: &mut Vec<u8>,
) -> Option<usize> {
    let intake = intake::parse(bytes, None, None).ok()?;
    black_box((fingerprint(&intake), id_hash(intake.id().as_str())));
    let Admission::Accept(mut command) = inflight::decide(intake, policy, at_ms) else { return None };
    loop {
        encode(buffer, |b| command.encode(b));
        let decision = account::decide(known(account), Command::decode(buffer).ok()?, policy, at_ms);
        let entry = decision.entry?;
        encode(buffer, |b| entry.encode(b));
        match decision.next {
            Next::Command(next) => command = next,
            Next::Nothing => return None,
            Next::Outcome(outcome) => {
                encode(buffer, |b| outcome.encode(b));
                let outcome = Outcome::decode(buffer).ok()?;
                return Some(encode(buffer, |b| confirmed::to_json(&outcome, b)));
            }
        }
    }
}
