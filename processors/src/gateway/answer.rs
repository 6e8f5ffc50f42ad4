//! JSON answers. Each ends with a newline, so that a shell's prompt comes on a line of its own. Pure.

use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;

/// A value as JSON.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => json(&bytes),
            Err(_) => Problem::internal().into_response(),
        }
    }
}

/// JSON that is passed on as it came.
pub(super) fn json(bytes: &[u8]) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], line(bytes)).into_response()
}

/// JSON as one line.
pub(super) fn line(bytes: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(bytes.len() + 1);
    line.extend_from_slice(bytes);
    line.push(b'\n');
    line.into()
}
