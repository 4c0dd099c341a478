//! What holds for all expressions.

mod changes;
mod generate;
mod laws;
mod parser;
mod reference;
mod utc;
mod walker;
