//! The confirmed stage: each outcome is published once, as it is.

use std::rc::Rc;

use kpay::names::TopicName;
use kpay_domain::{Intake, Outcome, Status};
use kpay_streams::sim::{Decided, SimRecord};
use serde_json::Value;

use super::{Books, Checked, Moved, index, wrong};
use crate::request::Body;

impl Books {
    pub(super) fn published(&mut self, moved: &[Moved<'_>], decided: &Decided) -> Checked {
        let mut due: Vec<(i32, Rc<Outcome>)> = Vec::new();
        for moved in moved {
            let range = self.outcomes[index(moved.partition)].range(moved.from..moved.to);
            due.extend(range.map(|(_, outcome)| (moved.partition, Rc::clone(outcome))));
        }
        for (topic, record) in &decided.records {
            if self.topics[*topic] != TopicName::Confirmed {
                return wrong("published_extra", format!("{record:?}"));
            }
            let at = due.iter().position(|(_, outcome)| outcome.id().as_str().as_bytes() == record.key);
            let Some(at) = at else {
                return wrong(
                    "one_published",
                    format!("{record:?} has no outcome in this transaction's input"),
                );
            };
            let (partition, outcome) = due.remove(at);
            self.publish(partition, record, &outcome)?;
        }
        match due.first() {
            None => Ok(()),
            Some((_, outcome)) => wrong("published_lost", format!("{outcome:?} was read and not published")),
        }
    }

    fn publish(&mut self, partition: i32, record: &SimRecord, outcome: &Outcome) -> Checked {
        let id = outcome.id().as_str();
        self.placed(TopicName::Confirmed, record, id)?;
        if !tells(record, outcome) {
            return wrong("published", format!("{record:?} is not {outcome:?}"));
        }
        let Some(known) = self.known.get_mut(id) else { return wrong("invented", id) };
        let held = matches!(outcome.status, Status::Held(_));
        let before = match &mut known.held {
            Some(published) if held => std::mem::replace(published, true),
            _ => std::mem::replace(&mut known.published, true),
        };
        if before {
            return wrong("one_published", format!("{id} is published twice"));
        }
        let finished = &mut self.finished[index(partition)];
        match (&known.request.body, known.held) {
            // It counts with the payment's second outcome.
            (Body::Decide { .. }, _) if outcome.status == Status::Confirmed => {}
            // Its value is out of the pipeline since it was held.
            (_, Some(true)) if !held => finished.add_one(),
            (_, Some(false)) => return wrong("hold", format!("{id} ends before its hold is published")),
            (body, _) => finished.add(body, super::intake::refused(body).is_none()),
        }
        Ok(())
    }
}

/// Whether the JSON and the headers say the same as the outcome.
fn tells(record: &SimRecord, outcome: &Outcome) -> bool {
    let value = record.value.as_deref().unwrap_or_default();
    let Ok(json) = serde_json::from_slice::<Value>(value) else { return false };
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let subject = match &outcome.subject {
        Intake::Payment(payment) => {
            text("from") == Some(payment.from.as_str())
                && text("to") == Some(payment.to.as_str())
                && json.pointer("/amount/value").and_then(Value::as_i64) == Some(payment.amount.minor)
        }
        Intake::Account(command) => text("account") == Some(command.account.as_str()),
    };
    let header = record.headers.iter().find(|(name, _)| name == "ce_id").map(|(_, v)| v.as_slice());
    subject
        && text("id") == Some(outcome.id().as_str())
        && text("status") == Some(outcome.status.as_str())
        && text("reason") == outcome.status.reason().map(kpay_domain::Reason::code)
        && header == Some(outcome.id().as_str().as_bytes())
}
