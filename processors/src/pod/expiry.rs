//! Ends the holds that nobody decided in time: the account stage's pod asks for it by payment.incoming, as a person would,
//! so that it is idempotent, counted, and waits while the pipeline is paused. Only I/O and the clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kpay_domain::{
    AccountCommand, Action, DecideHold, HeldPayment, HoldVerdict, Intake, PaymentId, Reference,
    intake::default_id,
};
use kpay_streams::clock::now_ms;
use tracing::{info, warn};

use crate::gateway::append::Appender;
use crate::stage::account::Holds;

/// Between two looks at what is held.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So long after its time a hold is ended: the worker that decides may have another clock.
const GRACE_MS: i64 = 2_000;
/// After so long without an effect it is asked for again.
const AGAIN_MS: i64 = 600_000;

/// Opens payment.incoming; only asked for when there is something to append.
pub(crate) type Open = Box<dyn Fn() -> anyhow::Result<Arc<dyn Appender>> + Send + Sync>;

/// Looks at what is held in the partitions of this process until it is dropped.
pub(crate) async fn run(holds: Arc<Holds>, partitions: i32, open: Open) {
    let (mut asked, mut appender) = (HashMap::new(), None);
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        for command in due(&holds, partitions, &mut asked, now_ms()) {
            let ended = end(&mut appender, &open, command).await;
            if let Err(error) = ended {
                warn!(error = format!("{error:#}"), "a hold is not ended yet");
                asked.clear();
            }
        }
    }
}

async fn end(
    appender: &mut Option<Arc<dyn Appender>>,
    open: &Open,
    command: AccountCommand,
) -> anyhow::Result<()> {
    let appender = match appender {
        Some(appender) => Arc::clone(appender),
        None => Arc::clone(appender.insert(open()?)),
    };
    let (mut record, id) = (Vec::new(), command.id.clone());
    Intake::Account(command).encode(&mut record);
    appender.append(id.as_str(), &record).await?;
    info!(command = id.as_str(), "the time of a hold is over");
    Ok(())
}

/// The commands that end what is over; each once, and again when nothing came of it.
fn due(
    holds: &Holds,
    partitions: i32,
    asked: &mut HashMap<PaymentId, i64>,
    now_ms: i64,
) -> Vec<AccountCommand> {
    let mut over = HashMap::new();
    for partition in 0..partitions {
        holds.each(partition, &mut |id, held| {
            if now_ms >= held.hold.expires_at_ms.saturating_add(GRACE_MS) {
                over.insert(id.clone(), held.clone());
            }
        });
    }
    asked.retain(|id, _| over.contains_key(id));
    let mut commands = Vec::new();
    for (id, held) in over {
        if asked.get(&id).is_none_or(|at_ms| now_ms.saturating_sub(*at_ms) >= AGAIN_MS) {
            asked.insert(id, now_ms);
            commands.push(expire(&held));
        }
    }
    commands
}

fn expire(held: &HeldPayment) -> AccountCommand {
    let words = |text| Reference::new(text).ok().flatten().expect("a few words");
    let payment = held.payment.id.clone();
    let decide = DecideHold {
        verdict: HoldVerdict::Expire,
        by: words("kpay"),
        why: words("nobody decided in time"),
        payment,
    };
    AccountCommand {
        id: default_id(HoldVerdict::Expire.as_str(), held.payment.id.as_str()),
        account: held.payment.from.clone(),
        action: Action::Decide(Box::new(decide)),
        occurred_at_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use kpay_domain::{AccountId, Attributes, Currency, Hold, Money, Payment, RuleName};
    use kpay_streams::table::Table;

    use super::*;

    fn held(id: &str, expires_at_ms: i64) -> (PaymentId, HeldPayment) {
        let payment = Payment {
            id: PaymentId::new(id).unwrap(),
            from: AccountId::new("alice").unwrap(),
            to: AccountId::new("bob").unwrap(),
            amount: Money::new(5, Currency::new("USD").unwrap()),
            reference: None,
            attributes: Attributes::default(),
            occurred_at_ms: None,
            refund: None,
        };
        let rule = RuleName::new("big").unwrap();
        let hold = Hold { rule, held_at_ms: 0, expires_at_ms, decided: None };
        (payment.id.clone(), HeldPayment { payment, accepted_at_ms: 0, hold })
    }

    #[test]
    fn what_is_over_is_ended_once_and_again_when_nothing_came_of_it() {
        let holds = Arc::<Holds>::default();
        let mut table = Table::new(Arc::clone(&holds));
        table
            .restore(0, |table| {
                table.extend([held("p-1", 1000), held("p-2", 9_000_000)]);
                Ok::<_, ()>(())
            })
            .unwrap();
        let mut asked = HashMap::new();
        let mut ids = |now_ms| {
            let commands = due(&holds, 1, &mut asked, now_ms);
            commands.into_iter().map(|command| command.id.to_string()).collect::<Vec<_>>()
        };
        assert!(ids(1000 + GRACE_MS - 1).is_empty());
        assert_eq!(ids(1000 + GRACE_MS), ["expire:p-1"]);
        assert!(ids(1001 + GRACE_MS).is_empty());
        assert_eq!(ids(1000 + GRACE_MS + AGAIN_MS), ["expire:p-1"]);
    }
}
