//! What the objects promise.

use k8s_openapi::api::core::v1::PodSpec;
use kpay_crds::{PaymentPipeline, PullPolicy};
use serde_json::{Value, json};

use super::*;
use crate::validate::{DefaultImage, validate};

fn objects() -> DesiredObjects {
    objects_of("stages")
}

fn objects_of(stages: &str) -> DesiredObjects {
    objects_with(stages, &json!({}))
}

fn objects_with(stages: &str, processors: &Value) -> DesiredObjects {
    objects_importing(stages, processors, None)
}

fn objects_importing(stages: &str, processors: &Value, import: Option<&Import>) -> DesiredObjects {
    let resource: PaymentPipeline = serde_json::from_value(json!({
        "apiVersion": "kpay.dev/v1alpha1", "kind": "PaymentPipeline",
        "metadata": {"name": "payments", "namespace": "default"},
        "spec": {"kafka": {"bootstrapServers": "kafka:9092"}, "processors": processors},
    }))
    .expect("a resource");
    let image = DefaultImage { repository: "kpay".into(), tag: "1".into(), pull_policy: PullPolicy::Never };
    let owner = OwnerReference { name: "payments".into(), uid: "u".into(), ..OwnerReference::default() };
    build(
        &validate(&resource, &image).expect("valid"),
        &owner,
        &Identities { stages: stages.into(), gateway: "gateway".into() },
        import,
    )
}

fn pods(objects: &DesiredObjects) -> Vec<PodSpec> {
    let stages = objects.stateful_sets.iter().filter_map(|s| s.spec.as_ref()).map(|s| &s.template);
    let gateway = objects.deployments.iter().filter_map(|d| d.spec.as_ref()).map(|d| &d.template);
    let jobs = objects.jobs.iter().filter_map(|job| job.spec.as_ref()).map(|job| &job.template);
    stages.chain(gateway).chain(jobs).filter_map(|template| template.spec.clone()).collect()
}

fn import() -> Import {
    Import { config_map: "opening".into(), key: "a.csv".into(), digest: "0123456789".into() }
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    let pods = pods(&objects_importing("stages", &json!({"generator": {}}), Some(&import())));
    assert_eq!(pods.len(), 6);
    for pod in pods {
        let security = pod.security_context.expect("a pod security context");
        assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(USER)));
        assert_eq!(security.seccomp_profile.expect("seccomp").type_, "RuntimeDefault");
        for container in pod.containers {
            let security = container.security_context.expect("a container security context");
            assert_eq!(security.allow_privilege_escalation, Some(false));
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(security.capabilities.and_then(|c| c.drop), Some(vec!["ALL".to_owned()]));
        }
    }
}

const USER: i64 = 65532;

#[test]
fn stage_pods_get_the_environment_of_the_contract() {
    let objects = objects();
    let account = serde_json::to_value(&objects.stateful_sets[1]).expect("JSON");
    let container = &account["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["run", "--stage", "account"]));
    let environment = container["env"].as_array().expect("env");
    let value = |name: &str| environment.iter().find(|e| e["name"] == name).map(|e| e["value"].clone());
    let address = "$(KPAY_POD_NAME).payments-account.default.svc:9090";
    assert_eq!(value("KPAY_ADVERTISED_ADDRESS"), Some(json!(address)));
    assert_eq!(value("KPAY_PHASE_SOURCE"), Some(json!("kubernetes")));
    assert_eq!(value("KPAY_IDEMPOTENCY_WINDOW_SECONDS"), Some(json!("86400")));
    assert_eq!(value("KPAY_CURRENCY"), Some(json!("USD")));
    assert_eq!(value("KPAY_PIPELINE"), Some(json!("default/payments")));
    // A variable can only use those before it.
    assert_eq!(environment[0]["name"], "KPAY_POD_NAME");
}

#[test]
fn pods_are_replaced_when_their_own_service_account_was_made_anew() {
    let stages = |objects: DesiredObjects| {
        objects.stateful_sets.into_iter().filter_map(|s| Some(s.spec?.template)).collect::<Vec<_>>()
    };
    let (before, after) = (stages(objects_of("one")), stages(objects_of("two")));
    assert_eq!(before, stages(objects_of("one")));
    assert!(before.iter().zip(&after).all(|(before, after)| before != after));
    assert_eq!(objects_of("one").deployments, objects_of("two").deployments, "the gateway has its own");
    let gateway = objects().deployments.remove(0).spec.expect("a spec").template;
    let annotations = gateway.metadata.and_then(|m| m.annotations).expect("annotations");
    assert_eq!(annotations.get(names::IDENTITY_ANNOTATION).map(String::as_str), Some("gateway"));
}

#[test]
fn pods_may_only_watch_their_own_pipeline_and_the_gateway_may_patch_it() {
    let objects = objects();
    let mut allowed = Vec::new();
    for role in &objects.roles {
        let rules = role.rules.as_ref().expect("rules");
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].resource_names, Some(vec!["payments".to_owned()]));
        assert_eq!(rules[0].resources, Some(vec!["paymentpipelines".to_owned()]));
        allowed.push((role.metadata.name.clone().expect("a name"), rules[0].verbs.join(",")));
    }
    let expected = [("payments-processor", "list,watch"), ("payments-gateway", "list,watch,patch")];
    assert_eq!(allowed, expected.map(|(name, verbs)| (name.to_owned(), verbs.to_owned())));
    let accounts: Vec<_> = pods(&objects).into_iter().filter_map(|pod| pod.service_account_name).collect();
    assert_eq!(
        accounts,
        ["payments-processor", "payments-processor", "payments-processor", "payments-gateway"]
    );
    for binding in &objects.role_bindings {
        let subject = &binding.subjects.as_ref().expect("a subject")[0];
        assert_eq!((&subject.name, &binding.role_ref.name), (&binding.role_ref.name, &subject.name));
    }
}

#[test]
fn a_generator_is_a_deployment_and_nothing_else() {
    let (without, with) = (objects(), objects_with("stages", &json!({"generator": {"replicas": 3}})));
    let names = |objects: &DesiredObjects| -> Vec<_> {
        objects.deployments.iter().filter_map(|d| d.metadata.name.clone()).collect()
    };
    assert_eq!(names(&without), ["payments-gateway"]);
    assert_eq!(names(&with), ["payments-gateway", "payments-generator"]);
    assert_eq!(with.deployments[0], without.deployments[0]);
    assert_eq!(with.services, without.services);
    assert_eq!(with.budgets, without.budgets);
    assert_eq!(with.service_accounts, without.service_accounts);
    let generator = serde_json::to_value(&with.deployments[1]).expect("JSON");
    assert_eq!(generator["spec"]["replicas"], 3);
    assert_eq!(generator["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": 0, "maxUnavailable": 1}));
    let pod = &generator["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"][names::COMPONENT_LABEL], "generator");
    assert_eq!(pod["spec"]["serviceAccountName"], "payments-processor");
    assert_eq!(pod["spec"]["containers"][0]["args"], json!(["generator"]));
    let environment = pod["spec"]["containers"][0]["env"].as_array().expect("env");
    let value = |name: &str| environment.iter().find(|e| e["name"] == name).map(|e| e["value"].clone());
    assert_eq!(value("KPAY_PHASE_SOURCE"), Some(json!("kubernetes")));
    assert_eq!(value("KPAY_TOPIC_PREFIX"), Some(json!("default.payments.")));
}

#[test]
fn a_change_of_the_load_does_not_touch_the_pods() {
    let of = |generator| objects_with("stages", &json!({"generator": generator})).deployments;
    let load = json!({"steps": "5:1s", "accounts": 5, "funding": 1, "currency": "EUR", "skew": "zipf",
        "amounts": "7", "invalid": "1%", "duplicates": "2%"});
    assert_eq!(of(json!({})), of(load));
    assert_ne!(of(json!({})), of(json!({"resources": {"limits": {"memory": "1Gi"}}})));
}

#[test]
fn stages_have_headless_services_that_name_pods_before_they_are_ready() {
    for service in objects().services {
        let headless = service.metadata.name.as_deref() != Some("payments-gateway");
        let spec = service.spec.expect("a spec");
        assert_eq!(spec.cluster_ip.as_deref() == Some("None"), headless);
        assert_eq!(spec.publish_not_ready_addresses, headless.then_some(true));
    }
}

#[test]
fn an_import_is_a_job_that_knows_its_content_and_has_no_token() {
    let gateway = json!({"gateway": {"placement": {"nodeSelector": {"pool": "payments"}}}});
    let objects = objects_importing("stages", &gateway, Some(&import()));
    let job = serde_json::to_value(&objects.jobs[0]).expect("JSON");
    assert_eq!(job["metadata"]["name"], "payments-accounts-0123456789");
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels[names::COMPONENT_LABEL], "accounts-bootstrap");
    assert_eq!(labels[names::PIPELINE_LABEL], "payments");
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod.get("serviceAccountName"), None);
    assert_eq!(pod["nodeSelector"]["pool"], "payments", "where the gateway may run");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "kpay:1");
    assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
    assert_eq!(
        container["args"],
        json!([
            "account",
            "import",
            "/accounts/a.csv",
            "--digest",
            "0123456789",
            "--report",
            "/dev/termination-log",
            "--wait",
            "30s",
            "--require-outcome"
        ])
    );
    assert_eq!(
        container["env"],
        json!([{"name": "KPAY_GATEWAY_URL", "value": "http://payments-gateway.default.svc:8080"}])
    );
    let mount =
        json!([{"name": "accounts", "mountPath": "/accounts/a.csv", "subPath": "a.csv", "readOnly": true}]);
    assert_eq!(container["volumeMounts"], mount);
    let config_map = json!({"name": "opening", "items": [{"key": "a.csv", "path": "a.csv"}]});
    assert_eq!(pod["volumes"], json!([{"name": "accounts", "configMap": config_map}]));
    let rules = &job["spec"]["podFailurePolicy"]["rules"];
    assert_eq!(rules[1]["action"], "FailJob");
    assert_eq!(rules[1]["onExitCodes"]["values"], json!([1, 2, 4]), "3 is tried again");
    assert_eq!(pod["restartPolicy"], "Never", "the policy wants it");
}

#[test]
fn the_name_of_an_import_is_a_label_of_its_pods() {
    // Of the longest pipeline and all digits that a digest is told by.
    let name = names::bootstrap_job(&"p".repeat(40), &import().digest);
    assert!(name.len() <= 63, "{name}");
}
