//! What can go wrong in a reconcile, and how it is counted.

/// A reconcile that failed; it is tried again with a growing delay.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("cannot {verb} {kind}: {source}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On what.
        kind: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// Somebody wrote the resource in between; the next reconcile sees it.
    #[error("the resource has changed in between")]
    Conflict,
    /// A value has no JSON; not for our types.
    #[error("an object has no JSON form: {0}")]
    Json(#[from] serde_json::Error),
    /// The resource came without a name or uid; not from an API server.
    #[error("the resource has no {0}")]
    Unnamed(&'static str),
    /// Topics could not be deleted with the resource.
    #[error("cannot delete the topics: {0}")]
    Topics(#[from] crate::broker::BrokerError),
}

impl Error {
    /// An answer of the API server.
    pub fn api(verb: &'static str, kind: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |source| match &source {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            _ => Self::Api { verb, kind: kind.into(), source: Box::new(source) },
        }
    }

    /// The label in metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Api { .. } => "api",
            Self::Conflict => "conflict",
            Self::Json(_) => "json",
            Self::Unnamed(_) => "unnamed",
            Self::Topics(_) => "kafka",
        }
    }
}
