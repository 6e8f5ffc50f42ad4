use super::*;
use crate::ids::{AccountId, PaymentId};
use crate::money::{Currency, Money};
use crate::payment::{Attributes, Reference};

fn payment() -> Payment {
    Payment {
        id: PaymentId::new("p-1").unwrap(),
        from: AccountId::new("alice").unwrap(),
        to: AccountId::new("shop-7").unwrap(),
        amount: Money::new(12_000, Currency::new("USD").unwrap()),
        reference: Reference::new("invoice 7").unwrap(),
        attributes: Attributes::new([("channel", "web"), ("country", "DE"), ("score", "80")]).unwrap(),
        occurred_at_ms: None,
        refund: None,
    }
}

const PAYER: Payer = Payer { balance_minor: 50_000, outflow_today_minor: 90_000, payments_today: 4 };
/// A Saturday, 13:45 UTC.
const AT_MS: i64 = 1_769_867_100_000;

fn rule(name: &str, when: &str, action: RuleAction) -> RuleSource {
    RuleSource { name: name.into(), when: when.into(), action, message: None }
}

fn compile(when: &str) -> Result<Rules, RuleError> {
    Rules::compile(&[rule("it", when, RuleAction::Reject)]).map_err(|mut errors| errors.remove(0))
}

/// `None`: it has no value.
fn applies(when: &str) -> Option<bool> {
    let rules = compile(when).unwrap_or_else(|error| panic!("{when}: {error}"));
    match rules.judge(&payment(), &PAYER, AT_MS) {
        Verdict::Pass => Some(false),
        Verdict::Reject(_) => Some(true),
        Verdict::Hold(_) => None,
    }
}

#[test]
fn what_a_rule_can_ask() {
    let table = [
        ("payment.amount > 10000", true),
        ("payment.amount >= 12000 && payment.amount <= 12000", true),
        ("payment.amount > 12000", false),
        ("payment.amount < 0 || payer.balance == 50000", true),
        ("payer.outflowToday + payment.amount > 100000", true),
        ("payer.paymentsToday != 4", false),
        ("payment.id == 'p-1' && payment.from == \"alice\" && payment.currency == 'USD'", true),
        ("!(payment.currency in ['EUR', 'CHF'])", true),
        ("payment.amount in [1, 12000]", true),
        ("payment.to.startsWith('shop-')", true),
        ("payment.to.endsWith('-7') == false", false),
        ("payment.reference.contains('voice')", true),
        ("payment.to.matches('^shop-[0-9]+$')", true),
        ("matches(payment.to, '^[a-z]+$')", false),
        ("payment.attributes.channel == 'web'", true),
        ("payment.attributes[\"country\"] in ['KP', 'IR']", false),
        ("has(payment.attributes.device)", false),
        ("'country' in payment.attributes", true),
        ("has(payment.attributes.device) && payment.attributes.device == 'x'", false),
        ("!has(payment.reference)", false),
        ("size(payment.attributes) == 3 && payment.reference.size() == 9", true),
        ("int(payment.attributes.score) * 2 - 60 / 3 % 7 >= 154", true),
        ("string(payment.amount) + payment.currency == '12000USD'", true),
        ("-payment.amount < -11999", true),
        ("(payment.amount > 5 ? payment.from : payment.to) == 'alice'", true),
        ("payment.amount > 5 ? payment.currency == 'EUR' : true", false),
        ("now > timestamp('2026-01-01T00:00:00Z')", true),
        ("now.getHours() == 13 && now.getMinutes() == 45 && now.getDayOfWeek() == 6", true),
        ("int(now) == 1769867100", true),
        ("payment.attributes.exists(k, k.startsWith('chan'))", true),
        ("payment.attributes.all(k, payment.attributes[k] != '')", true),
        ("['a', 'alice'].exists_one(x, x == payment.from)", true),
        ("[1, 2, 3].all(x, payment.amount > x * 4000)", false),
        ("[1, 2].exists(x, [3, 4].exists(y, x * y * 1500 == payment.amount))", true),
        ("[1, 2].exists(x, [x].all(x, x == 2))", true),
        ("payment.from == 'a//b' || // a comment with a ' in it\n payment.to == 'shop-7'", true),
        ("payment.from.startsWith('''al''')", true),
    ];
    for (when, expected) in table {
        assert_eq!(applies(when), Some(expected), "{when}");
    }
}

#[test]
fn a_rule_without_a_value_holds_the_payment() {
    for when in [
        "payment.attributes.device == 'x'",
        "payment.amount * 9223372036854775807 > 0",
        "100 / (payer.paymentsToday - 4) > 1",
        "int(payment.attributes.channel) > 1",
        "payment.attributes.device == 'x' && payment.amount > 1",
        "['device', 'channel'].all(k, payment.attributes[k] == 'web')",
    ] {
        assert_eq!(applies(when), None, "{when}");
    }
}

#[test]
fn a_side_that_decides_makes_up_for_one_without_a_value() {
    for (when, expected) in [
        ("payment.attributes.device == 'x' && payment.amount > 99999", false),
        ("payment.attributes.device == 'x' || payment.amount > 1", true),
        ("['device', 'channel'].exists(k, payment.attributes[k] == 'web')", true),
        ("['device', 'channel'].all(k, payment.attributes[k] == 'pos')", false),
    ] {
        assert_eq!(applies(when), Some(expected), "{when}");
    }
}

#[test]
fn the_first_rule_that_applies_decides() {
    let name = |text| RuleName::new(text).unwrap();
    let large = rule("large", "payment.amount > 10000", RuleAction::Hold);
    let abroad = rule("abroad", "payment.attributes.country != 'US'", RuleAction::Reject);
    let never = rule("never", "payment.amount < 0", RuleAction::Reject);
    let table = [
        (vec![large.clone(), abroad.clone()], Verdict::Hold(name("large"))),
        (vec![never.clone(), abroad, large], Verdict::Reject(name("abroad"))),
        (vec![never], Verdict::Pass),
        (vec![], Verdict::Pass),
    ];
    for (sources, verdict) in table {
        let rules = Rules::compile(&sources).unwrap();
        assert_eq!(rules.judge(&payment(), &PAYER, AT_MS), verdict, "{sources:?}");
        assert_eq!(rules.is_empty(), sources.is_empty());
        assert_eq!(rules, Rules::compile(&sources).unwrap());
    }
}

#[test]
fn what_is_wrong_is_told_when_compiled_with_its_place() {
    let at = |line, column| Some(Position { line, column });
    let table = [
        ("payment.amount >", at(1, 17), "Syntax error"),
        ("payment.amount > 1 &&\n  payment.currency = 'USD'", at(2, 20), "Syntax error"),
        ("'open", at(1, 1), "Syntax error"),
        ("", at(1, 1), "Syntax error"),
        ("payment.amount > 1 &&\n  payee.balance > 1", at(2, 3), "unknown variable \"payee\""),
        ("'payee' == payment.id || payee == 'x'", at(1, 26), "unknown variable \"payee\""),
        ("payment.total > 1", at(1, 9), "no field \"total\""),
        ("payer.owner == 'x'", at(1, 7), "no field \"owner\""),
        ("has(payment.total)", at(1, 13), "no field \"total\""),
        ("payment.amount.minor > 1", at(1, 16), "a int has no fields"),
        ("payment.from.lowerAscii() == 'x'", at(1, 14), "unknown function \"lowerAscii\""),
        ("payment.from.startsWith('a', 'b')", at(1, 14), "not called like that"),
        ("payment.to.matches('[')", at(1, 12), "pattern"),
        ("payment.to.matches(payment.from)", at(1, 12), "must be a text in the rule"),
        ("now > timestamp('yesterday')", at(1, 7), "RFC 3339"),
        ("payment", at(1, 1), "no value by itself"),
        ("!!(payment.amount > 1)", at(1, 1), "not supported"),
        ("payment.amount > - -1", at(1, 18), "not supported"),
        ("payment.amount", None, "but is a int"),
        ("'x'", None, "but is a string"),
        ("true", None, "always true"),
        ("payment.amount > 'x'", None, "does not work on a int and a string"),
        ("payment.amount > 100.5", None, "whole minor units"),
        ("payment.reference == null", None, "has()"),
        ("payment.amount / 0 > 1", None, "by zero"),
        ("payment.from in ['a', 1]", None, "either ints or strings"),
        ("payment.from in []", None, "empty list"),
        ("payment.attributes.map(k, k) == ['a']", None, "map and filter"),
        ("payment.amount && true", None, "&& takes a bool, not a int"),
        ("payment.attributes", None, "but is a map"),
        ("{'a': 1}.a == 1", None, "maps"),
        ("Money{units: 1} == 2", None, "maps"),
    ];
    for (when, position, message) in table {
        let error = compile(when).expect_err(when);
        assert!(error.message.contains(message), "{when}: {error}");
        assert_eq!(error.position, position, "{when}: {error}");
    }
}

#[test]
fn what_may_cost_too_much_is_refused_with_its_cost() {
    let keys = "payment.attributes";
    let two = format!("{keys}.exists(a, {keys}.exists(b, a == b))");
    let three = format!("{keys}.exists(a, {keys}.exists(b, {keys}.exists(c, a == b && b == c)))");
    assert_eq!(applies(&two), Some(true));
    let error = compile(&three).unwrap_err();
    assert!(error.message.contains("it may cost ") && error.message.contains("2000"), "{error}");
    assert!(compile(&format!("payment.amount > 1{}", " ".repeat(WHEN_BYTES_MAX))).is_err());
    assert!(compile(&format!("{}true{}", "(".repeat(400), ")".repeat(400))).is_err());
    let deep = format!("payment.amount > {}1{}", "(1 + ".repeat(60), ")".repeat(60));
    let chain = format!("payment.amount > 1{}", " + 1".repeat(400));
    for when in [deep, chain] {
        let error = compile(&when).unwrap_err();
        assert!(error.message.contains("nests deeper"), "{error}");
    }
    let either = (0..60).map(|n| format!("payment.from == 'a{n}'")).collect::<Vec<_>>().join(" || ");
    assert_eq!(applies(&either), Some(false));
}

#[test]
fn the_list_of_rules_is_bounded_and_its_names_are_unique() {
    let of = |name: &str| rule(name, "payment.amount > 1", RuleAction::Hold);
    let many: Vec<_> = (0..33).map(|n| of(&format!("r{n}"))).collect();
    assert!(Rules::compile(many.get(..32).unwrap()).is_ok());
    let errors = Rules::compile(&many).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), [32]);
    let errors = Rules::compile(&[of("a"), of("b"), of("a"), rule("c", "x", RuleAction::Hold)]).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(
        errors.last().unwrap().to_string(),
        "rule \"c\" at 1:1: unknown variable \"x\"; there are payment, payer and now"
    );
    for bad in ["", "A", "a b", "-a", "a-", &"a".repeat(64)] {
        assert!(Rules::compile(&[of(bad)]).is_err(), "{bad:?}");
    }
}
