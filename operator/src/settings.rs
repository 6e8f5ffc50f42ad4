//! Settings: flags with an environment variable each. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kpay_control::validate::DefaultImage;

/// Runs payment pipelines on Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "kpay-operator", version)]
pub struct Operator {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile pipelines until told to stop.
    Run(Settings),
    /// Print the objects that `run` would make of a `PaymentPipeline`, as YAML. Needs no cluster.
    Render {
        /// The manifest.
        manifest: PathBuf,
        /// The image where it names none.
        #[command(flatten)]
        image: PipelineImage,
    },
    /// Ask a URL once; an answer that is no success is a failure. The chart's test does this.
    Check {
        /// What is asked, by plain HTTP.
        url: String,
    },
}

/// The image of the processors where a pipeline names none.
#[derive(Clone, Debug, Args)]
pub struct PipelineImage {
    /// Image of the processors where a pipeline names none.
    #[arg(long, env = "KPAY_PIPELINE_IMAGE_REPOSITORY", default_value = "kpay")]
    pub pipeline_image_repository: String,
    /// Tag of that image.
    #[arg(long, env = "KPAY_PIPELINE_IMAGE_TAG", default_value = env!("CARGO_PKG_VERSION"))]
    pub pipeline_image_tag: String,
    /// When a node pulls that image.
    #[arg(long, env = "KPAY_PIPELINE_IMAGE_PULL_POLICY", value_enum, default_value = "IfNotPresent")]
    pub pipeline_image_pull_policy: PullPolicy,
}

impl From<&PipelineImage> for DefaultImage {
    fn from(image: &PipelineImage) -> Self {
        Self {
            repository: image.pipeline_image_repository.clone(),
            tag: image.pipeline_image_tag.clone(),
            pull_policy: image.pipeline_image_pull_policy.into(),
        }
    }
}

/// Settings of `run`.
#[derive(Clone, Debug, Args)]
pub struct Settings {
    /// The image of pipelines that name none.
    #[command(flatten)]
    pub image: PipelineImage,
    /// Namespaces in which pipelines are looked after, with commas in between; none means all.
    #[arg(long, env = "KPAY_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Address for health and metrics.
    #[arg(long, env = "KPAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Name of this pod: the holder of the lease.
    #[arg(long, env = "POD_NAME", default_value = "kpay-operator")]
    pub pod_name: String,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub pod_namespace: String,
    /// Name of the lease; replicas of one operator share it.
    #[arg(long, env = "KPAY_LEASE", default_value = "kpay-operator")]
    pub lease: String,
    /// Work without a lease; only for a single operator that a person starts.
    #[arg(long, env = "KPAY_NO_LEADER_ELECTION")]
    pub no_leader_election: bool,
    /// Tracing filter.
    #[arg(long, env = "KPAY_LOG", default_value = "info")]
    pub log: String,
}

/// When a node pulls an image, in Kubernetes' words.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

impl From<PullPolicy> for kpay_crds::PullPolicy {
    fn from(policy: PullPolicy) -> Self {
        match policy {
            PullPolicy::Always => Self::Always,
            PullPolicy::IfNotPresent => Self::IfNotPresent,
            PullPolicy::Never => Self::Never,
        }
    }
}
