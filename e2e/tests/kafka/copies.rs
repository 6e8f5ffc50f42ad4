//! The same payment more than once.

use kpay::names::StageName;
use kpay_e2e::load;

use crate::world::{World, broker, bytes, turn};

const ACCOUNTS: u64 = 10;
const PAYMENTS: u64 = 60;

#[test]
fn three_copies_of_a_payment_have_one_effect_whenever_they_come() -> anyhow::Result<()> {
    let broker = broker()?;
    let _turn = turn();
    let mut world = World::start(&broker, "copies.", ACCOUNTS)?;
    let rest = world.rest()?;
    let payments = (0..PAYMENTS).map(|number| load::payment("copy", number, ACCOUNTS));
    let payments = payments.collect::<Result<Vec<_>, _>>()?;

    // In one batch: nothing is flushed in between.
    for intake in &payments {
        for _ in 0..3 {
            world.send(intake)?;
        }
    }
    let once = world.audit()?;
    // Later; also under a key that puts them elsewhere, so that they come by a detour.
    for intake in &payments {
        world.send(intake)?;
        world.appender.append_raw(Some("detour"), None, &[], &bytes(intake))?;
    }
    world.appender.flush()?;
    assert_eq!(world.audit()?.balances, once.balances);
    // After a restart of the stage that tells copies apart.
    for number in world.pods_of(StageName::Inflight) {
        world.crash(number)?;
    }
    for intake in &payments {
        world.send(intake)?;
    }
    assert_eq!(world.audit_with_rest()?.balances, once.balances);
    // By REST, which answers as at the first time.
    for intake in payments.iter().take(10) {
        let kpay_domain::Intake::Payment(paid) = intake else { continue };
        let (from, to) = (paid.from.as_str(), paid.to.as_str());
        let same = kpay_e2e::rest::payment(paid.id.as_str(), from, to, paid.amount.minor);
        let answer = rest.post_patiently("/v1/payments", &same, Some(30))?;
        assert_eq!((answer.status, answer.text("status")), (200, "confirmed"), "{answer:?}");
        let other = kpay_e2e::rest::payment(paid.id.as_str(), from, to, paid.amount.minor + 1);
        let answer = rest.post_patiently("/v1/payments", &other, None)?;
        assert_eq!((answer.status, answer.text("code")), (409, "idempotency_conflict"), "{answer:?}");
    }
    let report = world.audit_with_rest()?;
    assert_eq!(report.balances, once.balances);
    assert!(report.letters.is_empty(), "{:?}", report.letters);
    Ok(())
}
