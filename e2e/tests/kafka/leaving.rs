//! A process that is told to stop hands its partitions over, where somebody is there to take them.

use kpay::names::StageName;
use kpay_e2e::flow::Flow;
use kpay_e2e::load;
use kpay_e2e::process::binary;

use crate::world::{World, broker, turn};

const ACCOUNTS: u64 = 100;
const PAYMENTS: u64 = 2_000;

#[test]
fn one_that_stops_leaves_its_partitions_to_the_other_and_takes_some_back() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "leaving.", ACCOUNTS)?;
    let account = world.pods_of(StageName::Account);
    assert_eq!(account.len(), 2, "somebody takes over");
    let members = |world: &World| world.members(StageName::Account);
    assert_eq!(members(&world)?.len(), 2);
    for (round, number) in (0..).zip(&account) {
        for payment in round * PAYMENTS..(round + 1) * PAYMENTS {
            world.send(&load::payment("leaving", payment, ACCOUNTS)?)?;
        }
        world.finish_some(usize::try_from(PAYMENTS / 10)?)?;
        let address = world.flow.pods[*number].control.clone();
        world.flow.stop(*number)?;
        // Not only when its session ends, which takes longer than all of this.
        assert!(!members(&world)?.contains(&address));
        world.finish()?;
        world.flow.start(*number)?;
        world.flow.wait_ready()?;
        assert_eq!(members(&world)?.len(), 2);
    }
    world.audit_with_rest()?;
    Ok(())
}

#[test]
fn one_more_than_there_are_partitions_is_ready_once_it_is_a_member() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut flow = Flow::create(&broker, "surplus.", 1, binary()?)?;
    let [first, second] = flow.pods_of(StageName::Account)[..] else {
        anyhow::bail!("two account processes")
    };
    let admin = broker.admin()?;
    for (number, members) in [(first, 1), (second, 2)] {
        flow.start(number)?;
        flow.wait_answers_ready(number)?;
        assert_eq!(admin.members(&flow.names.group(StageName::Account))?.len(), members);
    }
    Ok(())
}

#[test]
fn the_only_one_keeps_its_place_and_has_its_partitions_when_it_comes_back() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "staying.", ACCOUNTS)?;
    let [inflight] = world.pods_of(StageName::Inflight)[..] else { anyhow::bail!("one inflight process") };
    world.flow.stop(inflight)?;
    assert_eq!(world.members(StageName::Inflight)?, [world.flow.pods[inflight].control.clone()]);
    world.flow.start(inflight)?;
    for payment in 0..PAYMENTS {
        world.send(&load::payment("staying", payment, ACCOUNTS)?)?;
    }
    world.audit_with_rest()?;
    Ok(())
}
