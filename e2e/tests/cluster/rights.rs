//! Rights: those that the operator and the pods have are those that they used while all other tests ran. Both tests look at
//! the whole run, so the cluster tier runs them by themselves, after the others, and only when it has run them all.

use std::collections::BTreeSet;

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;

use crate::audit::{self, OPERATOR, Request};
use crate::world::World;

/// A verb on a resource of a group, such as `patch statefulsets.apps`.
type Right = String;

fn right(verb: &str, resource: &str, group: &str) -> Right {
    format!("{verb} {resource}.{group}").trim_end_matches('.').to_owned()
}

fn granted(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| right(verb, resource, group)));
            }
        }
    }
    rights
}

/// What these requests needed. A patch by server-side apply that makes the object needs the right to create it as well.
fn used<'a>(requests: impl Iterator<Item = &'a Request>) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    for Request { verb, resource, group, created, .. } in requests {
        rights.insert(right(verb, resource, group));
        if verb == "patch" && *created {
            rights.insert(right("create", resource, group));
        }
    }
    rights
}

fn same(who: &str, granted: &BTreeSet<Right>, used: &BTreeSet<Right>) -> anyhow::Result<()> {
    let needless: Vec<&Right> = granted.difference(used).collect();
    ensure!(needless.is_empty(), "granted to {who}, and not used by any test of this run: {needless:?}");
    let more: Vec<&Right> = used.difference(granted).collect();
    ensure!(more.is_empty(), "used by {who}, and not granted by its roles: {more:?}");
    Ok(())
}

#[test]
#[ignore = "looks at what all other tests have asked for: the cluster tier runs it after them"]
fn the_operator_and_the_pods_use_every_right_that_they_have() -> anyhow::Result<()> {
    let world = World::start("rights", 0)?;
    let requests = audit::since(0)?;
    let cluster = &world.cluster;
    let role = |namespace: &str, name: &str| {
        cluster.wait(Api::<Role>::namespaced(cluster.client.clone(), namespace).get(name))
    };

    let everywhere: Api<ClusterRole> = Api::all(cluster.client.clone());
    let mut rules = cluster.wait(everywhere.get("kpay-operator-kpay-system"))?.rules.unwrap_or_default();
    rules.extend(role("kpay-system", "kpay-operator-lease")?.rules.unwrap_or_default());
    let by_operator = requests.iter().filter(|request| request.user == OPERATOR);
    same("the operator", &granted(&rules), &used(by_operator))?;

    for identity in ["payments-processor", "payments-gateway"] {
        let rules = role(&world.namespace, identity)?.rules.unwrap_or_default();
        let user = |name: &str| {
            name.starts_with("system:serviceaccount:") && name.ends_with(&format!(":{identity}"))
        };
        let by_pods = requests.iter().filter(|request| user(&request.user));
        same(identity, &granted(&rules), &used(by_pods))?;
    }
    Ok(())
}

#[test]
#[ignore = "looks at what all other tests have asked for: the cluster tier runs it after them"]
fn the_operator_was_refused_nothing() -> anyhow::Result<()> {
    let requests = audit::since(0)?;
    let by_operator: Vec<&Request> = requests.iter().filter(|request| request.user == OPERATOR).collect();
    ensure!(!by_operator.is_empty(), "the audit log knows of no operator");
    let refused: BTreeSet<String> = by_operator
        .iter()
        .filter(|request| request.forbidden)
        .map(|request| {
            format!("{} in {:?}", right(&request.verb, &request.resource, &request.group), request.namespace)
        })
        .collect();
    ensure!(refused.is_empty(), "{refused:?}");
    Ok(())
}

#[test]
fn a_right_too_many_and_one_too_few_are_told() {
    let rule = |groups: &str, resources: &str, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![groups.to_owned()]),
        resources: Some(vec![resources.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let request = |verb: &str, resource: &str, group: &str, created| Request {
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        group: group.to_owned(),
        created,
        ..Request::default()
    };
    let granted = granted(&[rule("apps", "statefulsets", &["create", "patch"]), rule("", "pods", &["list"])]);
    let told = |requests: &[Request]| {
        same("it", &granted, &used(requests.iter())).err().map(|error| error.to_string())
    };
    let (list, apply) = (request("list", "pods", "", false), request("patch", "statefulsets", "apps", true));
    assert_eq!(told(&[list.clone(), apply.clone()]), None);
    let changed = told(&[list.clone(), request("patch", "statefulsets", "apps", false)]).unwrap_or_default();
    assert!(
        changed.ends_with(r#"not used by any test of this run: ["create statefulsets.apps"]"#),
        "{changed}"
    );
    let more = told(&[list, apply, request("get", "pods", "", false)]).unwrap_or_default();
    assert!(more.ends_with(r#"not granted by its roles: ["get pods"]"#), "{more}");
}
