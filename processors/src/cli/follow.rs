//! Follows resources of a cluster by a watch, until something is so. Only I/O.

use std::fmt::Debug;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::core::Resource;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

use super::exit::CliError;

/// Each state of an object; ends in an error once it is gone, or the API server says no. One that is away is waited for.
pub(super) fn states<K>(api: Api<K>, name: &str, what: &str) -> BoxStream<'static, Result<K, CliError>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let what = what.to_owned();
    let seen = watcher::watch_object(api, name).default_backoff();
    let seen = seen.map_err(move |error| (what.clone(), error));
    let gone = name.to_owned();
    seen.filter_map(move |seen| {
        let gone = gone.clone();
        async move {
            match seen {
                Ok(Some(object)) => Some(Ok(object)),
                Ok(None) => Some(Err(CliError::Gone { what: gone })),
                Err((what, error)) => refused(what, error).map(Err),
            }
        }
    })
    .boxed()
}

/// What does not get better by waiting; the rest is told and tried again.
fn refused(what: String, error: watcher::Error) -> Option<CliError> {
    match error {
        watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)
            if says_no(&source) =>
        {
            Some(CliError::ApiServer { url: what, source: Box::new(source) })
        }
        error => {
            eprintln!("the watch of {what} is interrupted and goes on: {error}");
            None
        }
    }
}

/// Whether the API server refuses, and not only the version that was asked for or so many requests.
fn says_no(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 400..=409 | 411..=428 | 430..=499),
        _ => false,
    }
}

/// Waits for an answer, but not for longer than that.
pub(super) async fn within<T>(
    deadline: Duration,
    what: &str,
    answer: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(answered) => answered,
        Err(_) => Err(CliError::Deadline { what: what.to_owned(), deadline_s: deadline.as_secs() }),
    }
}
