//! Fences over HTTP: a header the client sends with each write, and a gate on the serving side.
//!
//! The field has no registered header; "fencing token" is the common name of the thing. Its value is a structured field
//! (RFC 9651), so that any language can read it: `"1795425306933629";resource="invoice/42"`. The number is a string
//! there, since integers of structured fields end at 15 digits.
//!
//! | answer | when |
//! |---|---|
//! | 412 Precondition Failed | a greater fence was served: the header names it |
//! | 428 Precondition Required | the header is missing |
//! | 400 Bad Request | the header cannot be read, or is of another resource |
//!
//! 412 and not 409: the fence is a condition that the client put into a header of its request, and it failed before
//! anything was done (RFC 9110, section 15.5.13). A 409 invites to resolve the conflict and send the request again, which
//! is what a writer whose lease has passed on must not do.

mod field;
mod gate;
mod token;

pub use gate::{FenceGate, Refusal};
pub use token::{FencingToken, HeaderError};

/// The name of the header, in lower case as `HeaderName::from_static` wants it. Names of headers have no case.
pub const HEADER: &str = "fencing-token";
