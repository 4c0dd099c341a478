//! The header fields of HTTP that tell of rate limits: written on the way out, read on the way in. Texts and bytes only, for any
//! web server and client; for `tower` services there are layers, in feature `tower`.
//!
//! - `RateLimit-Policy`: the quotas there are ([`QuotaPolicy`]); `RateLimit`: what is left of them now ([`ServiceLimit`]). They are
//!   lists, so several limits have an item each. As in `draft-ietf-httpapi-ratelimit-headers-11` (May 2026), in the syntax of
//!   RFC 9651; earlier drafts had other fields of the same names, which are refused as malformed.
//! - `Retry-After`: when to come back, after a 429 or a 503 ([`retry_after`]); RFC 9110, section 10.2.3.
//!
//! ```
//! use leasehold_ratelimit::fields::{QuotaPolicy, ServiceLimit};
//! use leasehold_ratelimit::Quota;
//! let policy = QuotaPolicy::of("api", Quota::per_second(100).burst(20));
//! assert_eq!(policy.to_string(), r#""api";q=100;w=1;leasehold-burst=20"#);
//!
//! let heard = ServiceLimit::parse_list(br#""permin";r=48;t=30, "perhr";r=0;t=1800"#)?;
//! assert_eq!((heard[1].name.as_str(), heard[1].remaining, heard[1].window_s), ("perhr", 0, Some(1800)));
//! # Ok::<(), leasehold_ratelimit::fields::FieldError>(())
//! ```

mod base64;
mod date;
mod limit;
mod policy;
mod retry;
mod syntax;

pub use limit::ServiceLimit;
#[cfg(feature = "tower")]
pub(crate) use limit::whole_seconds;
pub use policy::{QuotaPolicy, QuotaUnit};
pub use retry::retry_after;
pub use syntax::FieldError;

/// The field with what is left, as it is sent; names of fields are the same in upper and lower case.
pub const RATE_LIMIT: &str = "ratelimit";
/// The field with the quotas.
pub const RATE_LIMIT_POLICY: &str = "ratelimit-policy";
/// The field that says when to come back.
pub const RETRY_AFTER: &str = "retry-after";

/// Items of a list: several limits in one field.
///
/// ```
/// use leasehold_ratelimit::fields::{ServiceLimit, list};
/// let limits = [ServiceLimit::new("user", 3, Some(1)), ServiceLimit::new("all", 970, Some(60))];
/// assert_eq!(list(&limits), r#""user";r=3;t=1, "all";r=970;t=60"#);
/// ```
pub fn list<T: std::fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    items.join(", ")
}
