//! The chart tier: helm's own checks, and values that the schema must refuse.

use std::process::Command;

use anyhow::{Result, ensure};

use super::Context;
use crate::{process, tools};

/// Each is wrong in one way, and none may render.
const WRONG: &[&str] =
    &["noSuchValue=1", "image.pullPolicy=Sometimes", "image.repository=null", "replicas=minus-one"];

pub(super) fn run(context: &Context) -> Result<String> {
    tools::build(context.instance, &["helm"])?;
    let chart = context.instance.repo.join("charts/kpay");
    ensure!(chart.join("Chart.yaml").is_file(), "{} is not there", chart.display());
    let helm = |args: &[&str]| {
        let mut command = Command::new(context.instance.bin("helm"));
        command.args(args).arg(&chart);
        command
    };
    process::run(&mut helm(&["lint", "--strict"]))?;
    let rendered = process::output(&mut helm(&["template", "kpay"]))?;
    for kind in ["Deployment", "CustomResourceDefinition", "ServiceAccount"] {
        ensure!(rendered.contains(&format!("kind: {kind}\n")), "the chart renders no {kind}");
    }
    for wrong in WRONG {
        let answer = process::output(&mut helm(&["template", "kpay", "--set", wrong]));
        ensure!(answer.is_err(), "the chart accepts {wrong}");
        // Refused by the schema, with a message for people, and not by a template that broke on it.
        let said = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains("schema"), "{wrong} is refused, but not by the schema: {said}");
    }
    Ok(format!("renders; {} wrong values refused", WRONG.len()))
}
