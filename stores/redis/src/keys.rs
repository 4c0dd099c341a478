//! The names of what is stored.
//!
//! | key | what |
//! |---|---|
//! | `{ns#b}:l:<name>` | a lease's record (bucket `b`) |
//! | `{ns#b}:r:<name>` | a register |
//! | `{ns#b}:e:<node>` | a shard channel: pushes for a node's waiters |
//! | `{ns#m}:expiry`, `{ns#m}:nodes` | members: expiries, and what they say of themselves |
//! | `{ns#m}:meta` | the namespace's format and incarnation |
//!
//! What stands in braces is a Redis Cluster hash tag: a bucket lives on one node.

use std::fmt::Write;

use leasehold_core::protocol::NodeId;
use leasehold_core::{Namespace, ResourceName, name::Bucket};

/// A namespace's keys.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    namespace: String,
}

impl Keys {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        let mut encoded = String::new();
        for character in namespace.as_str().chars() {
            match character {
                // They would end the hash tag, or make two namespaces one.
                '{' | '}' | '#' | '%' => {
                    // Writing to a String cannot fail.
                    let _ = write!(encoded, "%{:02X}", u32::from(character));
                }
                _ => encoded.push(character),
            }
        }
        Self { namespace: encoded }
    }

    pub(crate) fn lease(&self, name: &ResourceName) -> String {
        format!("{{{}#{}}}:l:{name}", self.namespace, name.bucket())
    }

    pub(crate) fn register(&self, name: &ResourceName) -> String {
        format!("{{{}#{}}}:r:{name}", self.namespace, name.bucket())
    }

    /// What the channels of a bucket begin with; the node follows.
    pub(crate) fn channels(&self, bucket: Bucket) -> String {
        format!("{{{}#{bucket}}}:e:", self.namespace)
    }

    pub(crate) fn channel(&self, bucket: Bucket, node: NodeId) -> String {
        format!("{}{node}", self.channels(bucket))
    }

    pub(crate) fn expiry(&self) -> String {
        format!("{{{}#m}}:expiry", self.namespace)
    }

    pub(crate) fn nodes(&self) -> String {
        format!("{{{}#m}}:nodes", self.namespace)
    }

    pub(crate) fn meta(&self) -> String {
        format!("{{{}#m}}:meta", self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_cannot_break_out_of_the_hash_tag() {
        let keys = Keys::new(&Namespace::new("a}{#%b/ü").unwrap());
        assert_eq!(keys.meta(), "{a%7D%7B%23%25b/ü#m}:meta");
        let name = ResourceName::from_store("invoice/{7}");
        let bucket = name.bucket();
        assert_eq!(
            keys.lease(&name),
            format!("{{a%7D%7B%23%25b/ü#{bucket}}}:l:invoice/{{7}}")
        );
    }

    #[test]
    fn two_namespaces_never_share_a_key() {
        let keys = |namespace: &str| Keys::new(&Namespace::new(namespace).unwrap()).meta();
        assert_ne!(keys("a{"), keys("a%7B"));
        assert_ne!(keys("a"), keys("a#m"));
    }
}
