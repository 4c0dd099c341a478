//! What Cargo knows about the workspace's packages and their dependencies.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::run::{capture, cargo};

/// Name and version, as `cargo tree` prints them: `serde`, `1.0.229`.
pub(crate) type Id = (String, String);

/// A package of the lock file.
pub(crate) struct Package {
    pub(crate) is_member: bool,
    pub(crate) is_published: bool,
    pub(crate) rust_version: Option<String>,
    /// What each feature turns on, in Cargo's notation: `dep:name`, `name/feature`, `feature`.
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// All packages, those of the workspace and those it depends on.
pub(crate) fn packages() -> Result<BTreeMap<Id, Package>> {
    let json = capture(cargo().args(["metadata", "--format-version", "1", "--all-features"]))?;
    let metadata: Value = serde_json::from_str(&json)?;
    parse(&metadata).context("`cargo metadata` has another shape than this expects")
}

fn parse(metadata: &Value) -> Option<BTreeMap<Id, Package>> {
    let members: BTreeSet<&str> = strings(&metadata["workspace_members"])?
        .into_iter()
        .collect();
    let packages = metadata["packages"].as_array()?.iter().map(|package| {
        let text = |key: &str| package[key].as_str();
        let id = (text("name")?.to_owned(), text("version")?.to_owned());
        let features = package["features"]
            .as_object()?
            .iter()
            .map(|(name, parts)| {
                Some((
                    name.clone(),
                    strings(parts)?.into_iter().map(str::to_owned).collect(),
                ))
            });
        let package = Package {
            is_member: members.contains(text("id")?),
            // `publish = false` comes as an empty list of registries, the default as null.
            is_published: package["publish"].is_null(),
            rust_version: text("rust_version").map(str::to_owned),
            features: features.collect::<Option<_>>()?,
        };
        Some((id, package))
    });
    packages.collect()
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

/// What a user of `package` with these features builds: its normal and build dependencies, itself included.
/// `target` is a triple, or `all`; without one it is this machine.
pub(crate) fn tree(package: &str, features: &[&str], target: Option<&str>) -> Result<BTreeSet<Id>> {
    let mut command = cargo();
    command.args([
        "tree",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        package,
    ]);
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    command.args(target.iter().flat_map(|target| ["--target", target]));
    capture(&mut command)?
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            id(line)
                .with_context(|| format!("`cargo tree` printed {line:?}, which names no package"))
        })
        .collect()
}

/// From `name v1.2.3`, whatever follows: a path, `(proc-macro)`, `(*)`.
fn id(line: &str) -> Option<Id> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    Some((name.to_owned(), version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_names_a_package() {
        for line in [
            "serde v1.0.0",
            "serde v1.0.0 (proc-macro)",
            "serde v1.0.0 (/src/serde) (*)",
        ] {
            assert_eq!(id(line), Some(("serde".into(), "1.0.0".into())), "{line}");
        }
        assert_eq!(id("[build-dependencies]"), None);
    }

    #[test]
    fn metadata_tells_members_and_published_packages() {
        let metadata = serde_json::json!({
            "workspace_members": ["ours", "tool"],
            "packages": [
                { "id": "ours", "name": "ours", "version": "0.1.0", "publish": null, "rust_version": "1.89", "features": { "a": ["dep:b"] } },
                { "id": "tool", "name": "tool", "version": "0.1.0", "publish": [], "rust_version": null, "features": {} },
                { "id": "dep", "name": "dep", "version": "1.0.0", "publish": null, "rust_version": null, "features": {} },
            ],
        });
        let packages = parse(&metadata).expect("it has the expected shape");
        let kinds: Vec<_> = packages
            .iter()
            .map(|((name, _), package)| (name.as_str(), package.is_member, package.is_published))
            .collect();
        assert_eq!(
            kinds,
            [
                ("dep", false, true),
                ("ours", true, true),
                ("tool", true, false)
            ]
        );
        assert_eq!(
            packages[&("ours".into(), "0.1.0".into())].features["a"],
            ["dep:b"]
        );
    }
}
