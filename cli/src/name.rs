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

/// What NAME is as a semaphore: `db/eu-1` is id `eu-1` of a program's own `semaphores("db", ..)`; `stripe`, without a
/// slash, is its `semaphore("stripe", ..)`.
pub(crate) fn split_semaphore(name: &str) -> Result<(Class, &str), Error> {
    let (class, id) = name.split_once('/').unwrap_or((name, name));
    Ok((Class::new(class)?, id))
}

/// The semaphore's whole name.
pub(crate) fn of_semaphore(name: &str) -> Result<ResourceName, Error> {
    let (class, id) = split_semaphore(name)?;
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
    fn the_semaphore_is_that_of_a_program() {
        for (name, whole) in [("stripe", "stripe/stripe"), ("db/eu-1", "db/eu-1")] {
            assert_eq!(of_semaphore(name).unwrap().as_str(), whole);
        }
        for name in ["", "/7", "db/", "~election/janitor", "a\nb"] {
            assert!(of_semaphore(name).is_err(), "{name:?}");
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
