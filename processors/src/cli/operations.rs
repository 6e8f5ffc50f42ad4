//! `kpay upgrade watch`, `kpay restart`, `kpay wipe` and `kpay operation`: what is done to a pipeline by its operator. Only I/O.

use futures::StreamExt;
use jiff::Timestamp;
use kpay_crds::{
    OperationPhase, OperationType, PaymentPipeline, PipelineOperation, PipelineOperationSpec, Restart,
    RestartDuring, WipeAndUpdate,
};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};

use super::args::{FollowArgs, NewOperationArgs, OperationCommand, RestartArgs, WipeArgs};
use super::cluster::Cluster;
use super::exit::{CliError, Exit};
use super::follow::{states, within};
use super::overview::{inventory, operation_json, operation_node, phase_word};
use super::print::{self, Column, Table, left};
use super::progress::{Ended, Event, OperationProgress, UpgradeProgress, operation_ended, upgrade_ended};
use super::{Context, new_id};

const COLUMNS: &[Column] =
    &[left("NAME"), left("TYPE"), left("PHASE"), left("CREATED"), left("REASON"), left("MESSAGE")];

/// Follows the change of the pods.
pub(super) async fn upgrade(context: &Context, args: FollowArgs) -> Result<Exit, CliError> {
    let cluster = context.gateway.cluster("upgrade watch")?;
    let name = &cluster.pipeline;
    let what = format!("the upgrade of {}/{name}", cluster.namespace);
    let mut seen = states(cluster.api::<PaymentPipeline>(), name, &what);
    let mut progress = UpgradeProgress::default();
    let follow = async {
        while let Some(pipeline) = seen.next().await {
            let pipeline = pipeline?;
            tell(context, &progress.see(&pipeline))?;
            if let Some((Ended(exit), why)) = upgrade_ended(&pipeline) {
                if let Some(why) = why {
                    eprintln!("{}", print::plain(&why));
                }
                return Ok(exit);
            }
        }
        Err(CliError::Gone { what: name.clone() })
    };
    within(args.deadline, &what, follow).await
}

/// Makes a restart and follows it.
pub(super) async fn restart(context: &Context, args: &RestartArgs) -> Result<Exit, CliError> {
    let cluster = context.gateway.cluster("restart")?;
    let during = RestartDuring::from(args.during);
    if args.intake_per_second.is_some() && during != RestartDuring::LimitedIntake {
        let hint = "belongs to --during limited-intake";
        return Err(CliError::Usage(format!("--intake-per-second {hint}")));
    }
    let restart = Restart { during, intake_per_second: args.intake_per_second };
    let restricted = (during != RestartDuring::Full).then_some(restart);
    let mut spec = spec(cluster, OperationType::Restart, &args.reason, &args.operation);
    (spec.dry_run, spec.restart) = (args.dry_run, restricted);
    let name = args.operation.name.clone().unwrap_or_else(|| format!("restart-{}", new_id()));
    make_and_follow(context, cluster, &name, spec, &args.operation).await
}

/// Makes the dry run of a wipe and shows what it lists, or the wipe itself and follows it.
pub(super) async fn wipe(context: &Context, args: &WipeArgs) -> Result<Exit, CliError> {
    let cluster = context.gateway.cluster("wipe")?;
    let reason = args.reason.as_deref().unwrap_or("to see what would go");
    let mut spec = spec(cluster, OperationType::WipeAndUpdate, reason, &args.operation);
    let own = args.operation.name.clone();
    if let Some(confirmation) = &args.confirm {
        spec.wipe_and_update = Some(WipeAndUpdate { confirmation: confirmation.clone() });
        // What is confirmed is carried out once, however often the command is given.
        let name = own.unwrap_or_else(|| format!("wipe-{confirmation}"));
        return make_and_follow(context, cluster, &name, spec, &args.operation).await;
    }
    spec.dry_run = true;
    let name = own.unwrap_or_else(|| format!("wipe-dry-run-{}", new_id()));
    make(cluster, &name, spec).await?;
    if args.operation.no_wait {
        print::line(&name)?;
        return Ok(Exit::Done);
    }
    let operation = within(args.operation.follow.deadline, &name, ended(cluster, &name)).await?;
    listed(context, &operation)
}

fn listed(context: &Context, operation: &PipelineOperation) -> Result<Exit, CliError> {
    let status = operation.status.clone().unwrap_or_default();
    let done = status.phase == Some(OperationPhase::Succeeded);
    let exit = if done { Exit::Done } else { Exit::Refused };
    match status.wipe {
        _ if context.printer.json() => print::line(&operation_json(operation).to_string())?,
        Some(wipe) => {
            let next = format!("kubectl kpay wipe --confirm {} --reason WHY", wipe.confirmation);
            print::write(&format!("{}to do just that: {next}\n", inventory(&wipe)))?;
        }
        None => eprintln!("error: {}", print::plain(&status.message)),
    }
    Ok(exit)
}

/// `kpay operation`.
pub(super) async fn run(context: &Context, command: &OperationCommand) -> Result<Exit, CliError> {
    let cluster = context.gateway.cluster("operation")?;
    match command {
        OperationCommand::List => list(context, cluster).await,
        OperationCommand::Get { name } => {
            let operation = get(cluster, name).await?;
            if context.printer.json() {
                print::line(&operation_json(&operation).to_string())?;
            } else {
                print::write(&operation_node(&operation, Timestamp::now()).render())?;
            }
            Ok(Exit::Done)
        }
        OperationCommand::Watch { name, follow } => {
            self::follow(context, cluster, &get(cluster, name).await?, *follow).await
        }
    }
}

async fn get(cluster: &Cluster, name: &str) -> Result<PipelineOperation, CliError> {
    let found = cluster.api::<PipelineOperation>().get(name).await;
    found.map_err(|source| cluster.failed(&format!("operation {name}"), source))
}

async fn list(context: &Context, cluster: &Cluster) -> Result<Exit, CliError> {
    let operations = cluster.operations().await?;
    if context.printer.json() {
        let lines = operations.iter().map(|operation| format!("{}\n", operation_json(operation)));
        print::write(&lines.collect::<String>())?;
        return Ok(Exit::Done);
    }
    let row = |operation: &PipelineOperation| {
        let created = operation.metadata.creation_timestamp.as_ref().map(|at| super::overview::date(at.0));
        let message = operation.status.as_ref().map(|status| status.message.clone());
        vec![
            operation.name_any(),
            operation.spec.kind.as_str().to_owned(),
            phase_word(operation).to_owned(),
            created.unwrap_or_default(),
            operation.spec.reason.clone(),
            message.unwrap_or_default(),
        ]
    };
    print::write(&Table::new(COLUMNS).rows(&operations.iter().map(row).collect::<Vec<_>>()))?;
    Ok(Exit::Done)
}

fn spec(
    cluster: &Cluster,
    kind: OperationType,
    reason: &str,
    args: &NewOperationArgs,
) -> PipelineOperationSpec {
    PipelineOperationSpec {
        pipeline: cluster.pipeline.clone(),
        kind,
        reason: reason.to_owned(),
        by: args.by.clone(),
        dry_run: false,
        replay_dead_letters: None,
        restart: None,
        wipe_and_update: None,
    }
}

/// Makes an operation. One of this name that asks for the same is taken for it: the answer to the first time was lost.
async fn make(
    cluster: &Cluster,
    name: &str,
    spec: PipelineOperationSpec,
) -> Result<PipelineOperation, CliError> {
    let operations = cluster.api::<PipelineOperation>();
    let operation = PipelineOperation::new(name, spec);
    match operations.create(&PostParams::default(), &operation).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let found = get(cluster, name).await?;
            if found.spec == operation.spec {
                eprintln!("{name} is there already, and {}", phase_word(&found));
                return Ok(found);
            }
            Err(CliError::Usage(format!("--name: {name} is another operation already; give another name")))
        }
        Err(source) => Err(cluster.failed(&format!("operation {name}"), source)),
    }
}

async fn make_and_follow(
    context: &Context,
    cluster: &Cluster,
    name: &str,
    spec: PipelineOperationSpec,
    args: &NewOperationArgs,
) -> Result<Exit, CliError> {
    let operation = make(cluster, name, spec).await?;
    if args.no_wait {
        print::line(name)?;
        return Ok(Exit::Done);
    }
    follow(context, cluster, &operation, args.follow).await
}

/// The operation once it is over.
async fn ended(cluster: &Cluster, name: &str) -> Result<PipelineOperation, CliError> {
    let mut seen = states(cluster.api::<PipelineOperation>(), name, name);
    while let Some(operation) = seen.next().await {
        let operation = operation?;
        if operation_ended(&operation).is_some() {
            return Ok(operation);
        }
    }
    Err(CliError::Gone { what: name.to_owned() })
}

enum Seen {
    Operation(Box<PipelineOperation>),
    Pipeline(Box<PaymentPipeline>),
}

/// Tells each step as it ends: a wipe's own, and of a restart those of the pods.
async fn follow(
    context: &Context,
    cluster: &Cluster,
    operation: &PipelineOperation,
    args: FollowArgs,
) -> Result<Exit, CliError> {
    let (name, uid) = (operation.name_any(), operation.uid().unwrap_or_default());
    let own = states(cluster.api::<PipelineOperation>(), &name, &name)
        .map(|seen| seen.map(|seen| Seen::Operation(Box::new(seen))));
    let of_pods = operation.spec.kind == OperationType::Restart && !operation.spec.dry_run;
    let pods = if of_pods {
        states(cluster.api::<PaymentPipeline>(), &operation.spec.pipeline, &name)
            .map(|seen| seen.map(|seen| Seen::Pipeline(Box::new(seen))))
            .boxed()
    } else {
        futures::stream::pending().boxed()
    };
    let mut seen = futures::stream::select(own, pods);
    let (mut progress, mut pods) = (OperationProgress::default(), UpgradeProgress::of_restart(&uid));
    let follow = async {
        while let Some(seen) = seen.next().await {
            match seen? {
                Seen::Pipeline(pipeline) => tell(context, &pods.see(&pipeline))?,
                Seen::Operation(operation) => {
                    let over = operation_ended(&operation);
                    if let (true, Some(_)) = (of_pods, over) {
                        // What the last steps have seen may be on its way in the other watch.
                        let api: Api<PaymentPipeline> = cluster.api();
                        if let Ok(Some(pipeline)) = api.get_opt(&operation.spec.pipeline).await {
                            tell(context, &pods.see(&pipeline))?;
                        }
                    }
                    tell(context, &progress.see(&operation))?;
                    if let Some(Ended(exit)) = over {
                        return Ok(exit);
                    }
                }
            }
        }
        Err(CliError::Gone { what: name.clone() })
    };
    within(args.deadline, &name, follow).await
}

fn tell(context: &Context, events: &[Event]) -> Result<(), CliError> {
    for event in events {
        print::line(&if context.printer.json() { event.json() } else { event.line() })?;
    }
    Ok(())
}

impl Cluster {
    /// The operations of the pipeline, the oldest first.
    pub(super) async fn operations(&self) -> Result<Vec<PipelineOperation>, CliError> {
        let found = self.api::<PipelineOperation>().list(&ListParams::default()).await;
        let mut found = found.map_err(|source| self.failed("the operations", source))?.items;
        found.retain(|operation| operation.spec.pipeline == self.pipeline);
        found.sort_by_key(|operation| (operation.creation_timestamp().map(|at| at.0), operation.name_any()));
        Ok(found)
    }
}
