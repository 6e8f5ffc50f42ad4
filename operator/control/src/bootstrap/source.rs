//! Which content there is to import. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kpay_crds::{BootstrapReason, ConfigMapFile};

/// Digits of a digest that tell one content from the next: enough by chance, and the name of a Job has to fit.
const DIGITS: usize = 10;
/// The most keys that a message lists.
const KEYS_LISTED: usize = 5;

/// A content that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The `ConfigMap` that has it.
    pub config_map: String,
    /// The key that it is under.
    pub key: String,
    /// How its [`digest`] begins.
    pub digest: String,
}

/// What a look at the `ConfigMap` has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The content.
    Found(Import),
    /// None.
    Missing {
        /// Why, in one word.
        reason: BootstrapReason,
        /// Why, and what to do about it.
        message: String,
    },
}

/// The BLAKE3 digest of a content, in hexadecimal digits.
pub fn digest(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

/// The content that is wanted, as the `ConfigMap` has it.
pub fn source(wanted: &ConfigMapFile, found: Option<&ConfigMap>) -> Source {
    let name = &wanted.name;
    let Some(found) = found else {
        let message = format!("there is no ConfigMap {name} in this namespace");
        return Source::Missing { reason: BootstrapReason::ConfigMapMissing, message };
    };
    let files = files(found);
    let only = || files.first_key_value().filter(|_| files.len() == 1).map(|(key, _)| *key);
    let key = wanted.key.as_deref().or_else(only);
    match key.and_then(|key| Some((key, *files.get(key)?))) {
        Some((key, content)) => Source::Found(Import {
            config_map: name.clone(),
            key: key.to_owned(),
            digest: digest(content).chars().take(DIGITS).collect(),
        }),
        None => Source::Missing { reason: BootstrapReason::KeyMissing, message: no_key(wanted, &files) },
    }
}

fn files(found: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let texts = found.data.iter().flatten().map(|(key, text)| (key.as_str(), text.as_bytes()));
    let bytes = found.binary_data.iter().flatten().map(|(key, bytes)| (key.as_str(), bytes.0.as_slice()));
    texts.chain(bytes).collect()
}

fn no_key(wanted: &ConfigMapFile, files: &BTreeMap<&str, &[u8]>) -> String {
    let ConfigMapFile { name, key } = wanted;
    let mut keys: Vec<&str> = files.keys().take(KEYS_LISTED).copied().collect();
    if files.len() > keys.len() {
        keys.push("…");
    }
    let keys = keys.join(", ");
    match key {
        _ if files.is_empty() => format!("ConfigMap {name} has no keys"),
        Some(key) => format!("ConfigMap {name} has no key {key}; it has {keys}"),
        None => format!(
            "ConfigMap {name} has the keys {keys}; spec.accounts.bootstrap.configMap.key says which it is"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file(key: Option<&str>) -> ConfigMapFile {
        ConfigMapFile { name: "opening".into(), key: key.map(str::to_owned) }
    }

    #[test]
    fn a_content_is_found_by_its_key_or_as_the_only_one() {
        let of = |value| serde_json::from_value::<ConfigMap>(value).expect("a ConfigMap");
        let one = of(json!({"data": {"a.csv": "id\nalice\n"}}));
        let bytes = of(json!({"binaryData": {"a.csv": "aWQKYWxpY2UK"}}));
        let two = of(json!({"data": {"a.csv": "id\nalice\n"}, "binaryData": {"b.csv": "aWQK"}}));
        let many = of(json!({"data": {"a": "", "b": "", "c": "", "d": "", "e": "", "f": ""}}));
        let found = Source::Found(Import {
            config_map: "opening".into(),
            key: "a.csv".into(),
            digest: digest(b"id\nalice\n").chars().take(10).collect(),
        });
        for (map, key) in [(&one, None), (&one, Some("a.csv")), (&bytes, None), (&two, Some("a.csv"))] {
            assert_eq!(source(&file(key), Some(map)), found, "{key:?}");
        }
        for (map, key, reason, told) in [
            (None, None, "ConfigMapMissing", "there is no ConfigMap opening in this namespace"),
            (Some(&of(json!({}))), None, "KeyMissing", "ConfigMap opening has no keys"),
            (Some(&of(json!({}))), Some("x"), "KeyMissing", "ConfigMap opening has no keys"),
            (Some(&one), Some("x"), "KeyMissing", "ConfigMap opening has no key x; it has a.csv"),
            (
                Some(&two),
                None,
                "KeyMissing",
                "ConfigMap opening has the keys a.csv, b.csv; spec.accounts.bootstrap.configMap.key says which it is",
            ),
            (Some(&many), Some("x"), "KeyMissing", "ConfigMap opening has no key x; it has a, b, c, d, e, …"),
        ] {
            let Source::Missing { reason: why, message } = source(&file(key), map) else {
                unreachable!("{told}")
            };
            assert_eq!((why.as_str(), message.as_str()), (reason, told));
        }
    }

    #[test]
    fn a_digest_is_that_of_b3sum() {
        assert_eq!(digest(b""), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }
}
