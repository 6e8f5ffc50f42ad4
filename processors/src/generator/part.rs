//! What a resource asks of each pod of its generator. Pure.

use kpay_crds::PaymentPipelineSpec;

use super::random::spread;
use super::settings::{Plan, Settings, SettingsError};
use super::workload::Skew;

/// One pod's part of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What all pods do together.
    pub settings: Settings,
    /// So many pods do it.
    pub pods: u64,
}

impl Part {
    /// The part of every pod; none where the resource has no generator, or one without pods.
    pub fn of(spec: &PaymentPipelineSpec) -> Option<Self> {
        let generator = spec.processors.generator.as_ref()?;
        let pods = u64::try_from(generator.replicas).ok().filter(|pods| *pods > 0)?;
        let default = Settings::default();
        let settings = Settings {
            rate: generator.rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(default.rate),
            steps: generator.steps.clone(),
            burst: generator.burst.clone(),
            accounts: u64::try_from(generator.accounts).unwrap_or(default.accounts),
            skew: match generator.skew {
                kpay_crds::Skew::Uniform => Skew::Uniform,
                kpay_crds::Skew::Zipf => Skew::Zipf,
            },
            amounts: generator.amounts.clone(),
            currency: generator.currency.clone().unwrap_or_else(|| spec.accounts.currency.clone()),
            invalid: generator.invalid.clone(),
            duplicates: generator.duplicates.clone(),
            funding: Some(generator.funding),
            ..default
        };
        Some(Self { settings, pods })
    }

    /// What the pod carries out under the name of a run that nobody else has: ids begin with it, and which accounts are
    /// taken hangs on it, so that no two pods pay the same.
    pub fn plan(&self, run: &str) -> Result<Plan, SettingsError> {
        let seed = run.bytes().fold(0, |seed, byte| spread(seed ^ u64::from(byte)));
        let plan = Settings { seed, ..self.settings.clone() }.plan(run)?;
        Ok(Plan { shared_by: self.pods, ..plan })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use kpay_domain::Intake;
    use serde_json::{Value, json};

    use super::*;
    use crate::generator::Item;

    fn spec(generator: &Value) -> PaymentPipelineSpec {
        let spec = json!({
            "kafka": {"bootstrapServers": "kafka:9092"}, "accounts": {"currency": "EUR"},
            "processors": {"generator": generator},
        });
        serde_json::from_value(spec).unwrap()
    }

    fn part(generator: &Value) -> Part {
        Part::of(&spec(generator)).unwrap()
    }

    #[test]
    fn without_the_field_or_without_pods_nothing_is_asked() {
        assert_eq!(Part::of(&spec(&Value::Null)), None);
        assert_eq!(Part::of(&spec(&json!({"replicas": 0, "rate": 5}))), None);
    }

    #[test]
    fn the_defaults_are_those_of_the_command_line_with_accounts_that_are_opened() {
        let expected =
            Settings { currency: "EUR".to_owned(), funding: Some(1_000_000_000), ..Settings::default() };
        assert_eq!(part(&json!({})), Part { settings: expected, pods: 1 });
    }

    #[test]
    fn every_field_reaches_the_plan() {
        let all = part(&json!({
            "replicas": 3, "rate": 5, "burst": "50:1s/9s", "accounts": 7, "funding": 8, "currency": "USD",
            "skew": "zipf", "amounts": "~9", "invalid": "1%", "duplicates": "2%",
        }));
        let expected = Settings {
            rate: 5,
            burst: Some("50:1s/9s".to_owned()),
            accounts: 7,
            funding: Some(8),
            skew: Skew::Zipf,
            amounts: "~9".to_owned(),
            invalid: "1%".to_owned(),
            duplicates: "2%".to_owned(),
            ..Settings::default()
        };
        assert_eq!(all, Part { settings: expected, pods: 3 });
        let steps = part(&json!({"steps": "5:1s,0:1s"})).plan("r").unwrap();
        assert_eq!(steps.due_by(Duration::from_mins(1)), 5);
    }

    #[test]
    fn what_the_operator_takes_a_pod_can_plan() {
        let generator = json!({"steps": "9999999:999d,0:1ms", "accounts": 2, "amounts": "1..999999999999"});
        for generator in [json!({}), generator, json!({"burst": "1:1s/1s", "duplicates": "90%"})] {
            let spec = spec(&generator);
            let taken = kpay_control::generator::check(&spec).is_empty();
            assert_eq!(taken, Part::of(&spec).unwrap().plan("r").is_ok(), "{spec:?}");
        }
    }

    #[test]
    fn pods_share_the_rate() {
        let of = |replicas: u64, seconds| {
            let part = part(&json!({"replicas": replicas, "rate": 100})).plan("r").unwrap();
            part.due_by(Duration::from_secs(seconds))
        };
        assert_eq!((of(1, 3), of(3, 3)), (300, 100));
        let together = 3 * of(3, 10);
        assert!((997..=1_000).contains(&together), "{together}");
    }

    #[test]
    fn two_pods_repeat_neither_ids_nor_payments_of_each_other_but_their_own() {
        let part = part(&json!({"replicas": 2, "accounts": 50, "duplicates": "20%"}));
        let sent = |run| -> Vec<Item> {
            let plan = part.plan(run).unwrap();
            (0..2_000).map(|number| plan.workload.item(number).unwrap()).collect()
        };
        let ids = |items: &[Item]| -> BTreeSet<String> {
            items.iter().map(|item| item.id().as_str().to_owned()).collect()
        };
        let (one, other) = (sent("g1"), sent("g2"));
        assert!(ids(&one).len() < 1_800, "duplicates are wanted");
        assert!(ids(&one).is_disjoint(&ids(&other)));
        let paid = |item: &Item| match item {
            Item::Intake(Intake::Payment(payment)) => Some((payment.from.clone(), payment.to.clone())),
            _ => None,
        };
        let same = one.iter().zip(&other).filter(|(one, other)| paid(one) == paid(other)).count();
        assert!(same < 100, "{same} of 2000 are between the same accounts");
    }
}
