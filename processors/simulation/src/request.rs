//! What a client asks for, and the bytes that say it: by construction, so that the checks need not read them. Pure.

use std::rc::Rc;

use kpay_domain::{
    AccountCommand, AccountId, AccountLimits, Action, Attributes, Currency, DecideHold, HoldVerdict, Intake,
    Money, Payment, PaymentId, Reference, Refund, StatusChange, intake::default_id,
};

/// A request with its idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The key.
    pub id: String,
    /// What is asked for.
    pub body: Body,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of the domain")]
pub enum Body {
    Payment {
        from: String,
        to: String,
        amount: i64,
        currency: &'static str,
        reference: Option<u8>,
        /// Of which payment, and what that one moved.
        refund: Option<(String, i64)>,
    },
    Open {
        account: String,
        currency: Option<&'static str>,
        funding: i64,
    },
    Fund {
        account: String,
        amount: i64,
        currency: Option<&'static str>,
    },
    Change {
        account: String,
        change: StatusChange,
    },
    Limits {
        account: String,
        limits: AccountLimits,
    },
    Decide {
        account: String,
        payment: String,
        verdict: HoldVerdict,
        by: u8,
    },
}

/// What the pipeline has to make of a record of payment.incoming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It can be read.
    Good(Rc<Request>),
    /// A dead letter with this code.
    Bad(&'static str),
}

/// A record as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wire {
    /// The value.
    pub value: Vec<u8>,
    /// The headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

fn words(text: &str) -> Reference {
    Reference::new(text).unwrap().unwrap()
}

fn currency(text: &str) -> Currency {
    Currency::new(text).unwrap()
}

impl Request {
    fn intake(&self) -> Intake {
        let id = PaymentId::new(&self.id).unwrap();
        let (account, action) = match &self.body {
            Body::Payment { from, to, amount, currency: of, reference, refund } => {
                return Intake::Payment(Payment {
                    id,
                    from: AccountId::new(from).unwrap(),
                    to: AccountId::new(to).unwrap(),
                    amount: Money::new(*amount, currency(of)),
                    reference: reference.and_then(|r| Reference::new(&format!("invoice {r}")).unwrap()),
                    attributes: Attributes::default(),
                    occurred_at_ms: None,
                    refund: refund.as_ref().map(|(of, paid)| {
                        Box::new(Refund { of: PaymentId::new(of).unwrap(), amount_minor: *paid })
                    }),
                });
            }
            Body::Open { account, currency: of, funding } => {
                (account, Action::Open { currency: of.map(currency), funding_minor: *funding })
            }
            Body::Fund { account, amount, currency: of } => {
                (account, Action::Fund { amount_minor: *amount, currency: of.map(currency) })
            }
            Body::Change { account, change } => (account, Action::Change(*change)),
            Body::Limits { account, limits } => (account, Action::Limits(Box::new(*limits))),
            Body::Decide { account, payment, verdict, by } => {
                let payment = PaymentId::new(payment).unwrap();
                let (by, why) = (words(&format!("person {by}")), words("looked at"));
                (account, Action::Decide(Box::new(DecideHold { payment, verdict: *verdict, by, why })))
            }
        };
        let account = AccountId::new(account).unwrap();
        Intake::Account(AccountCommand { id, account, action, occurred_at_ms: None })
    }

    /// As the gateway writes it.
    pub fn protobuf(&self) -> Wire {
        let mut value = Vec::new();
        self.intake().encode(&mut value);
        Wire { value, headers: Vec::new() }
    }

    /// As any Kafka client may write it. A change of status has to say its kind, others may.
    pub fn json(&self, say_kind: bool) -> Wire {
        if matches!(&self.body, Body::Payment { refund: Some(_), .. }) {
            // Only the gateway writes refunds.
            return self.protobuf();
        }
        let id = &self.id;
        let money = |amount: &i64, currency: Option<&str>| match currency {
            Some(currency) => format!(r#"{{"value":{amount},"currency":"{currency}"}}"#),
            None => format!(r#"{{"value":{amount}}}"#),
        };
        let (kind, text) = match &self.body {
            Body::Payment { from, to, amount, currency, reference, .. } => {
                let amount = money(amount, Some(currency));
                let reference =
                    reference.map(|r| format!(r#","reference":"invoice {r}""#)).unwrap_or_default();
                let text =
                    format!(r#"{{"id":"{id}","from":"{from}","to":"{to}","amount":{amount}{reference}}}"#);
                ("payment", text)
            }
            Body::Open { account, currency, funding } => {
                let currency = currency.map(|c| format!(r#","currency":"{c}""#)).unwrap_or_default();
                let text =
                    format!(r#"{{"id":"{account}","commandId":"{id}","funding":{funding}{currency}}}"#);
                ("account.open", text)
            }
            Body::Fund { account, amount, currency } => {
                let amount = money(amount, *currency);
                ("account.fund", format!(r#"{{"id":"{id}","account":"{account}","amount":{amount}}}"#))
            }
            Body::Change { account, change } => {
                (change.as_str(), format!(r#"{{"id":"{id}","account":"{account}"}}"#))
            }
            Body::Limits { account, limits } => {
                let limits = own(limits);
                ("account.limits", format!(r#"{{"id":"{id}","account":"{account}","limits":{{{limits}}}}}"#))
            }
            Body::Decide { account, payment, verdict, by } => {
                // The id that it has without one is not always said.
                let own = id.as_str() == default_id(verdict.as_str(), payment).as_str();
                let id = if own { String::new() } else { format!(r#""id":"{id}","#) };
                let text = format!(
                    r#"{{{id}"account":"{account}","payment":"{payment}","by":"person {by}","why":"looked at"}}"#
                );
                (verdict.kind(), text)
            }
        };
        let mut headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
        if say_kind || matches!(self.body, Body::Change { .. } | Body::Decide { .. }) {
            headers.push(("kpay-kind".to_owned(), kind.as_bytes().to_vec()));
        }
        Wire { value: text.into_bytes(), headers }
    }
}

fn own(limits: &AccountLimits) -> String {
    let fields = [
        ("overdraft", limits.overdraft_minor),
        ("dailyOutflow", limits.daily_outflow_minor),
        ("dailyCount", limits.daily_count.map(i64::from)),
        ("lowestBalance", limits.lowest_balance_minor),
    ];
    let said = fields.iter().filter_map(|(name, limit)| limit.map(|limit| format!(r#""{name}":{limit}"#)));
    said.collect::<Vec<_>>().join(",")
}

/// Records that nobody can read, with the code that their dead letter has to carry.
pub fn garbage(which: usize, salt: u8) -> (Wire, &'static str) {
    let json = |text: String| {
        let headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
        Wire { value: text.into_bytes(), headers }
    };
    match which % 6 {
        0 => (Wire { value: vec![0xff, 0xff, 0xff, salt], headers: Vec::new() }, "protobuf_invalid"),
        1 => (Wire { value: Vec::new(), headers: Vec::new() }, "record_empty"),
        2 => (json(format!(r#"{{"id":"x{salt}","#)), "json_invalid"),
        3 => {
            let amount = r#"{"value":1.5,"currency":"USD"}"#;
            let text = format!(r#"{{"id":"x{salt}","from":"a0","to":"a1","amount":{amount}}}"#);
            (json(text), "amount_not_integer")
        }
        4 => {
            let headers = vec![("content-type".to_owned(), b"text/plain".to_vec())];
            (Wire { value: vec![b'h', b'i', salt], headers }, "content_type_unknown")
        }
        _ => {
            let amount = r#"{"value":1,"currency":"USD"}"#;
            let text = format!(r#"{{"id":"no spaces {salt}","from":"a0","to":"a1","amount":{amount}}}"#);
            (json(text), "id_invalid")
        }
    }
}
