//! How a command ends. Pure.

use std::process::ExitCode;

use crate::gateway::problem::Problem;

use super::amount::AmountError;

/// What `--help` says of it.
pub const HELP: &str = "Exit codes of the commands that ask a gateway:
  0  done
  1  refused, or rejected or reversed by a rule of the business
  2  usage: the command or what it was given cannot be read
  3  not reachable, or not known yet: the same command with the same id may be given again
  4  not found";

/// The end of a command that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done as asked.
    Done,
    /// A rule of the business says no.
    Refused,
    /// Cannot be read as what it should be.
    Usage,
    /// Nobody knows yet, or nobody answers.
    Again,
    /// There is no such thing.
    NotFound,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Again => 3,
            Self::NotFound => 4,
        }
    }

    /// Of the status of a payment or an account command.
    pub fn of_outcome(status: &str) -> Self {
        match status {
            "rejected" | "reversed" => Self::Refused,
            "accepted" | "in_flight" | "held" | "opening" => Self::Again,
            _ => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No connection, or none that lasted to the answer.
    #[error("{url} cannot be reached: {}", root(source))]
    Unreachable {
        /// What was asked.
        url: String,
        /// What the client said.
        #[source]
        source: reqwest::Error,
    },
    /// The API server, which should pass the request on, cannot be asked.
    #[error("{url}: {}", said(source))]
    ApiServer {
        /// What was asked.
        url: String,
        /// What the client said.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server does not pass the request on.
    #[error("{url}: the API server answers {status}: {message}")]
    NotPassedOn {
        /// What was asked.
        url: String,
        /// Of HTTP.
        status: u16,
        /// Its words.
        message: String,
    },
    /// What is asked is done by Kubernetes alone.
    #[error(
        "kpay {what} works in a cluster only, through its API server: as kubectl kpay, or with --gateway \
         kube://namespace/pipeline; {base} is a gateway by itself"
    )]
    NoCluster {
        /// The command.
        what: String,
        /// What was to be asked.
        base: String,
    },
    /// What is followed was deleted.
    #[error("{what} is not there any more")]
    Gone {
        /// Which.
        what: String,
    },
    /// What is followed takes longer than was to be waited.
    #[error("{what} is still under way after {deadline_s} s, and goes on")]
    Deadline {
        /// Which.
        what: String,
        /// How long was waited, in seconds.
        deadline_s: u64,
    },
    /// The gateway says no, and why.
    #[error("{}: {}", .0.code, .0.detail)]
    Problem(Box<Problem>),
    /// The answer is not from a gateway.
    #[error("{url} answers {status}, and not as a kpay gateway does")]
    Foreign {
        /// What was asked.
        url: String,
        /// Of HTTP.
        status: u16,
    },
    /// Not an amount.
    #[error("--amount: {0}")]
    Amount(#[from] AmountError),
    /// Something else that was given cannot be used.
    #[error("{0}")]
    Usage(String),
    /// A file has other content than was meant: it was changed, or is not written yet.
    #[error("{path}: the digest of the content begins with {found}, not with {wanted}")]
    OtherContent {
        /// Which.
        path: String,
        /// What its digest begins with.
        found: String,
        /// What it should begin with.
        wanted: String,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Kafka, for what is written to the topic directly.
    #[error("{0}")]
    Kafka(#[from] kpay_kafka::KafkaError),
    /// The output went away.
    #[error("output: {0}")]
    Output(#[from] std::io::Error),
}

/// The API server's own words, without the rest of its answer.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The innermost cause: the outer ones repeat the address.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

impl CliError {
    /// How the command ends.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Problem(problem) => of_problem(problem.status, &problem.code),
            Self::Unreachable { source, .. } if source.is_builder() => Exit::Usage,
            Self::Foreign { status, .. } if *status < 500 => Exit::Usage,
            Self::NotPassedOn { status, .. } => of_problem(*status, ""),
            Self::ApiServer { source, .. } => of_api_server(source),
            Self::Gone { .. } => Exit::NotFound,
            Self::Unreachable { .. }
            | Self::Deadline { .. }
            | Self::Foreign { .. }
            | Self::OtherContent { .. }
            | Self::Kafka(_)
            | Self::Output(_) => Exit::Again,
            Self::Amount(_) | Self::Usage(_) | Self::File { .. } | Self::NoCluster { .. } => Exit::Usage,
        }
    }

    /// Whether the same request may have another answer soon.
    pub fn may_pass(&self) -> bool {
        self.exit() == Exit::Again
    }
}

/// What the API server says of an object, or that it says nothing.
fn of_api_server(error: &kube::Error) -> Exit {
    match error {
        kube::Error::Api(status) => of_problem(status.code, ""),
        _ => Exit::Again,
    }
}

/// A path that the gateway does not serve is no missing payment: the gateway is older than this program.
fn of_problem(status: u16, code: &str) -> Exit {
    match (status, code) {
        (_, "route_unknown" | "method_not_allowed") | (400 | 413 | 415, _) => Exit::Usage,
        (404, _) => Exit::NotFound,
        (408 | 425 | 429 | 500.., _) => Exit::Again,
        _ => Exit::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_problem_has_its_exit() {
        for (status, code, exit) in [
            (400, "amount_not_integer", Exit::Usage),
            (401, "token_missing", Exit::Refused),
            (404, "payment_unknown", Exit::NotFound),
            (404, "route_unknown", Exit::Usage),
            (405, "method_not_allowed", Exit::Usage),
            (409, "idempotency_conflict", Exit::Refused),
            (413, "body_too_large", Exit::Usage),
            (422, "same_account", Exit::Refused),
            (429, "rate_limited", Exit::Again),
            (500, "internal", Exit::Again),
            (503, "kafka_unavailable", Exit::Again),
        ] {
            assert_eq!(of_problem(status, code), exit, "{status} {code}");
        }
    }

    #[test]
    fn an_outcome_decides_and_none_yet_is_not_done() {
        for (status, exit) in [
            ("confirmed", Exit::Done),
            ("rejected", Exit::Refused),
            ("reversed", Exit::Refused),
            ("accepted", Exit::Again),
            ("in_flight", Exit::Again),
            ("held", Exit::Again),
        ] {
            assert_eq!(Exit::of_outcome(status), exit, "{status}");
        }
    }

    #[test]
    fn the_help_has_every_code() {
        for exit in [Exit::Done, Exit::Refused, Exit::Usage, Exit::Again, Exit::NotFound] {
            assert!(HELP.contains(&format!("\n  {}  ", exit.code())), "{exit:?}");
        }
    }
}
