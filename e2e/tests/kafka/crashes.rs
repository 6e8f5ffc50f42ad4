//! Processes and the broker end without a word, while payments flow.

use kpay::names::StageName;
use kpay_e2e::broker::Broker;
use kpay_e2e::load;

use crate::world::{World, broker, turn};

const ACCOUNTS: u64 = 100;
const PAYMENTS: u64 = 5_000;
const SEED: u64 = 3;

fn pick(round: u64, below: usize) -> usize {
    usize::try_from(load::spread(SEED + round)).unwrap_or(0) % below
}

#[test]
fn processes_killed_at_any_moment_neither_lose_nor_double_a_payment() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "kills.", ACCOUNTS)?;
    let account = world.pods_of(StageName::Account);
    let (inflight, confirmed) = (world.pods_of(StageName::Inflight), world.pods_of(StageName::Confirmed));
    let chosen = |round: u64| account[pick(round, account.len())];
    let victims = [chosen(0), chosen(1), inflight[0], chosen(2), chosen(3), confirmed[0], chosen(4)];
    let each = PAYMENTS / 8;
    for (round, victim) in (0..).zip(victims) {
        for number in round * each..(round + 1) * each {
            world.send(&load::payment("kill", number, ACCOUNTS)?)?;
        }
        // Somewhere within the round, so that the stages are busy.
        world.finish_some(1 + pick(100 + round, usize::try_from(each / 2)?))?;
        world.crash(victim)?;
    }
    for number in 7 * each..PAYMENTS {
        world.send(&load::payment("kill", number, ACCOUNTS)?)?;
    }
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), usize::try_from(PAYMENTS + ACCOUNTS)?);
    Ok(())
}

#[test]
fn a_broker_that_is_killed_midway_comes_back_to_every_payment() -> anyhow::Result<()> {
    let _turn = turn();
    let mut broker = Broker::start("crash")?;
    let mut world = World::start(&broker, "crash.", ACCOUNTS)?;
    for number in 0..PAYMENTS {
        world.send(&load::payment("broker", number, ACCOUNTS)?)?;
    }
    world.finish_some(usize::try_from(PAYMENTS / 5)?)?;
    broker.crash()?;
    let report = world.audit_with_rest()?;
    assert_eq!(report.outcomes.len(), usize::try_from(PAYMENTS + ACCOUNTS)?);
    Ok(())
}

#[test]
fn stages_that_start_anew_rebuild_ids_and_balances_from_the_log() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "cold.", ACCOUNTS)?;
    for number in 0..500 {
        world.send(&load::payment("cold", number, ACCOUNTS)?)?;
    }
    let before = world.audit_with_rest()?;
    let pods: Vec<usize> = StageName::ALL.iter().flat_map(|stage| world.pods_of(*stage)).collect();
    for number in &pods {
        world.flow.kill(*number)?;
    }
    for number in &pods {
        world.flow.start(*number)?;
    }
    world.flow.wait_ready()?;
    let rest = world.rest()?;
    assert_eq!(rest.balances(before.balances.keys())?, before.balances);
    let status = rest.get_patiently("/v1/payments/cold-000000007")?;
    assert_eq!(status.text("status"), "confirmed", "{status:?}");

    // All of them again: the ids are known.
    for number in 0..500 {
        world.send(&load::payment("cold", number, ACCOUNTS)?)?;
    }
    // And one that is new, so that there is something to wait for.
    world.send(&load::payment("cold", 500, ACCOUNTS)?)?;
    let after = world.audit_with_rest()?;
    assert_eq!(after.outcomes.len(), before.outcomes.len() + 1);
    assert!(after.letters.is_empty(), "{:?}", after.letters);
    Ok(())
}
