//! Accepts connections and hands their requests to the router. Only I/O.
//!
//! `axum::serve` bounds neither the number of connections nor the time for a request's headers; this does.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

const CONNECTIONS_MAX: usize = 8192;
/// For the headers of a request, and so for a connection that is kept without one.
const HEADER_TIMEOUT: Duration = Duration::from_mins(1);
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// For the requests that are being answered when the stop comes.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then finishes what was begun.
pub(super) async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()> + Send) {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = graceful.watch(connection(stream, router.clone()));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        debug!(%error, "connection");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                warn!(%error, "accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        warn!("requests were still being answered at the stop");
    }
}

fn connection(
    stream: TcpStream,
    router: Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no delay");
    }
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_stop_lets_the_request_that_was_begun_end_and_takes_no_other() {
        let (begun, has_begun) = oneshot::channel::<()>();
        let (end, may_end) = oneshot::channel::<()>();
        let once = Arc::new(parking_lot::Mutex::new(Some((begun, may_end))));
        let handler = move || {
            let (begun, may_end) = once.lock().take().unwrap();
            async move {
                begun.send(()).unwrap();
                may_end.await.unwrap();
                "done"
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let router = Router::new().route("/", get(handler));
        let server = tokio::spawn(serve(listener, router, shutdown));
        let request = tokio::spawn(reqwest::get(url.clone()));
        has_begun.await.unwrap();
        stop.send(()).unwrap();
        while reqwest::get(&url).await.is_ok() {
            tokio::task::yield_now().await;
        }
        end.send(()).unwrap();
        assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.await.unwrap();
    }
}
