//! How a store says that it cannot say.

use std::error::Error;
use std::fmt;

/// What kind of failure it is, and so what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// No connection, no answer in time, or an answer cut off: whether the request took effect is *unknown*.
    Unknown,
    /// The store refused: nothing was done, and repeating it unchanged will not help.
    Refused,
    /// The data was written by a newer version of leasehold.
    TooNew,
    /// The address or its options cannot be used.
    Config,
}

/// A store's failure. It never carries a password or a value.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    context: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure of `operation` (as in "acquire"); `context` says where and what to do.
    pub fn new(kind: StoreErrorKind, operation: &'static str, context: impl Into<String>) -> Self {
        Self {
            kind,
            operation,
            context: context.into(),
            source: None,
        }
    }

    /// No answer: whether it took effect is unknown.
    pub fn unknown(operation: &'static str, context: impl Into<String>) -> Self {
        Self::new(StoreErrorKind::Unknown, operation, context)
    }

    /// With the failure that caused it. Its text must not carry secrets.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.context)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|e| &**e as &(dyn Error + 'static))
    }
}

impl From<crate::protocol::TooNew> for StoreError {
    fn from(error: crate::protocol::TooNew) -> Self {
        match &error {
            crate::protocol::TooNew::Version { .. } => Self::new(
                StoreErrorKind::TooNew,
                "read",
                format!("{error}: upgrade leasehold here, or use another namespace"),
            ),
            crate::protocol::TooNew::Damaged(_) => {
                Self::new(StoreErrorKind::Refused, "read", error.to_string())
            }
        }
    }
}
