//! Whether a live object still is what it should be, and the smallest patch from one status to the next. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Map, Value};

/// Whether everything in `desired` is in `live` too. What others added to an object does not matter; the
/// elements of a list must match one by one. Quantities are compared by what they are worth.
pub fn is_subset(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            desired.iter().all(|(key, value)| match live.get(key) {
                Some(found) if key == "requests" || key == "limits" => same_quantities(value, found),
                Some(found) => is_subset(value, found),
                None => is_empty(value),
            })
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.len() == live.len() && desired.iter().zip(live).all(|(d, l)| is_subset(d, l))
        }
        (desired, live) => desired == live,
    }
}

/// A hash of a value that stays the same between runs and versions (FNV-1a, 64 bits). It tells a field that
/// was removed from the desired object, which `is_subset` cannot see.
pub fn stable_hash(value: &Value) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in value.to_string().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// The JSON merge patch (RFC 7386) that turns `old` into `new`; `None` when they are equal.
pub fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let mut patch = Map::new();
    for (key, value) in new {
        let before = old.get(key).unwrap_or(&Value::Null);
        if let Some(change) = merge_patch(before, value) {
            patch.insert(key.clone(), change);
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn same_quantities(desired: &Value, live: &Value) -> bool {
    let (Value::Object(desired), Value::Object(live)) = (desired, live) else { return desired == live };
    desired.iter().all(|(key, value)| match (amount(value), live.get(key).and_then(amount)) {
        (Some(desired), Some(live)) => desired == live,
        _ => live.get(key) == Some(value),
    })
}

/// A quantity in thousandths (Kubernetes' finest unit that we meet).
fn amount(value: &Value) -> Option<i128> {
    let Quantity(text) = serde_json::from_value(value.clone()).ok()?;
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (numerator, denominator): (i128, i128) = match text.strip_prefix(number)? {
        "m" => (1, 1000),
        "" => (1, 1),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let thousandths: String = format!("{fraction:0<3}").chars().take(3).collect();
    let parsed = whole.parse::<i128>().ok()?.checked_mul(1000)?.checked_add(thousandths.parse().ok()?)?;
    Some(parsed.checked_mul(numerator)? / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_added_does_not_matter() {
        let live = json!({"spec": {"replicas": 2, "defaulted": true, "list": [{"a": 1, "b": 2}]}});
        assert!(is_subset(&json!({"spec": {"replicas": 2, "list": [{"a": 1}]}}), &live));
        assert!(!is_subset(&json!({"spec": {"replicas": 3}}), &live));
        assert!(!is_subset(&json!({"spec": {"list": []}}), &live));
        assert!(!is_subset(&json!({"spec": {"new": 1}}), &live));
    }

    #[test]
    fn quantities_are_compared_by_worth() {
        let live = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
        assert!(is_subset(&json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}}), &live));
        assert!(is_subset(&json!({"requests": {"cpu": "1.0"}}), &live));
        assert!(!is_subset(&json!({"requests": {"cpu": "500m"}}), &live));
    }

    #[test]
    fn merge_patch_is_the_difference() {
        let old = json!({"a": 1, "b": {"x": 1, "y": 2}, "gone": true});
        let new = json!({"a": 1, "b": {"x": 1, "y": 3}, "c": [1]});
        assert_eq!(merge_patch(&old, &new), Some(json!({"b": {"y": 3}, "c": [1], "gone": null})));
        assert_eq!(merge_patch(&old, &old), None);
    }

    #[test]
    fn hash_stays_between_versions() {
        assert_eq!(stable_hash(&json!({})), "08f44b07b5901a25");
    }
}
