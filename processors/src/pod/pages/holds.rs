//! The held payments of a partition, the oldest hold first. Only I/O.

use std::fmt;

use kpay_domain::{HeldPayment, PaymentId, Reference, Rules};
use serde_json::{Value, json};

use super::next::Next;
use super::{PAGE_MAX, rfc3339};
use crate::pod::queries::{Answer, Queries, bytes};

/// Where a hold stands among all of them: by its time, and holds of one millisecond by their payment. It never changes, so
/// a hold that is there all the while comes exactly once in a list that is read page by page.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    held_at_ms: i64,
    payment: PaymentId,
}

impl Place {
    /// Of a hold since `held_at_ms`, milliseconds since 1970 UTC.
    pub fn new(held_at_ms: i64, payment: PaymentId) -> Self {
        Self { held_at_ms, payment }
    }

    /// Reads what [`Place`] is displayed as.
    pub fn parse(text: &str) -> Option<Self> {
        let (held_at_ms, payment) = text.split_once('.')?;
        Some(Self::new(held_at_ms.parse().ok()?, PaymentId::new(payment).ok()?))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.held_at_ms, self.payment)
    }
}

/// Which holds are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldsQuery {
    /// Of the payers' accounts.
    pub partition: i32,
    /// Where to go on; `None`: the oldest is the first.
    pub after: Option<Place>,
    /// The most to be found.
    pub limit: usize,
}

impl Queries {
    /// The payments of a partition that wait for a person.
    pub async fn holds(&self, query: HoldsQuery) -> Answer {
        let HoldsQuery { partition, after, limit } = query;
        if let Err(answer) = self.serves_accounts(partition) {
            return answer;
        }
        let (holds, partitions) = (self.holds.clone(), self.input_partitions);
        let rules = self.policy.borrow().rules.clone();
        let page = tokio::task::spawn_blocking(move || {
            let mut next = Next::new(after, limit.clamp(1, PAGE_MAX));
            let mut see = |id: &PaymentId, held: &HeldPayment| {
                next.see(&Place::new(held.hold.held_at_ms, id.clone()), held);
            };
            if !holds.each(partition, &mut see) {
                return Answer::Elsewhere;
            }
            let (page, more) = next.page();
            let page: Vec<Value> = page.iter().map(|(_, held)| hold_json(held, &rules)).collect();
            Answer::Found(bytes(&json!({"partitions": partitions, "holds": page, "more": more})))
        });
        page.await.unwrap_or(Answer::Later)
    }
}

/// A held payment as REST shows it. The message is the rule's as it is now: a hold has only its name.
pub(super) fn hold_json(held: &HeldPayment, rules: &Rules) -> Value {
    let HeldPayment { payment, hold, .. } = held;
    let mut json = json!({
        "id": payment.id.as_str(),
        "from": payment.from.as_str(),
        "to": payment.to.as_str(),
        "amount": {"value": payment.amount.minor, "currency": payment.amount.currency.as_str()},
        "rule": hold.rule.as_str(),
        "heldAt": rfc3339(hold.held_at_ms),
        "expiresAt": rfc3339(hold.expires_at_ms),
    });
    let message = rules.source(&hold.rule).and_then(|rule| rule.message.as_deref());
    let reference = payment.reference.as_ref().map(Reference::as_str);
    if let Value::Object(fields) = &mut json {
        let texts = [("message", message), ("reference", reference)];
        fields.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    }
    json
}
