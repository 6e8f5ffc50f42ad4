//! The pod of a stage, of the gateway or of the generator, and what every pod has, as the `restricted` Pod Security Standard wants it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    LocalObjectReference, ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecurityContext, Toleration, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kpay_crds::{Placement, ReleaseProcessor, Resources};

use crate::names::{self, CONTROL_PORT, Component, GATEWAY_PORT, IDENTITY_ANNOTATION, RELEASE_ANNOTATION};
use crate::upgrade::revision;
use crate::validate::ValidatedPipeline;

/// The user of the images: nobody that exists on a node.
const USER: i64 = 65532;
const GRACE_SECONDS: i64 = 30;

pub(super) fn template(
    pipeline: &ValidatedPipeline,
    component: Component,
    identity: &str,
) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(names::component_labels(&pipeline.name, component)),
            annotations: Some(BTreeMap::from([
                (IDENTITY_ANNOTATION.to_owned(), identity.to_owned()),
                (RELEASE_ANNOTATION.to_owned(), revision(pipeline.release(component), component)),
            ])),
            ..ObjectMeta::default()
        }),
        spec: Some(spec(pipeline, component)),
    }
}

fn spec(pipeline: &ValidatedPipeline, component: Component) -> PodSpec {
    PodSpec {
        service_account_name: Some(names::access(&pipeline.name, component)),
        automount_service_account_token: Some(true),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        containers: vec![container(pipeline, component)],
        volumes: Some(vec![Volume {
            name: "tmp".into(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        }]),
        topology_spread_constraints: Some(vec![spread(pipeline, component)]),
        ..confined(pipeline, component)
    }
}

/// A pod without containers, as the standard wants it, that runs where those of a workload may.
pub(super) fn confined(pipeline: &ValidatedPipeline, component: Component) -> PodSpec {
    let placement = own(pipeline, component).placement;
    let secrets = &pipeline.release(component).pull_secrets;
    let secrets: Vec<_> = secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    PodSpec {
        enable_service_links: Some(false),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..Default::default() }),
            ..PodSecurityContext::default()
        }),
        node_selector: (!placement.node_selector.is_empty()).then(|| placement.node_selector.clone()),
        tolerations: tolerations(&placement),
        ..PodSpec::default()
    }
}

fn container(pipeline: &ValidatedPipeline, component: Component) -> Container {
    let args: &[&str] = match component {
        Component::Gateway => &["gateway"],
        Component::Inflight => &["run", "--stage", "inflight"],
        Component::Account => &["run", "--stage", "account"],
        Component::Confirmed => &["run", "--stage", "confirmed"],
        Component::Generator => &["generator"],
    };
    Container {
        args: Some(args.iter().map(|arg| (*arg).to_owned()).collect()),
        env: Some(environment(pipeline, component)),
        ports: Some(ports(component)),
        resources: Some(resources(&own(pipeline, component).resources)),
        liveness_probe: Some(Probe {
            initial_delay_seconds: Some(5),
            period_seconds: Some(10),
            timeout_seconds: Some(3),
            failure_threshold: Some(6),
            ..probe("/healthz/live")
        }),
        readiness_probe: Some(Probe {
            period_seconds: Some(2),
            timeout_seconds: Some(2),
            failure_threshold: Some(3),
            ..probe("/healthz/ready")
        }),
        volume_mounts: Some(vec![VolumeMount {
            name: "tmp".into(),
            mount_path: "/tmp".into(),
            ..VolumeMount::default()
        }]),
        ..confined_container(pipeline, component)
    }
}

/// The only container of such a pod, from the image of a workload.
pub(super) fn confined_container(pipeline: &ValidatedPipeline, component: Component) -> Container {
    let release = pipeline.release(component);
    Container {
        name: "kpay".into(),
        image: Some(release.image.clone()),
        image_pull_policy: Some(release.pull_policy.clone()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Default::default() }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn environment(pipeline: &ValidatedPipeline, component: Component) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.into(), value: Some(value), ..EnvVar::default() };
    let field = |name: &str, path: &str| EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    let release = pipeline.release(component);
    let mut environment = vec![field("KPAY_POD_NAME", "metadata.name")];
    match component {
        Component::Gateway => {
            environment.push(field("KPAY_POD_IP", "status.podIP"));
            environment.push(value("KPAY_ADVERTISED_ADDRESS", format!("$(KPAY_POD_IP):{CONTROL_PORT}")));
            environment.push(value("KPAY_GATEWAY_LISTEN", format!("0.0.0.0:{GATEWAY_PORT}")));
        }
        Component::Inflight | Component::Account | Component::Confirmed => {
            let service = names::workload(&pipeline.name, component);
            let address = format!("$(KPAY_POD_NAME).{service}.{}.svc:{CONTROL_PORT}", pipeline.namespace);
            let workers = own(pipeline, component).workers.max(1);
            environment.push(value("KPAY_ADVERTISED_ADDRESS", address));
            environment.push(value("KPAY_WORKERS", workers.to_string()));
            let window = release.idempotency_window_seconds.to_string();
            environment.push(value("KPAY_IDEMPOTENCY_WINDOW_SECONDS", window));
        }
        // No peer asks it for anything.
        Component::Generator => {}
    }
    environment.extend([
        value("KPAY_BOOTSTRAP_SERVERS", release.bootstrap_servers.clone()),
        value("KPAY_TOPIC_PREFIX", pipeline.topic_prefix.clone()),
        value("KPAY_LISTEN", format!("0.0.0.0:{CONTROL_PORT}")),
        value("KPAY_PIPELINE", format!("{}/{}", pipeline.namespace, pipeline.name)),
        value("KPAY_PHASE_SOURCE", "kubernetes".into()),
        value("KPAY_CURRENCY", release.currency.clone()),
        value("KPAY_LOG", "info".into()),
    ]);
    environment
}

/// What the workload has of its own.
fn own(pipeline: &ValidatedPipeline, component: Component) -> ReleaseProcessor {
    let own = match component {
        Component::Generator => pipeline.generator.as_ref(),
        stage => pipeline.release(stage).processors.get(stage.as_str()),
    };
    own.cloned().unwrap_or_default()
}

fn ports(component: Component) -> Vec<ContainerPort> {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.into()),
        container_port: number,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    let mut ports = vec![port("control", CONTROL_PORT)];
    if component == Component::Gateway {
        ports.push(port("http", GATEWAY_PORT));
    }
    ports
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::String("control".into()),
            ..HTTPGetAction::default()
        }),
        ..Probe::default()
    }
}

pub(super) fn resources(own: &Resources) -> ResourceRequirements {
    let merged = |defaults: &[(&str, &str)], own: &BTreeMap<String, Quantity>| {
        let mut all: BTreeMap<String, Quantity> = defaults
            .iter()
            .map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned())))
            .collect();
        all.extend(own.clone());
        Some(all)
    };
    ResourceRequirements {
        requests: merged(&[("cpu", "100m"), ("memory", "128Mi")], &own.requests),
        limits: merged(&[("memory", "512Mi")], &own.limits),
        ..ResourceRequirements::default()
    }
}

/// Pods of a workload go to different nodes where there are several; one node holds them all if it must.
fn spread(pipeline: &ValidatedPipeline, component: Component) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".into(),
        when_unsatisfiable: "ScheduleAnyway".into(),
        label_selector: Some(LabelSelector {
            match_labels: Some(names::selector(&pipeline.name, component)),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}

fn tolerations(placement: &Placement) -> Option<Vec<Toleration>> {
    let of = |toleration: &kpay_crds::Toleration| Toleration {
        key: toleration.key.clone(),
        operator: toleration.operator.clone(),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
        toleration_seconds: toleration.toleration_seconds,
    };
    (!placement.tolerations.is_empty()).then(|| placement.tolerations.iter().map(of).collect())
}
