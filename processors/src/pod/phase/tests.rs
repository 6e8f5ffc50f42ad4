//! What is learned of a resource as it changes.

use serde_json::json;

use super::*;

fn resource(generation: i64, when: &str, rate: u32) -> PaymentPipeline {
    serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default", "generation": generation},
        "spec": {
            "kafka": {"bootstrapServers": "kafka:9092"},
            "limits": {"intakePerSecond": rate},
            "rules": [{"name": "large", "when": when, "action": "Hold"}],
        },
        "status": {"phase": "Running", "epoch": 1},
    }))
    .unwrap()
}

fn known(learning: &Learning) -> (Option<u32>, Vec<String>) {
    let rules = learning.policy.borrow().rules.sources().iter().map(|rule| rule.when.clone()).collect();
    (learning.phase.borrow().and_then(|learned| learned.intake_per_second), rules)
}

#[test]
fn a_change_is_followed_and_a_wrong_one_keeps_the_last_that_was_right() {
    let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
    let (small, large) = ("payment.amount < 5", "payment.amount > 5");
    teacher.tell(&resource(1, large, 10));
    assert_eq!(known(&learning), (Some(10), vec![large.to_owned()]));
    teacher.tell(&resource(2, small, 20));
    assert_eq!(known(&learning), (Some(20), vec![small.to_owned()]));
    teacher.tell(&resource(3, "payment.amout > 5", 30));
    assert_eq!(known(&learning), (Some(20), vec![small.to_owned()]));
    teacher.tell(&resource(1, large, 10));
    assert_eq!(known(&learning), (Some(20), vec![small.to_owned()]), "from a stale cache");
    teacher.tell(&resource(4, large, 30));
    assert_eq!(known(&learning), (Some(30), vec![large.to_owned()]));
}

#[test]
fn the_intake_is_limited_while_a_restart_that_asks_for_it_is_under_way() {
    let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
    let mut tell = |state: &str| {
        let release = |restart: serde_json::Value| {
            json!({"image": "k", "pullPolicy": "Never", "bootstrapServers": "k:9092", "currency": "USD",
                "idempotencyWindowSeconds": 1, "restart": restart})
        };
        let mut resource = resource(1, "payment.amount > 5", 500);
        let status = resource.status.as_mut().unwrap();
        status.release = serde_json::from_value(release(json!(null))).unwrap();
        let upgrade = json!({"state": state, "to": release(json!("u/LimitedIntake=20"))});
        status.upgrade = serde_json::from_value(upgrade).unwrap();
        teacher.tell(&resource);
        known(&learning).0
    };
    assert_eq!(tell("Rolling"), Some(20));
    assert_eq!(tell("RollingBack"), Some(20));
    assert_eq!(tell("RolledBack"), Some(500));
}

#[test]
fn a_generator_is_followed_whatever_becomes_of_the_rules_and_a_wrong_one_changes_nothing() {
    let (mut teacher, mut learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
    let mut tell = |generation, when, generator: serde_json::Value| {
        let mut resource = resource(generation, when, 10);
        resource.spec.processors = serde_json::from_value(json!({"generator": generator})).unwrap();
        teacher.tell(&resource);
        let changed = learning.generator.has_changed().unwrap();
        let rate = learning.generator.borrow_and_update().as_ref().map(|part| part.settings.rate);
        (changed, rate)
    };
    let (right, wrong) = ("payment.amount > 5", "payment.amout > 5");
    assert_eq!(tell(1, right, json!(null)), (false, None));
    assert_eq!(tell(2, wrong, json!({"rate": 7})), (true, Some(7)));
    assert_eq!(tell(3, right, json!({"rate": 7})), (false, Some(7)), "a run goes on");
    assert_eq!(tell(4, right, json!({"rate": 8, "amounts": "5..1"})), (false, Some(7)));
    assert_eq!(tell(5, right, json!({"rate": 9})), (true, Some(9)));
    assert_eq!(tell(4, right, json!({"rate": 8})), (false, Some(9)), "from a stale cache");
    assert_eq!(tell(6, right, json!(null)), (true, None));
}

#[test]
fn only_an_intake_that_resumes_starts_slowly() {
    let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
    for (epoch, phase, expected) in [
        (1, Phase::Pending, 0),
        (2, Phase::Running, 0),
        (3, Phase::Draining, 0),
        (4, Phase::Paused, 0),
        (5, Phase::Resuming, 2_000),
        (6, Phase::Running, 0),
    ] {
        let mut resource = resource(1, "payment.amount > 5", 10);
        resource.spec.limits.slow_start = "2s".to_owned();
        let status = resource.status.get_or_insert_default();
        (status.phase, status.epoch) = (Some(phase), epoch);
        teacher.tell(&resource);
        let gate = Gate::default();
        learning.phase.borrow().unwrap().tell(&gate);
        assert_eq!(gate.slow_start_ms(), expected, "{phase}");
        assert_eq!(gate.rate(), Some(10));
    }
}

#[test]
fn without_any_terms_that_are_right_nothing_is_learned() {
    let (mut teacher, learning) = Teacher::new(None, Policy::new(Currency::new("USD").unwrap()));
    teacher.tell(&resource(1, "payment.amout > 5", 30));
    assert_eq!(*learning.phase.borrow(), None);
    teacher.tell(&resource(2, "payment.amount > 5", 30));
    assert_eq!(known(&learning).0, Some(30));
}

#[test]
fn a_file_gives_the_terms_and_one_that_is_wrong_is_told_with_the_rule() {
    let file = |name: &str, when: &str| {
        let path = std::env::temp_dir().join(format!("kpay-terms-{name}-{}.yaml", std::process::id()));
        std::fs::write(&path, serde_json::to_string(&resource(1, when, 7)).unwrap()).unwrap();
        path
    };
    let pipeline: PipelineRef = "default/payments".parse().unwrap();
    let learned = |path: &Path| {
        let source: PhaseSource = format!("file:{}", path.display()).parse().unwrap();
        learn(&source, &pipeline, Policy::new(Currency::new("USD").unwrap()))
    };
    let (right, wrong) = (file("right", "payment.amount > 5"), file("wrong", "payment.amout > 5"));
    let learning = learned(&right).unwrap();
    assert_eq!(known(&learning), (Some(7), vec!["payment.amount > 5".to_owned()]));
    assert_eq!(learning.phase.borrow().map(|learned| learned.phase), Some(Phase::Running));
    let refused = format!("{:#}", learned(&wrong).err().unwrap());
    assert!(refused.contains("spec.rules") && refused.contains("large"), "{refused}");
    for path in [right, wrong] {
        std::fs::remove_file(path).unwrap();
    }
}
