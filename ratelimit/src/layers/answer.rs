//! What a server answers instead of the service.

use ::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use ::http::{Response, StatusCode};
use serde_json::json;

use crate::fields::{QuotaPolicy, RATE_LIMIT, RATE_LIMIT_POLICY, ServiceLimit};

/// Too Many Requests: comes back in so many seconds. The problem type is that of section 5.1 of the draft.
pub(super) fn limited<B: From<String>>(class: &str, retry_s: u64) -> Response<B> {
    let problem = json!({
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": [class],
    });
    let mut response = problem_of(StatusCode::TOO_MANY_REQUESTS, &problem);
    response.headers_mut().insert(RETRY_AFTER, retry_s.into());
    response
}

/// Service Unavailable: whether it may be served cannot be said. Not what is wrong with the store: that is for logs.
pub(super) fn unavailable<B: From<String>>() -> Response<B> {
    let problem = json!({
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "Whether the request may be served cannot be decided at present",
    });
    let mut response = problem_of(StatusCode::SERVICE_UNAVAILABLE, &problem);
    response.headers_mut().insert(RETRY_AFTER, 1.into());
    response
}

/// Bad Request: it never passes.
pub(super) fn too_costly<B: From<String>>(cost: u64, burst: u64) -> Response<B> {
    let problem = json!({
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": format!("The request costs {cost} units, of which at most {burst} pass at once: ask for less at a time"),
    });
    problem_of(StatusCode::BAD_REQUEST, &problem)
}

fn problem_of<B: From<String>>(status: StatusCode, problem: &serde_json::Value) -> Response<B> {
    let mut response = Response::new(B::from(problem.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Adds to what an inner layer said of its limits: both fields are lists.
pub(super) fn tell(headers: &mut HeaderMap, policy: &QuotaPolicy, limit: Option<&ServiceLimit>) {
    let mut add = |name: &'static str, value: String| {
        // Visible ASCII, as structured fields are.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    add(RATE_LIMIT_POLICY, policy.to_string());
    if let Some(limit) = limit {
        add(RATE_LIMIT, limit.to_string());
    }
}
