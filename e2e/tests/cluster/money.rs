//! Money moves once, whatever happens to the pods.

use kpay_e2e::load;
use kpay_e2e::rest::{Rest, as_json};

use crate::pods::kill;
use crate::world::{World, long_turn, turn};

const ACCOUNTS: u64 = 200;
const SENDERS: u64 = 4;

/// Posts the odd payments of `numbers`, every tenth (counted from 5) three times.
fn post(rest: &Rest, run: &str, numbers: impl Iterator<Item = u64>) -> anyhow::Result<()> {
    for number in numbers.filter(|n| n % 2 == 1) {
        let body = as_json(&load::payment(run, number, ACCOUNTS)?)?;
        for _ in 0..copies(number) {
            let answer = rest.post_patiently("/v1/payments", &body, None)?;
            anyhow::ensure!(answer.status == 202, "{body}: {answer:?}");
            anyhow::ensure!(answer.body.get("id") == body.get("id"), "{body}: {answer:?}");
        }
    }
    Ok(())
}

fn copies(number: u64) -> u32 {
    if number % 10 == 4 || number % 10 == 5 { 3 } else { 1 }
}

/// The even payments by topic and the odd ones by REST, at once.
fn send(world: &mut World, run: &str, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let World { rest, appender, ids, .. } = world;
        let rest = &*rest;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let mine = numbers.clone().filter(move |n| (n / 2) % SENDERS == sender);
                scope.spawn(move || post(rest, run, mine))
            })
            .collect();
        for number in numbers.clone() {
            let intake = load::payment(run, number, ACCOUNTS)?;
            ids.insert(intake.id().as_str().to_owned());
            if number % 2 == 0 {
                for _ in 0..copies(number) {
                    appender.append(&intake)?;
                }
            }
        }
        for sender in senders {
            sender.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
        }
        Ok(())
    })
}

#[test]
fn twenty_thousand_payments_by_rest_and_topic_with_copies_move_the_money_once() -> anyhow::Result<()> {
    let _turn = turn();
    let mut world = World::start("money", ACCOUNTS)?;
    send(&mut world, "m", 0..20_000)?;
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), 20_000 + usize::try_from(ACCOUNTS)?);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    // A copy after the end answers as the payment itself does.
    for number in (5..20_000).step_by(1_000) {
        let body = as_json(&load::payment("m", number, ACCOUNTS)?)?;
        let first =
            world.rest.get_patiently(&format!("/v1/payments/{}", body["id"].as_str().unwrap_or_default()))?;
        let again = world.rest.post_patiently("/v1/payments", &body, Some(30))?;
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(first.text("status"), "confirmed", "{first:?}");
    }
    let after = world.audit_with_rest()?;
    assert_eq!(after.balances, report.balances);
    Ok(())
}

#[test]
fn account_pods_killed_twenty_times_neither_lose_nor_double_a_payment() -> anyhow::Result<()> {
    const SEED: u64 = 11;
    const EACH: u64 = 400;
    let _turn = long_turn();
    let mut world = World::start("kills", ACCOUNTS)?;
    for round in 0..20 {
        send(&mut world, "k", round * EACH..(round + 1) * EACH)?;
        let dice = load::spread(SEED + round);
        world.finish_some(usize::try_from(1 + dice % (EACH / 2))?)?;
        let victim = format!("payments-account-{}", dice >> 32 & 1);
        kill(&world, &[&victim])?;
    }
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), usize::try_from(20 * EACH + ACCOUNTS)?);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}
