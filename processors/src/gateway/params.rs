//! The parameters of a query: each known, given once, and within its bounds. Pure.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::problem::{Failure, Problem, Rejected};
use crate::pod::pages::PAGE_MAX;

/// Without a limit.
const LIMIT_DEFAULT: usize = 100;

/// The parameters as they came.
#[derive(Debug)]
pub(super) struct Params(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejected> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = pairs.map_err(|_| Problem::parameter("query", "cannot be read"))?;
        let count = pairs.len();
        let params: BTreeMap<_, _> = pairs.into_iter().collect();
        if params.len() < count {
            return Err(Problem::parameter("query", "has a parameter twice").into());
        }
        Ok(Self(params))
    }
}

impl Params {
    /// Refuses a parameter that is not `known`: misspelt, it would be left out silently.
    pub(super) fn only(self, known: &[&str]) -> Result<Self, Failure> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(Problem::parameter_unknown(unknown)),
            None => Ok(self),
        }
    }

    /// The text of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number of `1..=max`.
    pub(super) fn count(&self, name: &'static str, default: usize, max: usize) -> Result<usize, Failure> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let count = text.parse().ok().filter(|count| (1..=max).contains(count));
        count.ok_or_else(|| Problem::parameter(name, &format!("is a whole number from 1 to {max}")))
    }

    /// The most that a page of a list may have.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        self.count("limit", LIMIT_DEFAULT, PAGE_MAX)
    }
}
