//! The fields of a request's JSON body: none that the API does not know, and those that only the gateway reads. Pure.

use std::collections::BTreeMap;

use kpay_domain::Malformed;
use serde_json::Value;

use super::problem::{Failure, Problem};

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
        Some(unknown) => Err(Problem::field_unknown(unknown)),
        None => Ok(fields),
    }
}

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
