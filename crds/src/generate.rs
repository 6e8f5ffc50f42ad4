//! The YAML of the `CustomResourceDefinition`s. Pure: text in, text out; `crdgen` does the files.

use kube::CustomResourceExt;

use crate::PaymentPipeline;

/// Why there is no YAML.
pub type GenerateError = serde_saphyr::ser::Error;

const HEADER: &str =
    "# Generated from the types in crds/src by `cargo run -p kpay-crds --bin crdgen`. Do not edit.\n";

/// Where the copies are committed, from the root of the repository: one for `kubectl apply`, one for the chart.
pub const fn committed_copies() -> [&'static str; 2] {
    ["crds/paymentpipelines.yaml", "charts/kpay/templates/crds/paymentpipelines.yaml"]
}

/// The `CustomResourceDefinition` of `PaymentPipeline` as it is committed, with its header.
///
/// # Errors
/// When the types hold a value that YAML cannot; not for the types of this crate.
pub fn crd_yaml() -> Result<String, GenerateError> {
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&PaymentPipeline::crd())?))
}
