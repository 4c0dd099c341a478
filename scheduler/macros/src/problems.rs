//! Errors that are shown together.

use syn::{Error, Result};

#[derive(Debug, Default)]
pub(crate) struct Problems(Option<Error>);

impl Problems {
    pub(crate) fn add(&mut self, place: &impl quote::ToTokens, message: impl std::fmt::Display) {
        self.take(Error::new_spanned(place, message));
    }

    pub(crate) fn take(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// What came out of it, or nothing and one problem more.
    pub(crate) fn settle<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.take(error)).ok()
    }

    pub(crate) fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
