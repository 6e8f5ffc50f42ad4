//! What a person asks of the generator, in one grammar for the command line, REST and the resource. Pure.

use std::time::Duration;

use kpay_control::generator::{ACCOUNTS_MAX, Amounts, RATE_MAX, Shape, parse_currency, parse_share};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::workload::{Skew, Spec, Workload};

/// A load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(example = json!({"rate": 200, "accounts": 1000, "skew": "zipf", "invalid": "1%", "funding": 1_000_000}))]
pub struct Settings {
    /// Payments per second.
    pub rate: u64,
    /// Rates one after the other, instead of `rate`; the last one stays.
    #[schema(example = "500:10s,2000:30s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<String>,
    /// Bursts on top of `rate`: their rate, length and beat.
    #[schema(example = "5000:2s/30s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<String>,
    /// How many accounts take part, named acct-000000 and on.
    #[schema(minimum = 2, maximum = 1_000_000)]
    pub accounts: u64,
    /// Which of them are taken.
    pub skew: Skew,
    /// Minor units: `100` always, `1..500` evenly, or `~2000` around a median.
    #[schema(example = "1..100")]
    pub amounts: String,
    /// Of ISO 4217.
    #[schema(example = "USD")]
    pub currency: String,
    /// The share of invalid payments, one kind after the other.
    #[schema(example = "1%")]
    pub invalid: String,
    /// The share of repeated payments.
    #[schema(example = "0.5%")]
    pub duplicates: String,
    /// Opens the accounts first, each with so many minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub funding: Option<i64>,
    /// Ends after so many payments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Ends after this time.
    #[schema(example = "60s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// The same seed and run give the same payments.
    pub seed: u64,
    /// Before every payment id; a new one when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,40}$")]
    pub run: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rate: 100,
            steps: None,
            burst: None,
            accounts: 1_000,
            skew: Skew::Uniform,
            amounts: "1..100".to_owned(),
            currency: "USD".to_owned(),
            invalid: "0%".to_owned(),
            duplicates: "0%".to_owned(),
            funding: None,
            count: None,
            duration: None,
            seed: 1,
            run: None,
        }
    }
}

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct SettingsError {
    /// Which.
    pub field: &'static str,
    /// What would be right.
    pub detail: String,
}

/// What is carried out.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is paid.
    pub workload: Workload,
    /// When.
    pub shape: Shape,
    /// So many generators carry out the shape together, each its part.
    pub shared_by: u64,
    /// The end by count.
    pub count: u64,
    /// The end by time.
    pub duration: Option<Duration>,
    /// What the accounts are opened with.
    pub funding_minor: Option<i64>,
}

impl Plan {
    /// How many payments are due within `elapsed` from the begin.
    pub fn due_by(&self, elapsed: Duration) -> u64 {
        (self.shape.due_by(elapsed) / self.shared_by.max(1)).min(self.count)
    }
}

impl Settings {
    /// Reads every field. `run` stands in where there is none.
    pub fn plan(&self, run: &str) -> Result<Plan, SettingsError> {
        let wrong = |field| move |detail: String| SettingsError { field, detail };
        let within = |field, rate: u64| {
            let detail = format!("is at most {RATE_MAX} payments a second");
            (rate <= RATE_MAX).then_some(rate).ok_or(SettingsError { field, detail })
        };
        let rate = within("rate", self.rate)?;
        let shape = match (&self.steps, &self.burst) {
            (Some(steps), None) => Shape::Steps(Shape::parse_steps(steps).map_err(wrong("steps"))?),
            (None, Some(burst)) => {
                let (burst, length, every) = Shape::parse_burst(burst).map_err(wrong("burst"))?;
                Shape::Bursts { rate, burst, length, every }
            }
            (None, None) => Shape::Steady { rate },
            (Some(_), Some(_)) => return Err(wrong("burst")("goes with rate, not with steps".to_owned())),
        };
        let duration = self.duration.as_deref().map(parse_duration).transpose().map_err(wrong("duration"))?;
        let currency = parse_currency(&self.currency).map_err(wrong("currency"))?;
        if !(2..=ACCOUNTS_MAX).contains(&self.accounts) {
            return Err(wrong("accounts")(format!("is from 2 to {ACCOUNTS_MAX}")));
        }
        if self.funding.is_some_and(|funding| funding < 0) {
            return Err(wrong("funding")("is not negative".to_owned()));
        }
        let spec = Spec {
            seed: self.seed,
            run: self.run.clone().unwrap_or_else(|| run.to_owned()),
            accounts: self.accounts,
            skew: self.skew,
            amounts: Amounts::parse(&self.amounts).map_err(wrong("amounts"))?,
            currency,
            invalid_ppm: parse_share(&self.invalid).map_err(wrong("invalid"))?,
            duplicates_ppm: parse_share(&self.duplicates).map_err(wrong("duplicates"))?,
        };
        let workload = Workload::new(spec).map_err(|error| wrong("run")(error.to_string()))?;
        let count = self.count.unwrap_or(u64::MAX);
        Ok(Plan { workload, shape, shared_by: 1, count, duration, funding_minor: self.funding })
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let ms = kpay_control::duration::parse_ms(text).and_then(|ms| u64::try_from(ms).ok());
    ms.map(Duration::from_millis).ok_or_else(|| "is a duration such as 30s or 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named() {
        let wrong = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.plan("r").err().map(|error| error.field)
        };
        assert_eq!(wrong(|_| {}), None);
        assert_eq!(wrong(|s| s.rate = u64::MAX), Some("rate"));
        assert_eq!(wrong(|s| s.steps = Some("x".into())), Some("steps"));
        assert_eq!(wrong(|s| s.burst = Some("x".into())), Some("burst"));
        assert_eq!(wrong(|s| s.accounts = 1), Some("accounts"));
        assert_eq!(wrong(|s| s.amounts = "0".into()), Some("amounts"));
        assert_eq!(wrong(|s| s.currency = "XXX".into()), Some("currency"));
        assert_eq!(wrong(|s| s.invalid = "5".into()), Some("invalid"));
        assert_eq!(wrong(|s| s.duplicates = "91%".into()), Some("duplicates"));
        assert_eq!(wrong(|s| s.duration = Some("5".into())), Some("duration"));
        assert_eq!(wrong(|s| s.funding = Some(-1)), Some("funding"));
        assert_eq!(wrong(|s| s.run = Some("a b".into())), Some("run"));
    }

    #[test]
    fn json_has_the_same_fields_and_no_others() {
        let text = r#"{"rate": 5, "skew": "zipf", "burst": "10:1s/2s", "funding": 7}"#;
        let settings: Settings = serde_json::from_str(text).unwrap();
        assert_eq!((settings.rate, settings.skew, settings.accounts), (5, Skew::Zipf, 1_000));
        assert!(serde_json::from_str::<Settings>(r#"{"rat": 5}"#).is_err());
    }
}
