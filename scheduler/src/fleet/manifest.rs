//! What a node says of its jobs: in a register named by its content, so that nodes of one build share one, and a heartbeat
//! carries its hash alone.

use std::collections::BTreeMap;

use leasehold_core::name::fnv1a_64;
use leasehold_core::{Class, Coordinator, NameError, RegisterHandle};
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;

/// A node's jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The build's revision, if it was given one by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<u64>,
    /// The kinds of jobs that are defined in the store and that this build can run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) kinds: Vec<String>,
    /// By identity.
    pub(crate) jobs: BTreeMap<String, Listed>,
}

/// A job in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// The hash of the specification that this build has.
    pub(crate) spec: String,
    /// What people call it, if that is not its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// The labels that a node must have to run it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) on: Vec<String>,
}

impl Manifest {
    pub(crate) fn new(revision: Option<u64>, jobs: BTreeMap<String, Listed>) -> Self {
        Self {
            format: FORMAT,
            revision,
            kinds: Vec::new(),
            jobs,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Numbers, strings and maps with text keys: JSON takes all of them.
        serde_json::to_vec(self).expect("a manifest has only encodable fields")
    }

    /// Reads one that some node wrote; why not, if it can't be read.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let damaged = |error: serde_json::Error| error.to_string();
        let Version { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(format!("it has format {format}, newer than {FORMAT}"));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

/// Names a manifest by its content. (Its length beside its hash: by chance alone no two will be the same.)
pub(super) fn hash_of(bytes: &[u8]) -> String {
    format!("{:016x}-{:x}", fnv1a_64(bytes), bytes.len())
}

pub(super) fn register(coord: &Coordinator, hash: &str) -> Result<RegisterHandle, NameError> {
    let name = Class::internal("~manifest").resource(hash)?;
    Ok(coord.register_of(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_a_newer_one_is_refused() {
        let listed = |on: &[&str]| Listed {
            spec: "5eed".into(),
            name: None,
            on: on.iter().map(ToString::to_string).collect(),
        };
        let jobs = [("b", listed(&[])), ("a", listed(&["eu", "gpu"]))];
        let jobs = jobs.map(|(job, listed)| (job.to_owned(), listed));
        let manifest = Manifest::new(Some(3), BTreeMap::from(jobs));
        let bytes = manifest.encode();
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            r#"{"format":1,"revision":3,"jobs":{"a":{"spec":"5eed","on":["eu","gpu"]},"b":{"spec":"5eed"}}}"#
        );
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        let newer = Manifest::decode(br#"{"format":2}"#).unwrap_err();
        assert_eq!(newer, "it has format 2, newer than 1");
        assert_ne!(hash_of(&bytes), hash_of(&bytes[1..]));
    }
}
