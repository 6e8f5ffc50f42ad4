//! The YAML of the `CustomResourceDefinition`s. Pure: text in, text out; `crdgen` does the files.

use kube::CustomResourceExt;

use crate::{PaymentPipeline, PipelineOperation};

/// Why there is no YAML.
pub type GenerateError = serde_saphyr::ser::Error;

const HEADER: &str =
    "# Generated from the types in crds/src by `cargo run -p kpay-crds --bin crdgen`. Do not edit.\n";

/// A `CustomResourceDefinition` as it is committed.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Where the copies are committed, from the root of the repository: one for `kubectl apply`, one for the chart.
    pub copies: [String; 2],
    /// With its header.
    pub yaml: String,
}

/// Every `CustomResourceDefinition` as it is committed.
///
/// # Errors
/// When the types hold a value that YAML cannot; not for the types of this crate.
pub fn generated() -> Result<Vec<Generated>, GenerateError> {
    Ok(vec![of::<PaymentPipeline>()?, of::<PipelineOperation>()?])
}

fn of<K: CustomResourceExt>() -> Result<Generated, GenerateError> {
    let definition = K::crd();
    let file = format!("{}.yaml", definition.spec.names.plural);
    let copies = [format!("crds/{file}"), format!("charts/kpay/files/crds/{file}")];
    Ok(Generated { copies, yaml: format!("{HEADER}{}", serde_saphyr::to_string(&definition)?) })
}
