//! Settings that differ, and what that means where others set them. Pure.

use std::collections::BTreeMap;

/// A setting that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Differing {
    key: String,
    declared: String,
    /// None where it has none.
    actual: Option<String>,
}

/// The settings that are not as declared.
pub(super) fn differing(
    declared: &BTreeMap<String, String>,
    actual: &BTreeMap<String, String>,
) -> Vec<Differing> {
    let one = |(key, value): (&String, &String)| Differing {
        key: key.clone(),
        declared: value.clone(),
        actual: actual.get(key).cloned(),
    };
    declared.iter().map(one).filter(|one| one.actual.as_ref() != Some(&one.declared)).collect()
}

/// What they should be.
pub(super) fn declared(differing: &[Differing]) -> BTreeMap<String, String> {
    differing.iter().map(|one| (one.key.clone(), one.declared.clone())).collect()
}

/// For people.
pub(super) fn list(differing: &[Differing]) -> String {
    let one = |Differing { key, declared, actual }: &Differing| {
        format!("{key} is {}, declared {declared}", actual.as_deref().unwrap_or("not set"))
    };
    differing.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether payments would go wrong by it, whoever sets it: what a pipeline is rebuilt from must not be dropped before its
/// time, how long an id is known is measured by the broker's clock, and a dead letter must fit.
pub(super) fn unfit(one: &Differing) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    let actual = one.actual.as_deref().and_then(number);
    match one.key.as_str() {
        "cleanup.policy" | "message.timestamp.type" => true,
        "retention.ms" => match (number(&one.declared), actual) {
            (_, Some(..=-1)) => false,
            (Some(declared @ 0..), Some(actual)) => actual < declared,
            _ => true,
        },
        "max.message.bytes" => match (number(&one.declared), actual) {
            (Some(declared), Some(actual)) => actual < declared,
            _ => true,
        },
        _ => false,
    }
}
