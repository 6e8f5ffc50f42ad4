//! The routes, their description, and what every request goes through. No I/O of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{Problem, Rejected};
use super::{
    App, accounts, codes, dead_letters, events, figures, follow_ups, generator, holds, lists, page, payments,
    pipeline,
};

/// Longer than the longest wait with all that may come before. Until the answer begins: events go on for longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// What the records of payment.confirmed look like; `kpay-domain`, which writes them, is tested by it.
const CONFIRMED_SCHEMA: &str = include_str!("../../../docs/payment.confirmed.schema.json");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "kpay",
        description = "Payments over Kafka, exactly once. Amounts are integers of minor units. Errors are \
            problem details (RFC 9457) with stable codes. A request with an id may be sent again at any time: it is \
            carried out once and answered as the first time, or by `Prefer: wait=1` with its outcome, if there is one.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/")),
    components(schemas(Problem)),
    tags(
        (name = "payments", description = "Pay, and see what became of it"),
        (name = "accounts", description = "Open, fund, freeze, close and look at accounts"),
        (name = "metrics", description = "What was done, and how fast"),
        (name = "pipeline", description = "The pipeline as a whole"),
        (name = "dead letters", description = "Records that no stage could read: see and replay them"),
        (name = "generator", description = "A load of the gateway's own, where it was started with one"),
    ),
)]
struct Description;

fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(payments::create))
        .routes(routes!(payments::get))
        .routes(routes!(holds::list))
        .routes(routes!(follow_ups::release))
        .routes(routes!(follow_ups::refuse))
        .routes(routes!(follow_ups::refund))
        .routes(routes!(accounts::open))
        .routes(routes!(lists::accounts))
        .routes(routes!(lists::ledger))
        .routes(routes!(accounts::get))
        .routes(routes!(accounts::fund))
        .routes(routes!(accounts::freeze))
        .routes(routes!(accounts::unfreeze))
        .routes(routes!(accounts::close))
        .routes(routes!(accounts::limits))
        .routes(routes!(figures::throughput))
        .routes(routes!(figures::totals))
        .routes(routes!(pipeline::get))
        .routes(routes!(pipeline::pause))
        .routes(routes!(pipeline::resume))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::show))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::replay_many))
        .routes(routes!(generator::start))
        .routes(routes!(generator::get))
        .routes(routes!(generator::stop))
        .routes(routes!(events::follow))
}

/// The description of the API as `OpenAPI` 3.1, indented.
pub fn openapi_json() -> String {
    let mut document = documented().to_openapi();
    codes::describe(&mut document);
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// Everything that the gateway serves.
pub(super) fn router(app: Arc<App>) -> Router {
    let description: Arc<str> = openapi_json().into();
    let (routes, _) = documented().split_for_parts();
    routes
        .route("/", get(page::index))
        .route("/docs", get(page::docs))
        .route("/assets/{name}", get(page::asset))
        .route(
            "/openapi.json",
            get(async move || ([(header::CONTENT_TYPE, "application/json")], description.to_string())),
        )
        .route(
            "/schemas/payment.confirmed.json",
            get(async || ([(header::CONTENT_TYPE, "application/schema+json")], CONFIRMED_SCHEMA)),
        )
        .fallback(async || Rejected::from(Problem::route_unknown()))
        .method_not_allowed_fallback(async || Rejected::from(Problem::method_not_allowed()))
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

/// Bounds the time, and counts.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request))
        .await
        .unwrap_or_else(|_| Problem::timed_out().into_response());
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    app.status.metrics.record(&method, route, response.status(), begin.elapsed());
    response
}
