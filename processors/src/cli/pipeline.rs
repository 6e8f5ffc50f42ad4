//! `kpay status`, `kpay pause` and `kpay resume`. Only I/O.

use jiff::Timestamp;
use kpay_crds::{OperationPhase, PipelineOperation};
use kpay_domain::Currency;

use super::amount::Shown;
use super::args::{PauseArgs, ResumeArgs};
use super::client::Answer;
use super::cluster::Cluster;
use super::exit::{CliError, Exit};
use super::overview::Overview;
use super::{Context, object, print};
use crate::gateway::dto::{HolderView, PipelineView, Sum};

/// Shows the pipeline.
pub(super) async fn status(context: &Context) -> Result<Exit, CliError> {
    if let Some(cluster) = context.gateway.in_cluster() {
        return overview(context, cluster).await;
    }
    let answer = context.gateway.get("/v1/pipeline", &[]).await?;
    show(context, &answer)?;
    Ok(Exit::Done)
}

/// What the resource tells: also when there is no gateway yet.
async fn overview(context: &Context, cluster: &Cluster) -> Result<Exit, CliError> {
    let pipeline = cluster.resource().await?;
    let over = |operation: &PipelineOperation| {
        let phase = operation.status.as_ref().and_then(|status| status.phase);
        phase.is_some_and(OperationPhase::is_final)
    };
    let mut operations = cluster.operations().await?;
    operations.retain(|operation| !over(operation));
    let overview = Overview { pipeline: &pipeline, operations: &operations, now: Timestamp::now() };
    if context.printer.json() {
        print::line(&overview.json().to_string())?;
    } else {
        print::write(&overview.tree())?;
    }
    Ok(Exit::Done)
}

/// Asks for a pause.
pub(super) async fn pause(context: &Context, args: &PauseArgs) -> Result<Exit, CliError> {
    let body = object([
        ("reason", args.reason.clone().map(Into::into)),
        ("holder", args.holder.clone().map(Into::into)),
        ("expiresIn", args.lasting.clone().map(Into::into)),
    ]);
    let answer = context.gateway.post_json("/v1/pipeline/pause", &body, None).await?;
    show(context, &answer)?;
    Ok(Exit::Done)
}

/// Asks for the end of a pause.
pub(super) async fn resume(context: &Context, args: &ResumeArgs) -> Result<Exit, CliError> {
    let body = object([("holder", args.holder.clone().map(Into::into))]);
    let answer = context.gateway.post_json("/v1/pipeline/resume", &body, None).await?;
    show(context, &answer)?;
    Ok(Exit::Done)
}

fn show(context: &Context, answer: &Answer) -> Result<(), CliError> {
    let unknown = || "not known now".to_owned();
    let fields = match serde_json::from_str::<PipelineView>(&answer.raw) {
        Ok(view) => [
            ("phase", view.phase.unwrap_or_else(unknown)),
            ("desired", view.desired_phase.unwrap_or_default()),
            ("paused by", view.paused_by.unwrap_or_default()),
            ("reason", view.reason.unwrap_or_default()),
            ("since", view.since.unwrap_or_default()),
        ]
        .into_iter()
        .chain(view.holders.iter().map(|one| ("held by", holder(one))))
        .chain([
            ("epoch", view.epoch.map(|epoch| epoch.to_string()).unwrap_or_default()),
            ("in flight", view.in_flight.as_ref().map_or_else(unknown, sum)),
            ("confirmed today", view.confirmed_today.as_ref().map_or_else(unknown, sum)),
        ])
        .collect(),
        Err(_) => vec![("answer", answer.raw.clone())],
    };
    Ok(context.printer.one(&answer.raw, &fields)?)
}

/// Who holds it paused, since and until when, and why.
fn holder(one: &HolderView) -> String {
    let part = |word: &str, text: Option<&String>| text.map(|text| format!(" {word} {text}"));
    let times = [part("since", one.since.as_ref()), part("until", one.until.as_ref())];
    let reason = one.reason.as_ref().map(|reason| format!(" ({reason})"));
    let parts = times.into_iter().chain([reason]).flatten();
    [one.holder.clone()].into_iter().chain(parts).collect()
}

/// How many, and what they are worth.
pub(super) fn sum(sum: &Sum) -> String {
    let value = |(code, minor): (&String, &i128)| {
        Currency::new(code)
            .map_or_else(|_| format!("{minor} {code}"), |known| Shown(*minor, known).to_string())
    };
    let worth: Vec<String> = sum.value.iter().filter(|(_, minor)| **minor != 0).map(value).collect();
    if worth.is_empty() { sum.count.to_string() } else { format!("{} ({})", sum.count, worth.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_shown_with_all_that_is_known() {
        let bare = HolderView { holder: "alice".to_owned(), reason: None, since: None, until: None };
        assert_eq!(holder(&bare), "alice");
        let text = |text: &str| Some(text.to_owned());
        let full = HolderView { reason: text("books"), since: text("noon"), until: text("one"), ..bare };
        assert_eq!(holder(&full), "alice since noon until one (books)");
    }

    #[test]
    fn a_sum_is_shown_with_its_value_by_currency() {
        let value = [("EUR".to_owned(), 5), ("JPY".to_owned(), 0), ("USD".to_owned(), 1_234_567)].into();
        assert_eq!(sum(&Sum { count: 9, value }), "9 (0.05 EUR, 12345.67 USD)");
        assert_eq!(sum(&Sum::default()), "0");
    }
}
