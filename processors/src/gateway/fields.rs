//! The fields of a request's JSON body: none that the API does not know, and those that only the gateway reads. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kpay_domain::Malformed;
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::{Failure, Problem};

/// The fields of an object, unread. A key without escapes is borrowed.
type Raw<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The fields of a body; no bytes are an object without fields. Refuses a field that is not `known`: misspelt, it would
/// be left out silently. Records of payment.incoming are read more freely, since their senders may be ahead of us.
pub(super) fn object(body: &[u8], known: &[&str]) -> Result<BTreeMap<String, Value>, Failure> {
    if body.is_empty() {
        return Ok(BTreeMap::new());
    }
    let fields: BTreeMap<String, Value> = serde_json::from_slice(body).map_err(|error| {
        let detail = match error.classify() {
            serde_json::error::Category::Data => "is not a JSON object".to_owned(),
            _ => error.to_string(),
        };
        Problem::malformed(&Malformed { code: "json_invalid", field: "body", detail: detail.into() })
    })?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(unknown) => Err(Problem::field_unknown(unknown, known)),
        None => Ok(fields),
    }
}

/// Refuses a body of a payment or a command with a field that is not `known`; of `amount`, with another than its two.
/// What cannot be read at all is left to the domain, which names what is wrong.
pub(super) fn check(body: &[u8], known: &[&str]) -> Result<(), Failure> {
    let Ok(fields) = serde_json::from_slice::<Raw<'_>>(body) else { return Ok(()) };
    if let Some(unknown) = fields.keys().find(|field| !known.contains(&field.as_ref())) {
        return Err(Problem::field_unknown(unknown, known));
    }
    for (object, known) in OBJECTS {
        let inner = fields.get(*object).and_then(|raw| serde_json::from_str::<Raw<'_>>(raw.get()).ok());
        let unknown =
            inner.as_ref().and_then(|inner| inner.keys().find(|field| !known.contains(&field.as_ref())));
        if let Some(unknown) = unknown {
            return Err(Problem::field_unknown(&format!("{object}.{unknown}"), known));
        }
    }
    Ok(())
}

/// The objects within a body, and their fields.
const OBJECTS: &[(&str, &[&str])] = &[
    ("amount", &["value", "currency"]),
    ("limits", &["overdraft", "dailyOutflow", "dailyCount", "lowestBalance"]),
];

/// Takes a text out; null and empty are none.
pub(super) fn text(
    fields: &mut BTreeMap<String, Value>,
    field: &'static str,
    bytes_max: usize,
) -> Result<Option<String>, Failure> {
    let malformed =
        |code, detail: String| Problem::malformed(&Malformed { code, field, detail: detail.into() });
    match fields.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() > bytes_max => {
            Err(malformed("text_too_long", format!("has more than {bytes_max} bytes")))
        }
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed("field_type", "is not a text".to_owned())),
    }
}
