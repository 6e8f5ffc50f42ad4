//! Kubernetes' own description of its objects, as the JSON schemas that kubeconform reads: one file that describes all, and
//! one for each kind that leads to its place there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// How kubeconform finds the file of a kind.
pub(super) const LOCATION: &str = "{{.ResourceKind}}{{.KindSuffix}}.json";
const ALL: &str = "definitions.json";

/// Writes the schemas of the kinds that `swagger.json` of a Kubernetes describes.
pub(super) fn write(swagger: &Path, folder: &Path) -> Result<()> {
    let text = fs::read_to_string(swagger).with_context(|| format!("cannot read {}", swagger.display()))?;
    let mut swagger: Value = serde_json::from_str(&text)?;
    let definitions = swagger.get_mut("definitions").and_then(Value::as_object_mut);
    let definitions = definitions.context("no definitions")?;
    let mut kinds = Vec::new();
    for (name, definition) in definitions.iter_mut() {
        strict(name, definition)?;
        let own = definition.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.extend(own.into_iter().flatten().filter_map(file).map(|file| (file, name.clone())));
    }
    ensure!(!kinds.is_empty(), "no kinds");
    fs::create_dir_all(folder)?;
    fs::write(folder.join(ALL), json!({"definitions": definitions}).to_string())?;
    for (file, name) in kinds {
        fs::write(folder.join(file), json!({"$ref": format!("{ALL}#/definitions/{name}")}).to_string())?;
    }
    Ok(())
}

/// No field that is not described, and what the description cannot say: two of its types have two forms.
fn strict(name: &str, definition: &mut Value) -> Result<()> {
    let definition = definition.as_object_mut().with_context(|| format!("{name} is no object"))?;
    if definition.get("format").is_some_and(|format| format == "int-or-string") {
        definition.remove("format");
        definition.insert("type".to_owned(), json!(["string", "integer"]));
    } else if name.ends_with(".resource.Quantity") {
        definition.insert("type".to_owned(), json!(["string", "number"]));
    } else if definition.contains_key("properties") {
        definition.entry("additionalProperties").or_insert(json!(false));
    }
    Ok(())
}

/// As [`LOCATION`] has it, such as `role-rbac-v1.json`.
fn file(kind: &Value) -> Option<String> {
    let text = |name: &str| kind.get(name).and_then(Value::as_str);
    let group = text("group")?.split('.').next().filter(|group| !group.is_empty());
    let group = group.map(|group| format!("{group}-")).unwrap_or_default();
    Some(format!("{}-{group}{}.json", text("kind")?.to_lowercase(), text("version")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_name_that_kubeconform_looks_for() {
        let name = |group, version, kind| file(&json!({"group": group, "version": version, "kind": kind}));
        assert_eq!(name("", "v1", "Pod").as_deref(), Some("pod-v1.json"));
        assert_eq!(name("rbac.authorization.k8s.io", "v1", "Role").as_deref(), Some("role-rbac-v1.json"));
    }

    #[test]
    fn only_what_has_properties_is_closed() {
        let closed = |name: &str, mut definition: Value| {
            strict(name, &mut definition).unwrap();
            definition
        };
        assert_eq!(closed("Spec", json!({"properties": {}}))["additionalProperties"], false);
        assert_eq!(closed("FieldsV1", json!({"type": "object"})), json!({"type": "object"}));
        let either = closed("util.IntOrString", json!({"type": "string", "format": "int-or-string"}));
        assert_eq!(either, json!({"type": ["string", "integer"]}));
        let amount = closed("api.resource.Quantity", json!({"type": "string"}));
        assert_eq!(amount, json!({"type": ["string", "number"]}));
    }
}
