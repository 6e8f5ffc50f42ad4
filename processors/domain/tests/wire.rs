//! What is written is read again, in every form; what is not ours is refused and never panics.

mod common;

use common::{
    any_account, any_account_id, any_command, any_entry, any_hold, any_intake, any_outcome, any_payment,
    currency, payment,
};
use kpay_domain::{
    AccountCommand, AccountSnapshot, Action, Attributes, Command, Currency, HeldPayment, Intake, LedgerEntry,
    Money, Outcome, Payment, Progress, Reference, confirmed,
    fingerprint::{fingerprint, id_hash},
    intake,
};
use proptest::{collection::vec, option, prelude::*};
use serde_json::{Value, json};

fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut buffer = Vec::new();
    encode(&mut buffer);
    buffer
}

fn decode_everything(bytes: &[u8]) {
    let _ = Intake::decode(bytes);
    let _ = Command::decode(bytes);
    let _ = LedgerEntry::decode(bytes);
    let _ = AccountSnapshot::decode(bytes);
    let _ = Outcome::decode(bytes);
}

/// The JSON body of the same intake, and its `kpay-kind`.
fn json_of(intake: &Intake) -> (Value, &'static str) {
    let amount = |minor: i64, currency: Option<&Currency>| {
        // Null is as good as absent.
        json!({"value": minor, "currency": currency.map(Currency::as_str)})
    };
    match intake {
        Intake::Payment(payment) => {
            let attributes: serde_json::Map<_, _> =
                payment.attributes.iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
            let body = json!({
                "id": payment.id.as_str(),
                "from": payment.from.as_str(),
                "to": payment.to.as_str(),
                "amount": amount(payment.amount.minor, Some(&payment.amount.currency)),
                "reference": payment.reference.as_ref().map(Reference::as_str),
                "attributes": attributes,
                "occurredAtMs": payment.occurred_at_ms,
                "refund": payment.refund.as_ref().map(|refund| {
                    json!({"of": refund.of.as_str(), "amount": refund.amount_minor})
                }),
            });
            (body, "payment")
        }
        Intake::Account(AccountCommand { id, account, action, occurred_at_ms }) => match action {
            Action::Open { currency, funding_minor } => {
                let body = json!({
                    "id": account.as_str(),
                    "commandId": id.as_str(),
                    "funding": funding_minor,
                    "currency": currency.as_ref().map(Currency::as_str),
                    "occurredAtMs": occurred_at_ms,
                });
                (body, "account.open")
            }
            Action::Fund { amount_minor, currency } => {
                let amount = amount(*amount_minor, currency.as_ref());
                let body = json!({
                    "id": id.as_str(),
                    "account": account.as_str(),
                    "amount": amount,
                    "occurredAtMs": occurred_at_ms,
                });
                (body, "account.fund")
            }
            Action::Change(change) => {
                let (id, account) = (id.as_str(), account.as_str());
                let body = json!({"id": id, "account": account, "occurredAtMs": occurred_at_ms});
                (body, change.as_str())
            }
            Action::Limits(limits) => {
                let limits = json!({
                    "overdraft": limits.overdraft_minor,
                    "dailyOutflow": limits.daily_outflow_minor,
                    "dailyCount": limits.daily_count,
                    "lowestBalance": limits.lowest_balance_minor,
                });
                let (id, account) = (id.as_str(), account.as_str());
                let body =
                    json!({"id": id, "account": account, "limits": limits, "occurredAtMs": occurred_at_ms});
                (body, "account.limits")
            }
            Action::Decide(decide) => {
                let body = json!({
                    "id": id.as_str(),
                    "account": account.as_str(),
                    "payment": decide.payment.as_str(),
                    "by": decide.by.as_str(),
                    "why": decide.why.as_str(),
                    "occurredAtMs": occurred_at_ms,
                });
                (body, decide.verdict.kind())
            }
        },
    }
}

proptest! {
    #[test]
    fn an_intake_is_read_as_it_was_written(intake in any_intake()) {
        prop_assert_eq!(Intake::decode(&bytes(|b| intake.encode(b))), Ok(intake));
    }

    #[test]
    fn a_command_is_read_as_it_was_written(command in any_command()) {
        prop_assert_eq!(Command::decode(&bytes(|b| command.encode(b))), Ok(command));
    }

    #[test]
    fn an_entry_is_read_as_it_was_written(entry in any_entry()) {
        prop_assert_eq!(LedgerEntry::decode(&bytes(|b| entry.encode(b))), Ok(entry));
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written(account in any_account_id(), state in any_account(), at_ms: i64) {
        let snapshot = AccountSnapshot { account, state, at_ms };
        prop_assert_eq!(AccountSnapshot::decode(&bytes(|b| snapshot.encode(b))), Ok(snapshot));
    }

    #[test]
    fn a_held_payment_is_read_as_it_was_written(payment in any_payment(), accepted_at_ms: i64, hold in any_hold()) {
        let held = HeldPayment { payment, accepted_at_ms, hold };
        prop_assert_eq!(HeldPayment::decode(&bytes(|b| held.encode(b))), Ok(held));
    }

    #[test]
    fn an_outcome_is_read_as_it_was_written(outcome in any_outcome()) {
        prop_assert_eq!(Outcome::decode(&bytes(|b| outcome.encode(b))), Ok(outcome));
    }

    #[test]
    fn encoding_appends(command in any_command(), before in vec(any::<u8>(), 0..20)) {
        let mut buffer = before.clone();
        command.encode(&mut buffer);
        prop_assert_eq!(buffer, [before, bytes(|b| command.encode(b))].concat());
    }

    #[test]
    fn json_and_protobuf_are_the_same_intake(intake in any_intake()) {
        let (json, kind) = json_of(&intake);
        let json = json.to_string();
        let by_header = intake::parse(json.as_bytes(), Some("application/json; charset=utf-8"), Some(kind));
        prop_assert_eq!(by_header.as_ref(), Ok(&intake));
        // The fields of a change of status, and of what becomes of a hold, do not tell which it is.
        let untold = |action: &Action| matches!(action, Action::Change(_) | Action::Decide(_));
        if !matches!(&intake, Intake::Account(command) if untold(&command.action)) {
            prop_assert_eq!(intake::parse(json.as_bytes(), Some("application/json"), None), by_header);
        }
        let by_protobuf = intake::parse(&bytes(|b| intake.encode(b)), Some("application/x-protobuf"), None);
        prop_assert_eq!(by_protobuf.map(|intake| fingerprint(&intake)), Ok(fingerprint(&intake)));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(
        value in vec(any::<u8>(), 0..300),
        content_type in option::of(prop_oneof![Just("application/json"), Just("application/x-protobuf"), Just("?")]),
        kind in option::of(prop_oneof![Just("payment"), Just("account.open"), Just("account.fund"), Just("account.close"), Just("?")]),
    ) {
        let _ = intake::parse(&value, content_type, kind);
        decode_everything(&value);
    }

    #[test]
    fn no_text_makes_the_json_parser_panic(value in "[{}\\[\\]\":,a-z0-9.eE \\\\u-]{0,80}", kind in option::of("[a-z.]{0,12}")) {
        let _ = intake::parse(value.as_bytes(), Some("application/json"), kind.as_deref());
    }

    #[test]
    fn no_damaged_record_makes_a_decoder_panic(
        command in any_command(), outcome in any_outcome(), entry in any_entry(), at: prop::sample::Index, with: u8
    ) {
        for mut record in [
            bytes(|b| command.encode(b)), bytes(|b| outcome.encode(b)), bytes(|b| entry.encode(b))
        ] {
            let at = at.index(record.len());
            record[at] ^= with;
            decode_everything(&record);
            record.truncate(at);
            decode_everything(&record);
        }
    }

    #[test]
    fn the_fingerprint_leaves_out_when_it_occurred(payment in any_payment(), at_ms: i64) {
        let later = Payment { occurred_at_ms: Some(at_ms), ..payment.clone() };
        prop_assert_eq!(fingerprint(&Intake::Payment(later)), fingerprint(&Intake::Payment(payment)));
    }

    #[test]
    fn the_fingerprint_tells_every_other_field(payment in any_payment(), other in any_payment()) {
        let base = fingerprint(&Intake::Payment(payment.clone()));
        let minor = payment.amount.minor.wrapping_add(1);
        let changed = [
            Payment { from: other.from.clone(), ..payment.clone() },
            Payment { to: other.to.clone(), ..payment.clone() },
            Payment { amount: Money::new(minor, payment.amount.currency), ..payment.clone() },
            Payment { amount: Money::new(payment.amount.minor, other.amount.currency), ..payment.clone() },
            Payment { reference: other.reference.clone(), ..payment.clone() },
            Payment { attributes: other.attributes.clone(), ..payment.clone() },
        ];
        for changed in changed {
            let same = changed == payment;
            prop_assert_eq!(fingerprint(&Intake::Payment(changed)) == base, same);
        }
    }

    #[test]
    fn attributes_have_one_order(pairs in vec(("[a-c]{1,2}", "[a-z]{0,3}"), 0..8)) {
        let new = |pairs: &[(String, String)]| {
            Attributes::new(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        };
        let attributes = new(&pairs).unwrap();
        let last: std::collections::BTreeMap<_, _> = pairs.iter().cloned().collect();
        let kept: Vec<_> = attributes.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(kept, last.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_published_json_says_what_the_outcome_says(outcome in any_outcome()) {
        let json: Value = serde_json::from_slice(&bytes(|b| confirmed::to_json(&outcome, b))).unwrap();
        prop_assert_eq!(&json["id"], outcome.id().as_str());
        prop_assert_eq!(&json["status"], outcome.status.as_str());
        let reason = outcome.status.reason().map(|reason| reason.code().to_owned());
        prop_assert_eq!(json.get("reason").cloned(), reason.map(Value::from));
        if let Intake::Payment(payment) = &outcome.subject {
            prop_assert_eq!(&json["from"], payment.from.as_str());
            prop_assert_eq!(&json["to"], payment.to.as_str());
            let amount = json!({"value": payment.amount.minor, "currency": payment.amount.currency.as_str()});
            prop_assert_eq!(&json["amount"], &amount);
            let reference = payment.reference.as_ref().map(|reference| Value::from(reference.as_str()));
            prop_assert_eq!(json.get("reference").cloned(), reference);
        }
        prop_assert_eq!(&json["timeline"][0]["step"], "accepted");
    }

    #[test]
    fn progress_is_read_as_it_was_written(count: u64, value in prop::collection::btree_map("[A-Z]{3}", any::<i128>(), 0..9)) {
        let value = value.into_iter().map(|(code, minor)| (currency(&code), minor)).collect();
        let progress = Progress { count, value };
        prop_assert_eq!(Progress::from_text(&progress.to_text()), Ok(progress));
    }

    #[test]
    fn no_text_makes_progress_panic(text in "(v1;)?[v0-9A-Z;=-]{0,40}") {
        let _ = Progress::from_text(&text);
    }

    #[test]
    fn progress_of_parts_is_progress_of_the_whole(intakes in vec(any_intake(), 0..20), at: prop::sample::Index) {
        let of = |intakes: &[Intake]| {
            let mut progress = Progress::default();
            for intake in intakes {
                progress.record(intake);
            }
            progress
        };
        let (left, right) = intakes.split_at(at.index(intakes.len() + 1));
        let mut merged = of(left);
        merged.merge(&of(right));
        prop_assert_eq!(merged, of(&intakes));
    }
}

#[test]
fn the_most_progress_fits_in_the_metadata_of_an_offset() {
    let mut progress = Progress { count: u64::MAX, ..Progress::default() };
    let letters = || (b'A'..=b'Z').map(char::from);
    for a in letters() {
        for b in letters() {
            for c in letters() {
                let mut payment = payment(i64::MAX);
                payment.amount.currency = currency(&format!("{a}{b}{c}"));
                progress.record(&Intake::Payment(payment));
            }
        }
    }
    let text = progress.to_text();
    assert!(progress.value.len() > 150, "{}", progress.value.len());
    assert!(text.len() <= 4096, "{} bytes", text.len());
}

#[test]
fn texts_that_are_no_progress_are_refused() {
    for text in
        ["", "v2;1", "v1", "v1;", "v1;x", "v1;-1", "v1;1;", "v1;1;USD", "v1;1;usd=1", "v1;1;USD=1;USD=2"]
    {
        assert!(Progress::from_text(text).is_err(), "{text:?}");
    }
    assert_eq!(Progress::from_text("v1;0"), Ok(Progress::default()));
}

#[test]
fn hashes_stay_what_they_are() {
    assert_eq!(fingerprint(&Intake::Payment(payment(1234))), 11_378_780_082_710_044_016);
    assert_eq!(id_hash("p-1"), [0, 126, 91, 54, 196, 21, 135, 156, 144, 202, 112, 37]);
}
