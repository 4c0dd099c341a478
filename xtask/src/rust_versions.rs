//! `cargo xtask rust-versions`: the `rust-version` of each published crate is true.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::workspace::{Id, Package, packages, tree};

/// Optional parts with a `rust-version` of their own, higher maybe than that of the crate that offers them:
/// only users who turn them on need it.
const OPTIONAL_STORES: [&str; 2] = ["leasehold-redis", "leasehold-sqlite"];

/// The first Rust that compiles our edition, 2024.
const EDITION_MINIMUM: RustVersion = RustVersion([1, 85, 0]);

pub(crate) fn run() -> Result<ExitCode> {
    let packages = packages()?;
    let mut code = ExitCode::SUCCESS;
    for (id, package) in packages
        .iter()
        .filter(|(_, package)| package.is_member && package.is_published)
    {
        let name = &id.0;
        let Some(declared) = &package.rust_version else {
            println!("error: {name} declares no rust-version");
            code = ExitCode::FAILURE;
            continue;
        };
        let declared: RustVersion = declared
            .parse()
            .with_context(|| format!("the rust-version of {name}"))?;
        let needed = needed(id, package, &packages)?;
        match declared.cmp(&needed.version) {
            Ordering::Less => {
                println!(
                    "error: {name} declares {declared}, but {} needs {}",
                    needed.because, needed.version
                );
                code = ExitCode::FAILURE;
            }
            Ordering::Equal => {
                println!("{name} declares {declared}, which {} needs", needed.because);
            }
            // Its own code may use what a later Rust brought: only building with it could tell.
            Ordering::Greater => {
                println!(
                    "{name} declares {declared}; note: its dependencies only need {}, because of {}",
                    needed.version, needed.because
                );
            }
        }
    }
    Ok(code)
}

struct Needed {
    version: RustVersion,
    because: String,
}

/// The highest `rust-version` among the dependencies, on whatever target.
fn needed(own: &Id, package: &Package, packages: &BTreeMap<Id, Package>) -> Result<Needed> {
    let features: Vec<&str> = package
        .features
        .keys()
        .map(String::as_str)
        .filter(|feature| !brings_store(feature, &package.features))
        .collect();
    let mut needed = Needed {
        version: EDITION_MINIMUM,
        because: "edition 2024".into(),
    };
    let mut is_ours = false;
    for id in tree(&own.0, &features, Some("all"))? {
        let found = packages
            .get(&id)
            .with_context(|| format!("`cargo metadata` does not know {} {}", id.0, id.1))?;
        let Some(version) = found.rust_version.as_deref().filter(|_| id != *own) else {
            continue;
        };
        let version: RustVersion = version
            .parse()
            .with_context(|| format!("the rust-version of {}", id.0))?;
        // Of two with the same need, a third party's is the cause and our own crate's the consequence.
        if version > needed.version || (version == needed.version && is_ours && !found.is_member) {
            needed = Needed {
                version,
                because: format!("{} {}", id.0, id.1),
            };
            is_ours = found.is_member;
        }
    }
    Ok(needed)
}

/// Whether a feature turns on an optional store, itself or through other features.
fn brings_store(feature: &str, features: &BTreeMap<String, Vec<String>>) -> bool {
    let parts = features.get(feature).into_iter().flatten();
    parts.into_iter().any(|part| {
        let dependency = part
            .trim_start_matches("dep:")
            .split(['/', '?'])
            .next()
            .unwrap_or_default();
        OPTIONAL_STORES.contains(&dependency) || brings_store(part, features)
    })
}

/// A version as `rust-version` writes it: `1.89` or `1.89.0`, which are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RustVersion([u32; 3]);

impl FromStr for RustVersion {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut version = [0; 3];
        let numbers: Vec<&str> = text.split('.').collect();
        if numbers.len() > version.len() {
            bail!("{text:?} is no Rust version");
        }
        for (place, number) in version.iter_mut().zip(numbers) {
            *place = number
                .parse()
                .with_context(|| format!("{text:?} is no Rust version"))?;
        }
        Ok(Self(version))
    }
}

impl fmt::Display for RustVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}")?;
        if patch == 0 {
            Ok(())
        } else {
            write!(f, ".{patch}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> RustVersion {
        text.parse().expect("a Rust version")
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("1.9") < version("1.89"));
        assert!(version("1.89") < version("1.100"));
        assert!(version("1.89.1") > version("1.89"));
        assert!(version("2") > version("1.99.9"));
        assert_eq!(version("1.89"), version("1.89.0"));
    }

    #[test]
    fn versions_print_as_they_are_declared() {
        assert_eq!(version("1.89.0").to_string(), "1.89");
        assert_eq!(version("1.89.2").to_string(), "1.89.2");
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "1.", "stable", "1.89.0.1", "1.89-beta"] {
            assert!(text.parse::<RustVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_feature_brings_a_store_also_through_another_feature() {
        let features = [
            ("redis", "dep:leasehold-redis"),
            ("tls", "leasehold-redis?/tls"),
            ("full", "redis"),
            ("scheduler", "dep:leasehold-scheduler"),
        ];
        let features = features
            .into_iter()
            .map(|(name, part)| (name.to_owned(), vec![part.to_owned()]))
            .collect();
        let with: Vec<_> = ["redis", "tls", "full", "scheduler"]
            .map(|name| brings_store(name, &features))
            .into();
        assert_eq!(with, [true, true, true, false]);
    }
}
