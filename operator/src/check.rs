//! One question to an endpoint, for images that hold no other program that could ask it. Only I/O.

use std::time::Duration;

use anyhow::{Context, ensure};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns what was answered.
///
/// # Errors
/// When there is no answer, or one that is no success.
pub async fn check(url: &str) -> anyhow::Result<String> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let answer = client.get(url).send().await.with_context(|| format!("{url} does not answer"))?;
    let status = answer.status();
    let said = answer.text().await.with_context(|| format!("{url} does not end its answer"))?;
    ensure!(status.is_success(), "{url} answers {status}: {said}");
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{Probes, router};

    #[tokio::test]
    async fn an_operator_that_is_not_ready_fails_the_check() {
        let probes = Probes::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/healthz/ready", listener.local_addr().expect("an address"));
        let server = tokio::spawn(axum::serve(listener, router(probes.clone())).into_future());
        let refused = check(&url).await.expect_err("not ready yet").to_string();
        assert!(refused.contains("503") && refused.contains("the API server"), "{refused}");
        probes.set_ready(true);
        assert_eq!(check(&url).await.expect("ready"), "ready");
        server.abort();
        assert!(server.await.is_err_and(|ended| ended.is_cancelled()));
        let silent = check(&url).await.expect_err("nobody listens").to_string();
        assert!(silent.contains("does not answer"), "{silent}");
    }
}
