//! `cargo xtask dependencies`: what users download stays small.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::{Id, packages, tree};

const FACE: &str = "leasehold";

/// The features of a typical service, and how many third-party crates they may cost.
const TYPICAL_FEATURES: [&str; 2] = ["redis", "scheduler"];
const BUDGET: usize = 110;

/// TLS, SQL and web servers: none of these features has a use for them. Their own parts (`hyper-util`) count too.
const NOT_IN_BASE: [&str; 7] = [
    "rustls",
    "native-tls",
    "openssl",
    "sqlx",
    "libsqlite3-sys",
    "hyper",
    "axum",
];

pub(crate) fn run() -> Result<ExitCode> {
    let base = third_party(&[])?;
    let typical = third_party(&TYPICAL_FEATURES)?;
    println!("{} third-party crates with no features", base.len());
    println!(
        "{} third-party crates with {} (budget: {BUDGET})",
        typical.len(),
        TYPICAL_FEATURES.join(" and ")
    );

    let mut code = ExitCode::SUCCESS;
    if typical.len() > BUDGET {
        println!("error: over the budget; they are:");
        for (name, version) in &typical {
            println!("    {name} {version}");
        }
        code = ExitCode::FAILURE;
    }
    // The typical ones include what there is with none.
    for (name, version) in typical.iter().filter(|(name, _)| is_unwelcome(name)) {
        let features = TYPICAL_FEATURES.join(",");
        println!(
            "error: {FACE} with {features} pulls in {name} {version}: \
             see `cargo tree -p {FACE} -F {features} -e normal,build -i {name}`"
        );
        code = ExitCode::FAILURE;
    }
    Ok(code)
}

fn third_party(features: &[&str]) -> Result<BTreeSet<Id>> {
    let packages = packages()?;
    let mut tree = tree(FACE, features, None)?;
    tree.retain(|id| packages.get(id).is_none_or(|package| !package.is_member));
    Ok(tree)
}

fn is_unwelcome(name: &str) -> bool {
    NOT_IN_BASE.iter().any(|family| {
        name.strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_of_crates_is_known_by_its_first_name() {
        for name in [
            "rustls",
            "rustls-webpki",
            "openssl-sys",
            "sqlx-core",
            "hyper-util",
            "libsqlite3-sys",
        ] {
            assert!(is_unwelcome(name), "{name}");
        }
        for name in ["hyperloglog", "openssl2", "tokio-rustls", "redis"] {
            assert!(!is_unwelcome(name), "{name}");
        }
    }
}
