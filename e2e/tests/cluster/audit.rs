//! What the API server was asked: the testbed's audit log, which has every write, and the reads of the operator and the pods.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use anyhow::Context;
use serde_json::Value;

/// The operator, as the API server knows it.
pub(crate) const OPERATOR: &str = "system:serviceaccount:kpay-system:kpay-operator";

/// One request for a resource, and what came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) user: String,
    pub(crate) verb: String,
    pub(crate) group: String,
    /// With its subresource, such as `paymentpipelines/status`.
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The object was not there before.
    pub(crate) created: bool,
    /// The user has no right to it.
    pub(crate) forbidden: bool,
}

impl Request {
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    fn read(event: &Value) -> Option<Self> {
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let sub = event.pointer("/objectRef/subresource").and_then(Value::as_str);
        let resource = event.pointer("/objectRef/resource")?.as_str()?;
        Some(Self {
            user: text("/user/username"),
            verb: text("/verb"),
            group: text("/objectRef/apiGroup"),
            resource: sub.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}")),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            created: event.pointer("/responseStatus/code") == Some(&201.into()),
            // Not by the code: a namespace that is going answers 403 as well.
            forbidden: text("/annotations/authorization.k8s.io~1decision") == "forbid",
        })
    }
}

/// How long the log is now.
pub(crate) fn length() -> anyhow::Result<u64> {
    Ok(open()?.metadata()?.len())
}

/// The requests since it was so long.
pub(crate) fn since(length: u64) -> anyhow::Result<Vec<Request>> {
    let mut log = open()?;
    log.seek(SeekFrom::Start(length))?;
    let mut text = String::new();
    log.read_to_string(&mut text)?;
    // The last line may be half written.
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(events.filter_map(|event| Request::read(&event)).collect())
}

fn open() -> anyhow::Result<File> {
    let path = std::env::var("KPAY_AUDIT_LOG")
        .context("KPAY_AUDIT_LOG is not set: the audit log is the testbed's")?;
    Ok(File::open(path)?)
}
