//! Who wants the pipeline not to run, and why, as its resource tells. Pure.

use jiff::Timestamp;
use kpay_control::names::{PAUSE_REASON_ANNOTATION, PAUSED_BY_ANNOTATION};
use kpay_crds::{DesiredPhase, PaymentPipeline};

/// Who writes the wishes of a gateway, as the resource's managed fields show it.
pub(crate) const GATEWAY_MANAGER: &str = "kpay-gateway";
/// Where managed fields have the wish.
const DESIRED_PHASE: &str = "/f:spec/f:desiredPhase";

/// As far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pause {
    /// Who: as the gateway was told, else the program that wrote it into the resource.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when it is wanted.
    pub since: Option<Timestamp>,
}

impl Pause {
    /// `None` when it shall run. Annotations are what somebody told a gateway; they are left out when the wish was written
    /// by others since, who may not know of them.
    pub(crate) fn of(resource: &PaymentPipeline) -> Option<Self> {
        if resource.spec.desired_phase == DesiredPhase::Running {
            return None;
        }
        let managers = resource.metadata.managed_fields.iter().flatten();
        let wrote = managers.filter(|entry| {
            let fields = entry.fields_v1.as_ref();
            fields.is_some_and(|fields| fields.0.pointer(DESIRED_PHASE).is_some())
        });
        let newest = wrote.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        let manager = newest.and_then(|entry| entry.manager.clone());
        let since = newest.and_then(|entry| entry.time.as_ref()).map(|time| time.0);
        if manager.as_deref().is_some_and(|manager| manager != GATEWAY_MANAGER) {
            return Some(Self { by: manager, reason: None, since });
        }
        let annotation = |name| resource.metadata.annotations.as_ref()?.get(name).cloned();
        let (by, reason) = (annotation(PAUSED_BY_ANNOTATION), annotation(PAUSE_REASON_ANNOTATION));
        Some(Self { by, reason, since })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(desired: &str, managers: &Value) -> PaymentPipeline {
        serde_json::from_value(json!({
            "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
            "metadata": {
                "name": "payments", "managedFields": managers,
                "annotations": {"kpay.dev/paused-by": "alice", "kpay.dev/pause-reason": "month's end"},
            },
            "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "desiredPhase": desired},
        }))
        .unwrap()
    }

    fn manager(name: &str, at: &str, fields: &Value) -> Value {
        json!({"manager": name, "operation": "Update", "time": at, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[allow(clippy::unnecessary_wraps)] // as what it is compared with
    fn pause(by: Option<&str>, reason: Option<&str>, since: Option<&str>) -> Option<Pause> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some(Pause { by: own(by), reason: own(reason), since: since.map(|at| at.parse().unwrap()) })
    }

    #[test]
    fn the_one_who_wrote_the_wish_last_is_the_one_who_has_it() {
        let wish = json!({"f:spec": {"f:desiredPhase": {}}});
        let (early, late) = ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z");
        let gateway = |at| manager(GATEWAY_MANAGER, at, &wish);
        let kubectl = |at| manager("kubectl-patch", at, &wish);
        let operator = manager("kpay-operator", late, &json!({"f:status": {}}));
        for (managers, expected) in [
            (json!([gateway(late)]), pause(Some("alice"), Some("month's end"), Some(late))),
            (json!([kubectl(early), gateway(late)]), pause(Some("alice"), Some("month's end"), Some(late))),
            (json!([gateway(early), kubectl(late)]), pause(Some("kubectl-patch"), None, Some(late))),
            (json!([gateway(early), operator]), pause(Some("alice"), Some("month's end"), Some(early))),
            (json!(null), pause(Some("alice"), Some("month's end"), None)),
        ] {
            assert_eq!(Pause::of(&resource("Paused", &managers)), expected, "{managers}");
        }
        assert_eq!(Pause::of(&resource("Running", &json!([gateway(late)]))), None);
    }
}
