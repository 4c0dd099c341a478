//! What goes to standard output: data alone.

use std::fmt::Display;
use std::io::{self, Write as _};

use crate::exit::Failure;

/// Prints text as it is, at once. That whoever reads it has seen enough (`| head`) is no failure.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io("cannot write", error))
        }
        _ => Ok(()),
    }
}

/// Prints a line.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    print(format_args!("{text}\n"))
}
