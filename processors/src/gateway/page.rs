//! The page for people: files that were put into the program when it was built (`build.rs`). No I/O.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::problem::{Problem, Rejected};

/// A file of the built page.
struct Asset {
    /// Below the page's root, as `assets/index-1a2b3c.js`.
    path: &'static str,
    bytes: &'static [u8],
    /// The same, compressed.
    gzip: Option<&'static [u8]>,
}

/// Empty when this program was built without the page.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// For clients that do not ask for HTML.
const INDEX: &str = "kpay
    POST /v1/payments, GET /v1/payments/{id}, POST /v1/payments/{id}/release|refuse|refund, GET /v1/holds
    POST /v1/accounts, GET /v1/accounts, GET /v1/accounts/{id}[/ledger]
    POST /v1/accounts/{id}/fund|freeze|unfreeze|close|limits
    GET /v1/dead-letters[/{id}], POST /v1/dead-letters[/{id}]/replay
    GET /v1/pipeline, POST /v1/pipeline/pause|resume, GET /v1/events, GET /v1/metrics/throughput|totals
    POST /v1/generator, GET /v1/generator, DELETE /v1/generator
described by /openapi.json and, for browsers, at /docs; a page for browsers at /
";
/// For browsers, instead of the page.
const NOT_BUILT: &[u8] = b"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>kpay</title></head>\
    <body><main><h1>kpay</h1><p>This program was built without the page. Install Node 20.19 or newer and build it again: \
    <code>cargo xtask local</code>, or <code>npm ci &amp;&amp; npm run build</code> in <code>processors/page</code> \
    and then <code>cargo build -p kpay</code>.</p>\
    <p>The REST API is there: <a href=\"/openapi.json\">/openapi.json</a>.</p></main></body></html>\n";
/// Everything from this origin, nothing in line, in nobody's frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// The page for browsers, a line of text for others.
pub(super) async fn index(headers: HeaderMap) -> Response {
    if names(&headers, header::ACCEPT.as_str(), "text/html") {
        page("index.html", &headers)
    } else {
        fresh(INDEX.into_response())
    }
}

/// The API in Swagger UI.
pub(super) async fn docs(headers: HeaderMap) -> Response {
    page("docs.html", &headers)
}

fn page(path: &str, headers: &HeaderMap) -> Response {
    fresh(match find(path) {
        Some(asset) => asset.answer(headers),
        None => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response(),
    })
}

/// Asked for again each time, since its name stays the same.
fn fresh(mut response: Response) -> Response {
    let own = response.headers_mut();
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    own.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    guard(own);
    response
}

/// A file whose name changes with its content.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Rejected> {
    let asset = find(&format!("assets/{name}")).ok_or_else(Problem::route_unknown)?;
    let mut response = asset.answer(&headers);
    let own = response.headers_mut();
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    own.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    guard(own);
    Ok(response)
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

impl Asset {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let kind = [(header::CONTENT_TYPE, content_type(self.path))];
        let accepted = names(headers, header::ACCEPT_ENCODING.as_str(), "gzip");
        match self.gzip.filter(|_| accepted) {
            Some(gzip) => (kind, [(header::CONTENT_ENCODING, "gzip")], gzip).into_response(),
            None => (kind, self.bytes).into_response(),
        }
    }
}

fn guard(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Whether a list such as `text/html, */*;q=0.8` has this item, and not with the weight 0.
fn names(headers: &HeaderMap, header: &str, wanted: &str) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        let refused = |part: &str| {
            let weight = part.strip_prefix("q=").map(str::parse::<f32>);
            weight.is_some_and(|weight| weight.is_ok_and(|weight| weight <= 0.0))
        };
        named && !parts.any(refused)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg") => "image/jpeg",
        Some("md") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn a_browser_gets_html_and_any_other_client_the_line() {
        let browser = headers("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        for (headers, kind) in [
            (browser, "text/html; charset=utf-8"),
            (headers("accept", "*/*"), "text/plain; charset=utf-8"),
            (headers("accept", "text/html;q=0, text/plain"), "text/plain; charset=utf-8"),
            (HeaderMap::new(), "text/plain; charset=utf-8"),
        ] {
            let response = index(headers.clone()).await;
            let said = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(said("content-type"), Some(kind), "{headers:?}");
            assert_eq!(said("cache-control"), Some("no-cache"));
            assert_eq!(said("x-content-type-options"), Some("nosniff"));
            assert!(said("content-security-policy").unwrap().starts_with("default-src 'self';"));
        }
    }

    #[tokio::test]
    async fn the_api_is_shown_under_the_same_policy_to_whoever_asks() {
        for headers in [HeaderMap::new(), headers("accept", "text/html")] {
            let response = docs(headers).await;
            let said = |name| response.headers()[name].to_str().unwrap();
            assert_eq!(said("content-type"), "text/html; charset=utf-8");
            assert_eq!((said("content-security-policy"), said("cache-control")), (POLICY, "no-cache"));
        }
        assert!(!POLICY.contains("unsafe") && !POLICY.contains("data:"));
    }

    #[tokio::test]
    async fn only_what_was_built_is_an_asset() {
        for name in ["nothing.js", "../index.html", ""] {
            assert!(asset(Path(name.to_owned()), HeaderMap::new()).await.is_err(), "{name}");
        }
        for built in ASSETS.iter().filter_map(|asset| asset.path.strip_prefix("assets/")) {
            let response = asset(Path(built.to_owned()), HeaderMap::new()).await.unwrap();
            let kept = response.headers()[header::CACHE_CONTROL].to_str().unwrap();
            assert!(kept.contains("immutable"), "{built}: {kept}");
            assert_ne!(response.headers()[header::CONTENT_TYPE], "application/octet-stream", "{built}");
        }
    }

    #[test]
    fn compressed_only_for_who_takes_it() {
        let asset = Asset { path: "assets/a.js", bytes: b"plain", gzip: Some(b"packed") };
        let coding = |value: &str| {
            let response = asset.answer(&headers("accept-encoding", value));
            response.headers().get(header::CONTENT_ENCODING).cloned()
        };
        assert_eq!(coding("br, gzip;q=0.5").unwrap(), "gzip");
        assert_eq!(coding("br"), None);
        assert_eq!(coding("gzip;q=0"), None);
    }
}
