//! A letter as its reader sees it: the views, and the bytes as hexadecimal digits, as text and as what they mean. Pure.

use std::fmt::Write as _;

use kpay_domain::{Command, Intake, Outcome, confirmed, intake};
use serde_json::{Value, json};

use super::dto::{DeadLetterView, HeaderView, SourceView, ValueView};
use super::letter::{Full, Letter, rfc3339};
use super::replayed::Marked;
use crate::gateway::dto::PaymentView;
use crate::names::StageName;

/// Of a value, in bytes.
const SHOWN_BYTES_MAX: usize = 4096;
/// A longer value is not decoded.
const DECODED_BYTES_MAX: usize = 64 * 1024;

/// As in the list.
pub(super) fn letter_view(letter: &Letter, marked: Option<Marked>) -> DeadLetterView {
    let Letter { id, at_ms, code, detail, stage, topic, partition, offset, key, bytes, replays, .. } = letter;
    DeadLetterView {
        id: id.to_string(),
        at: rfc3339(*at_ms),
        code: code.clone(),
        detail: detail.clone(),
        stage: stage.clone(),
        source: SourceView {
            topic: topic.clone(),
            partition: *partition,
            offset: (*offset >= 0).then_some(*offset),
        },
        key: key.clone(),
        bytes: *bytes,
        replays: replays.saturating_add(u32::from(marked.is_some())),
        replayed_at: marked.map(|marked| rfc3339(marked.at_ms)),
    }
}

/// The headers that the record came with.
pub(super) fn headers_view(full: &Full) -> Vec<HeaderView> {
    let view = |(name, value): &(String, Vec<u8>)| {
        let (text, hex) = match text(value) {
            Some(text) => (Some(text), None),
            None => (None, Some(hex(value))),
        };
        HeaderView { name: name.clone(), text, hex }
    };
    full.own_headers().map(view).collect()
}

/// The value; `source` is the stage that reads the topic where it came from.
pub(super) fn value_view(full: &Full, source: Option<StageName>) -> ValueView {
    let Full { letter, value, .. } = full;
    ValueView {
        bytes: letter.bytes,
        cut_from: letter.cut_from,
        hex: hex(value),
        text: text(value),
        decoded: decoded(value, source),
    }
}

fn hex(bytes: &[u8]) -> String {
    let bytes = bytes.get(..SHOWN_BYTES_MAX).unwrap_or(bytes);
    let mut digits = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The beginning as text, unless there is something in it that is none.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    let text = text.get(..text.floor_char_boundary(SHOWN_BYTES_MAX))?;
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(plain).then(|| text.to_owned())
}

fn decoded(value: &[u8], source: Option<StageName>) -> Option<Value> {
    if value.len() > DECODED_BYTES_MAX {
        return None;
    }
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_slice(value) {
        return Some(json);
    }
    match source? {
        StageName::Inflight => intake::parse(value, None, None).ok().map(|intake| asked(&intake)),
        StageName::Account => {
            let command = Command::decode(value).ok()?;
            let (step, of) = match &command {
                Command::Debit { payment, .. } => ("debit", Intake::Payment(payment.clone())),
                Command::Credit { payment, .. } => ("credit", Intake::Payment(payment.clone())),
                Command::Reverse { payment, .. } => ("reverse", Intake::Payment(payment.clone())),
                Command::Account { command, .. } => ("account", Intake::Account(command.clone())),
                Command::Settled { payment, account } => {
                    let (payment, account) = (payment.as_str(), account.as_str());
                    return Some(json!({"step": "settled", "account": account, "payment": payment}));
                }
            };
            let account = command.account_id().as_str();
            Some(json!({"step": step, "account": account, "of": asked(&of)}))
        }
        StageName::Confirmed => Outcome::decode(value).ok().and_then(|outcome| {
            let mut json = Vec::new();
            confirmed::to_json(&outcome, &mut json);
            serde_json::from_slice(&json).ok()
        }),
    }
}

/// What was asked for, without what a view adds to it.
fn asked(intake: &Intake) -> Value {
    let mut view = serde_json::to_value(PaymentView::accepted(intake)).unwrap_or_default();
    if let Some(fields) = view.as_object_mut() {
        fields.retain(|name, _| name != "status" && name != "timeline");
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_only_when_it_is_some_and_never_cut_within_a_character() {
        assert_eq!(text(b"a\tb\n").as_deref(), Some("a\tb\n"));
        for none in [&b""[..], b"\x0a\x03p-1\x12", b"\xff"] {
            assert_eq!(text(none), None, "{none:?}");
        }
        let long = "é".repeat(SHOWN_BYTES_MAX);
        assert_eq!(text(long.as_bytes()).map(|text| text.len()), Some(SHOWN_BYTES_MAX));
        let odd = format!("a{long}");
        assert_eq!(text(odd.as_bytes()).map(|text| text.len()), Some(SHOWN_BYTES_MAX - 1));
        assert_eq!(hex(&[0, 171, 16]), "00ab10");
        assert_eq!(hex(&vec![1; 5000]).len(), 2 * SHOWN_BYTES_MAX);
    }
}
