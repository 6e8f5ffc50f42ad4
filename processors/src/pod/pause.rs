//! Who wants the pipeline not to run, why, and until when, as its resource tells. Pure.

use jiff::Timestamp;
use kpay_control::names::PAUSE_REASON_ANNOTATION;
use kpay_control::pause::{desired, is_over};
use kpay_crds::{DesiredPhase, Holder, Pause, PaymentPipeline};

/// Who writes the wishes of a gateway, as the resource's managed fields show it.
pub(crate) const GATEWAY_MANAGER: &str = "kpay-gateway";
/// Where managed fields have the desired phase.
const DESIRED_PHASE: &str = "/f:spec/f:desiredPhase";

/// All who want it not to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// By the desired phase; `None` when that is Running.
    pub by_phase: Option<ByPhase>,
    /// By a pause of their own, also one that has ended.
    pub holders: Vec<Holder>,
}

/// Who set the desired phase, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByPhase {
    /// Who: the program that wrote it into the resource, but for the gateway, which speaks for others.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Since when it is wanted.
    pub since: Option<Timestamp>,
}

impl Pauses {
    /// As the resource has them.
    pub(crate) fn of(resource: &PaymentPipeline) -> Self {
        let seen = resource.status.iter().flat_map(|status| &status.holders);
        let since =
            |name: &str| seen.clone().find(|one| one.holder == name).and_then(|one| one.since.clone());
        let holder = |pause: &Pause| Holder { since: since(&pause.holder), ..held(pause) };
        Self { by_phase: ByPhase::of(resource), holders: resource.spec.pauses.iter().map(holder).collect() }
    }

    /// Those that have not ended.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        let now = now.into();
        let holders = self.holders.iter().filter(|holder| !is_over(holder.until.as_ref(), &now));
        Self { by_phase: self.by_phase.clone(), holders: holders.cloned().collect() }
    }

    /// What they want together, when that is the desired phase.
    pub(crate) fn desired(&self, phase: DesiredPhase) -> DesiredPhase {
        desired(phase, !self.holders.is_empty())
    }
}

/// The holder of a pause, without since when.
pub(crate) fn held(pause: &Pause) -> Holder {
    let Pause { holder, reason, until } = pause.clone();
    Holder { holder, reason, since: None, until }
}

impl ByPhase {
    /// `None` when it shall run. The annotation is what somebody told a gateway; it is left out when the wish was written
    /// by others since, who may not know of it.
    fn of(resource: &PaymentPipeline) -> Option<Self> {
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
        let reason = resource.metadata.annotations.as_ref().and_then(|all| all.get(PAUSE_REASON_ANNOTATION));
        Some(Self { by: None, reason: reason.cloned(), since })
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
                "annotations": {"kpay.dev/pause-reason": "month's end"},
            },
            "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "desiredPhase": desired},
        }))
        .unwrap()
    }

    fn manager(name: &str, at: &str, fields: &Value) -> Value {
        json!({"manager": name, "operation": "Update", "time": at, "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[allow(clippy::unnecessary_wraps)] // as what it is compared with
    fn wish(by: Option<&str>, reason: Option<&str>, since: Option<&str>) -> Option<ByPhase> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some(ByPhase { by: own(by), reason: own(reason), since: since.map(|at| at.parse().unwrap()) })
    }

    #[test]
    fn the_one_who_wrote_the_wish_last_is_the_one_who_has_it() {
        let fields = json!({"f:spec": {"f:desiredPhase": {}}});
        let (early, late) = ("2026-11-23T12:00:00Z", "2026-11-23T13:00:00Z");
        let gateway = |at| manager(GATEWAY_MANAGER, at, &fields);
        let kubectl = |at| manager("kubectl-patch", at, &fields);
        let operator = manager("kpay-operator", late, &json!({"f:status": {}}));
        for (managers, expected) in [
            (json!([gateway(late)]), wish(None, Some("month's end"), Some(late))),
            (json!([kubectl(early), gateway(late)]), wish(None, Some("month's end"), Some(late))),
            (json!([gateway(early), kubectl(late)]), wish(Some("kubectl-patch"), None, Some(late))),
            (json!([gateway(early), operator]), wish(None, Some("month's end"), Some(early))),
            (json!(null), wish(None, Some("month's end"), None)),
        ] {
            assert_eq!(ByPhase::of(&resource("Paused", &managers)), expected, "{managers}");
        }
        assert_eq!(ByPhase::of(&resource("Running", &json!([gateway(late)]))), None);
    }

    #[test]
    fn a_holder_is_told_until_the_pause_ends_with_since_when_the_operator_has_seen_it() {
        let mut pipeline = resource("Running", &json!(null));
        let pause = |holder: &str, until: &str| Pause {
            holder: holder.to_owned(),
            reason: None,
            until: Some(until.parse::<Timestamp>().unwrap().into()),
        };
        pipeline.spec.pauses =
            vec![pause("alice", "2026-11-23T12:00:00Z"), pause("bob", "2026-11-23T13:00:00Z")];
        let since: Timestamp = "2026-11-23T11:00:00Z".parse().unwrap();
        let seen = Holder { since: Some(since.into()), ..held(&pipeline.spec.pauses[0]) };
        pipeline.status.get_or_insert_default().holders = vec![seen.clone()];
        let all = Pauses::of(&pipeline);
        assert_eq!((all.by_phase.as_ref(), all.holders.len()), (None, 2));
        let names = |at: &str| {
            let pauses = all.at(at.parse().unwrap());
            let names: Vec<_> = pauses.holders.iter().map(|holder| holder.holder.clone()).collect();
            (names.join(" "), pauses.desired(DesiredPhase::Running))
        };
        assert_eq!(all.at(since).holders[0], seen);
        assert_eq!(names("2026-11-23T11:59:59Z"), ("alice bob".to_owned(), DesiredPhase::Paused));
        assert_eq!(names("2026-11-23T12:00:00Z"), ("bob".to_owned(), DesiredPhase::Paused));
        assert_eq!(names("2026-11-23T13:00:00Z"), (String::new(), DesiredPhase::Running));
    }
}
