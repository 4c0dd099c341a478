//! What is wrong with a specification, and with which of its words.

/// A specification that cannot be meant. Its text says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
#[non_exhaustive]
pub struct SpecError {
    /// The word that is wrong: `schedule`, `misfire`, ...
    pub word: String,
    /// What is wrong with it.
    pub problem: String,
}

impl SpecError {
    pub(crate) fn new(word: &str, problem: impl Into<String>) -> Self {
        let (word, problem) = (word.to_owned(), problem.into());
        Self { word, problem }
    }
}
