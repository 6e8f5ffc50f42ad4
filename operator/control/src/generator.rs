//! The words of the load generator: rates over time, amounts, shares. Pure.
//!
//! They are read here by the same code that the generator runs on, whether it was asked by the command line, by REST or by
//! the resource, so that what the operator takes is what a pod can send.

mod amounts;
mod shape;
mod share;

use kpay_crds::PaymentPipelineSpec;
use kpay_domain::Currency;

pub use self::amounts::{AMOUNT_MAX, Amounts};
pub use self::shape::{RATE_MAX, Shape, Step};
pub use self::share::parse_share;
use crate::validate::Invalid;

/// The most accounts that are paid between.
pub const ACCOUNTS_MAX: u64 = 1_000_000;

/// A currency that is paid with.
pub fn parse_currency(text: &str) -> Result<Currency, String> {
    let listed = Currency::new(text).ok().filter(Currency::is_listed);
    listed.ok_or_else(|| "is no currency of ISO 4217 that is paid with".to_owned())
}

/// What is wrong with the generator of a spec, beyond what its schema can say.
pub fn check(spec: &PaymentPipelineSpec) -> Vec<Invalid> {
    let Some(generator) = &spec.processors.generator else { return Vec::new() };
    let mut invalid = Vec::new();
    let mut field = |field, wrong: Option<String>| {
        if let Some(detail) = wrong {
            invalid.push(Invalid::Generator { field, detail });
        }
    };
    let rate = generator.rate.is_some_and(|rate| u64::try_from(rate).is_ok_and(|rate| rate <= RATE_MAX));
    field("rate", (generator.rate.is_some() && !rate).then(|| format!("is from 0 to {RATE_MAX} a second")));
    field("steps", generator.steps.as_deref().and_then(|steps| Shape::parse_steps(steps).err()));
    field("burst", generator.burst.as_deref().and_then(|burst| Shape::parse_burst(burst).err()));
    let two = generator.steps.is_some() && (generator.rate.is_some() || generator.burst.is_some());
    field("steps", two.then(|| "stands in place of rate and burst: remove those two, or steps".to_owned()));
    let accounts = u64::try_from(generator.accounts).is_ok_and(|count| (2..=ACCOUNTS_MAX).contains(&count));
    field("accounts", (!accounts).then(|| format!("is from 2 to {ACCOUNTS_MAX}")));
    field("funding", (generator.funding < 0).then(|| "is not negative".to_owned()));
    field("currency", generator.currency.as_deref().and_then(|currency| parse_currency(currency).err()));
    field("amounts", Amounts::parse(&generator.amounts).err());
    field("invalid", parse_share(&generator.invalid).err());
    field("duplicates", parse_share(&generator.duplicates).err());
    invalid
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wrong(generator: &Value) -> Vec<String> {
        let spec = json!({"kafka": {"bootstrapServers": "k:1"}, "processors": {"generator": generator}});
        let spec = serde_json::from_value(spec).expect("a spec");
        check(&spec).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_generator_may_be_at_its_defaults_or_have_every_field() {
        assert_eq!(wrong(&json!({})), [] as [&str; 0]);
        let full = json!({
            "replicas": 2, "rate": 500, "burst": "5000:2s/30s", "accounts": 10, "funding": 7, "currency": "EUR",
            "skew": "zipf", "amounts": "~2000", "invalid": "0.5%", "duplicates": "1%",
        });
        assert_eq!(wrong(&full), [] as [&str; 0]);
        assert_eq!(wrong(&json!({"steps": "500:10s,0:1s"})), [] as [&str; 0]);
    }

    #[test]
    fn each_refusal_names_the_field_and_what_would_be_right() {
        for (generator, field, right) in [
            (json!({"rate": -1}), "rate", "from 0"),
            (json!({"steps": "5"}), "steps", "500:10s,2000:30s"),
            (json!({"steps": "5:1s", "rate": 1}), "steps", "in place of rate"),
            (json!({"burst": "5:2s/1s"}), "burst", "5000:2s/30s"),
            (json!({"accounts": 1}), "accounts", "from 2"),
            (json!({"funding": -1}), "funding", "not negative"),
            (json!({"currency": "XXX"}), "currency", "ISO 4217"),
            (json!({"amounts": "5..1"}), "amounts", "1..500"),
            (json!({"invalid": "91%"}), "invalid", "at most 90%"),
            (json!({"duplicates": "5"}), "duplicates", "0.5%"),
        ] {
            let refused = wrong(&generator);
            assert_eq!(refused.len(), 1, "{refused:?}");
            let text = &refused[0];
            assert!(text.starts_with(&format!("spec.processors.generator.{field}: ")), "{text}");
            assert!(text.contains(right), "{text}");
        }
    }
}
