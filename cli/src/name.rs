//! NAME on the command line, and the resource it stands for.

use leasehold::core::Class;
use leasehold::{Error, ResourceName};

/// The class of locks whose NAME says none.
const CLASS: &str = "cli";

/// What NAME locks: `invoice/7` is id 7 of a program's own `mutexes("invoice")`; `demo`, without a slash, is id `demo`
/// of the class `cli`.
pub(crate) fn split(name: &str) -> Result<(Class, &str), Error> {
    let (class, id) = name.split_once('/').unwrap_or((CLASS, name));
    Ok((Class::new(class)?, id))
}

/// The lock's whole name.
pub(crate) fn of_lock(name: &str) -> Result<ResourceName, Error> {
    let (class, id) = split(name)?;
    Ok(class.resource(id)?)
}

/// The whole name of an election.
pub(crate) fn of_election(name: &str) -> Result<ResourceName, Error> {
    Ok(Class::internal("~election").resource(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_names_the_class_of_a_program() {
        for (name, whole) in [
            ("demo", "cli/demo"),
            ("invoice/7", "invoice/7"),
            ("invoice/7/b", "invoice/7/b"),
            ("invoice/{order-7}/1", "invoice/{order-7}/1"),
        ] {
            assert_eq!(of_lock(name).unwrap().as_str(), whole);
        }
        for name in ["", "/7", "invoice/", "~election/janitor", "a\nb"] {
            assert!(of_lock(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_election_is_that_of_a_program() {
        assert_eq!(
            of_election("janitor").unwrap().as_str(),
            "~election/janitor"
        );
    }
}
