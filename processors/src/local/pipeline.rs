//! The pipeline's resource from a file, read again when it changes. Only I/O.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use kpay_control::start::StartFrom;
use kpay_control::validate::{DefaultImage, ValidatedPipeline, validate};
use kpay_crds::{PaymentPipeline, PullPolicy};
use serde::{Deserialize, Serialize};

/// What runs when no file is given: everything at its default.
const DEFAULT: &str = include_str!("../../../manifests/payments.yaml");
const API_VERSION: &str = "kpay.dev/v1alpha1";
const KIND: &str = "PaymentPipeline";

/// When a file was written, and its length: a write that is under way has another than the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    at: SystemTime,
    bytes: u64,
}

/// When the file at `path` was written, if it is there.
pub(super) fn written(path: &Path) -> Option<Written> {
    let found = std::fs::metadata(path).ok()?;
    Some(Written { at: found.modified().ok()?, bytes: found.len() })
}

/// Where the resource comes from.
pub(super) struct Source {
    file: Option<PathBuf>,
    seen: Option<Written>,
    /// The newest that could be read.
    followed: Option<Written>,
}

impl Source {
    /// A file, or what runs without one. The file has to be there.
    pub(super) fn open(file: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = &file {
            std::fs::metadata(path).with_context(|| format!("--file {}", path.display()))?;
        }
        let seen = file.as_deref().and_then(written);
        Ok(Self { file, seen, followed: seen })
    }

    /// Whether what was made when the file was like this is newer than what the file says.
    pub(super) fn is_older_than(&self, file: Option<Written>) -> bool {
        file == self.followed || file == self.seen
    }

    /// The pipeline as the file has it now.
    pub(super) fn read(&self) -> anyhow::Result<ValidatedPipeline> {
        let Some(path) = &self.file else { return parse(DEFAULT) };
        let text = std::fs::read_to_string(path).with_context(|| format!("--file {}", path.display()))?;
        parse(&text).with_context(|| format!("--file {}", path.display()))
    }

    /// The pipeline when the file was written, or taken away, since the last look.
    pub(super) fn changed(&mut self) -> Option<anyhow::Result<ValidatedPipeline>> {
        let written = self.file.as_deref().and_then(written);
        if self.seen == written {
            return None;
        }
        self.seen = written;
        let read = self.read();
        if read.is_ok() {
            self.followed = written;
        }
        Some(read)
    }
}

fn parse(text: &str) -> anyhow::Result<ValidatedPipeline> {
    check_fields(text)?;
    let mut resource: PaymentPipeline = serde_saphyr::from_str(text).context("not a PaymentPipeline")?;
    // As kubectl does.
    resource.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let unused = DefaultImage {
        repository: "kpay".to_owned(),
        tag: env!("CARGO_PKG_VERSION").to_owned(),
        pull_policy: PullPolicy::IfNotPresent,
    };
    match validate(&resource, &unused) {
        // The log is made here, so that every other start is its beginning.
        Ok(ValidatedPipeline { start_from: StartFrom::Offsets(offsets), .. })
            if offsets.values().any(|offset| *offset > 0) =>
        {
            bail!(
                "spec.topics.incoming.startFrom: kpay local makes the log itself, so there is no offset above 0 to begin \
                at; leave it out"
            )
        }
        Ok(pipeline) => Ok(pipeline),
        Err(invalid) => bail!(invalid.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    }
}

/// That it is one of ours, and that no field is misspelt: its default would stand in for it.
fn check_fields(text: &str) -> anyhow::Result<()> {
    let mut value: serde_json::Map<String, serde_json::Value> =
        serde_saphyr::from_str(text).context("not a PaymentPipeline")?;
    for (field, right) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let found = value.remove(field).unwrap_or_default();
        ensure!(found == right, "{field}: {found} is not {right}");
    }
    let mut unknown = Vec::new();
    let note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    // What is wrong otherwise is told better by the text itself.
    drop(serde_ignored::deserialize::<_, _, PaymentPipeline>(serde_json::Value::Object(value), note));
    ensure!(unknown.is_empty(), "{}: no such field", unknown.join(", "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use kpay_crds::DesiredPhase;

    use super::parse;

    #[test]
    fn the_default_is_a_pipeline_that_runs() {
        let pipeline = parse(super::DEFAULT).unwrap();
        assert_eq!((pipeline.name.as_str(), pipeline.desired), ("payments", DesiredPhase::Running));
    }

    #[test]
    fn a_log_that_is_made_here_has_no_offset_to_begin_at() {
        let of = |start: &str| {
            super::DEFAULT.replace(
                "spec:\n",
                &format!("spec:\n  topics: {{incoming: {{partitions: 1, startFrom: '{start}'}}}}\n"),
            )
        };
        for start in ["Earliest", "Latest", "2026-07-25T12:00:00Z", "0:0"] {
            assert!(parse(&of(start)).is_ok(), "{start}");
        }
        for (start, told) in [("0:1", "leave it out"), ("1:0", "partition 1"), ("soon", "`soon` is no start")]
        {
            let said = format!("{:#}", parse(&of(start)).unwrap_err());
            assert!(said.contains("spec.topics.incoming.startFrom") && said.contains(told), "{said}");
        }
    }

    #[test]
    fn a_field_that_is_wrong_is_named() {
        let wrong = super::DEFAULT.replace("currency: USD", "idempotencyWindow: soon");
        let said = format!("{:#}", parse(&wrong).unwrap_err());
        assert!(said.contains("spec.accounts.idempotencyWindow") && said.contains("`soon`"), "{said}");
        for (wrong, told) in [
            (super::DEFAULT.replace("desiredPhase", "desiredPhaze"), "spec.desiredPhaze: no such field"),
            (super::DEFAULT.replace("Running\n", "Walking\n"), "Walking"),
            (
                super::DEFAULT.replace("kind: PaymentPipeline", "kind: Pod"),
                "kind: \"Pod\" is not PaymentPipeline",
            ),
            ("kind: PaymentPipeline".to_owned(), "apiVersion"),
        ] {
            let said = format!("{:#}", parse(&wrong).unwrap_err());
            assert!(said.contains(told), "{told}: {said}");
        }
    }
}
