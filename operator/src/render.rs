//! What the operator makes of the pipelines of a manifest, as YAML. Pure: text in, text out.

use kpay_control::bootstrap::Import;
use kpay_control::build::{Identities, build};
use kpay_control::validate::{DefaultImage, Invalid, validate};
use kpay_crds::PaymentPipeline;
use kube::Resource;
use serde::Serialize;
use serde_json::Value;

const KIND: &str = "PaymentPipeline";
/// Stands for the uids that only a cluster gives.
const UID: &str = "00000000-0000-0000-0000-000000000000";

/// Stands for what a `ConfigMap` of accounts holds, and for its only key where the manifest names none.
const DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ONLY_KEY: &str = "accounts.csv";

/// Why there are no objects.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The text is no YAML.
    #[error("not YAML")]
    Read(#[from] serde_saphyr::Error),
    /// A document that says it is one is not.
    #[error("not a PaymentPipeline")]
    Parse(#[from] serde_json::Error),
    /// There is none.
    #[error("there is no PaymentPipeline in it")]
    None,
    /// The operator would refuse it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Invalid>),
    /// It has no name.
    #[error("the manifest has no metadata.name")]
    Unnamed,
    /// A value has no YAML; not for our types.
    #[error("an object has no YAML form")]
    Write(#[from] serde_saphyr::ser::Error),
}

/// The objects of each `PaymentPipeline` in `manifest`, in the order in which they are applied; documents of another kind are
/// left out. A namespace is `default` where none is named, and there are the replicas and pods of the spec: what load and
/// upgrades make of them is not known here.
pub fn render(manifest: &str, image: &DefaultImage) -> Result<String, RenderError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifest)?;
    let mut yaml = String::new();
    let is_pipeline = |document: &Value| document.get("kind").is_some_and(|kind| kind == KIND);
    for document in documents.into_iter().filter(is_pipeline) {
        one(&mut yaml, serde_json::from_value(document)?, image)?;
    }
    if yaml.is_empty() { Err(RenderError::None) } else { Ok(yaml) }
}

fn one(yaml: &mut String, mut resource: PaymentPipeline, image: &DefaultImage) -> Result<(), RenderError> {
    if resource.metadata.name.is_none() {
        return Err(RenderError::Unnamed);
    }
    resource.metadata.namespace.get_or_insert_with(|| "default".to_owned());
    resource.metadata.uid = Some(UID.to_owned());
    let pipeline = validate(&resource, image).map_err(RenderError::Invalid)?;
    let owner = resource.controller_owner_ref(&()).ok_or(RenderError::Unnamed)?;
    let identities = Identities { stages: UID.to_owned(), gateway: UID.to_owned() };
    let import = pipeline.accounts.as_ref().map(|file| Import {
        config_map: file.name.clone(),
        key: file.key.clone().unwrap_or_else(|| ONLY_KEY.to_owned()),
        digest: DIGEST.to_owned(),
    });
    let objects = build(&pipeline, &owner, &identities, import.as_ref());
    write(yaml, &objects.service_accounts)?;
    write(yaml, &objects.roles)?;
    write(yaml, &objects.role_bindings)?;
    write(yaml, &objects.services)?;
    write(yaml, &objects.budgets)?;
    write(yaml, &objects.stateful_sets)?;
    write(yaml, &objects.deployments)?;
    write(yaml, &objects.jobs)
}

fn write<K: Serialize>(yaml: &mut String, objects: &[K]) -> Result<(), RenderError> {
    for object in objects {
        yaml.push_str("---\n");
        yaml.push_str(&serde_saphyr::to_string(object)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kpay_crds::PullPolicy;

    use super::*;

    fn of(manifest: &str) -> Result<String, RenderError> {
        let image =
            DefaultImage { repository: "kpay".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
        render(manifest, &image)
    }

    #[test]
    fn the_example_becomes_what_the_operator_applies() {
        let yaml = of(include_str!("../../manifests/payments.yaml")).expect("objects");
        let kinds: Vec<&str> = yaml.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
        let of_each = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
        let expected = [
            ("ServiceAccount", 2),
            ("Role", 2),
            ("RoleBinding", 2),
            ("Service", 4),
            ("PodDisruptionBudget", 4),
            ("StatefulSet", 3),
            ("Deployment", 1),
        ];
        assert_eq!(expected.map(|(kind, _)| (kind, of_each(kind))), expected, "{kinds:?}");
        assert_eq!(kinds.len(), 18);
        assert!(yaml.contains("image: kpay:1"), "{yaml}");
    }

    #[test]
    fn other_documents_are_left_out_and_accounts_have_their_job() {
        let yaml = of(include_str!("../../manifests/payments-accounts.yaml")).expect("objects");
        assert!(!yaml.contains("kind: ConfigMap"), "{yaml}");
        assert!(yaml.contains("kind: Job"), "{yaml}");
        let restart = of(include_str!("../../manifests/restart.yaml"));
        assert!(matches!(restart, Err(RenderError::None)), "{restart:?}");
    }

    #[test]
    fn what_the_operator_would_refuse_is_said() {
        let with = |metadata: &str, spec: &str| {
            of(&format!(
                "kind: PaymentPipeline\nmetadata: {metadata}\nspec: {{kafka: {{bootstrapServers: k}}, {spec}}}\n"
            ))
        };
        let refused = with("{name: p}", "drain: {timeout: soon}").expect_err("invalid").to_string();
        assert!(refused.contains("drain.timeout"), "{refused}");
        assert!(with("{name: p}", "drain: {timeout: 5m}").is_ok());
        assert!(matches!(with("{}", "drain: {}"), Err(RenderError::Unnamed)));
        assert!(matches!(with("{name: p}", "drain: 1"), Err(RenderError::Parse(_))));
        assert!(matches!(of("kind: [\n"), Err(RenderError::Read(_))));
    }
}
