//! The names of what is stored.
//!
//! | key | what |
//! |---|---|
//! | `{ns#b}:l:<name>` | a lease's record (bucket `b`) |
//! | `{ns#b}:ce:<name>`, .. `{ns#b}:cs:<name>` | the parts of a record with many entries (`lua/crowd.lua` says which) |
//! | `{ns#b}:f` | the bucket's floor: no fence is given out below it |
//! | `{ns#b}:r:<name>` | a register |
//! | `{ns#b}:q:<name>` | a quota's usage (`lua/quota.lua` has its layout) |
//! | `{ns#b}:s:<rid>` | what became of a settlement |
//! | `{ns#b}:e:<node>` | a shard channel: pushes for a node's waiters |
//! | `{ns#m}:expiry`, `{ns#m}:nodes` | members: expiries, and what they say of themselves |
//! | `{ns#m}:meta` | the namespace's format and incarnation |
//!
//! What stands in braces is a Redis Cluster hash tag: a bucket lives on one node.

use std::fmt::Write;

use leasehold_core::protocol::{NodeId, Rid};
use leasehold_core::{Namespace, ResourceName, name::Bucket};

use crate::script::put_digits;

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

    /// [`lease`](Self::lease), behind what is in `text`.
    pub(crate) fn put_lease(&self, text: &mut Vec<u8>, name: &ResourceName) {
        self.put_bucket(text, name.bucket());
        text.extend(b":l:");
        text.extend(name.as_str().as_bytes());
    }

    /// [`floor`](Self::floor), behind what is in `text`.
    pub(crate) fn put_floor(&self, text: &mut Vec<u8>, bucket: Bucket) {
        self.put_bucket(text, bucket);
        text.extend(b":f");
    }

    fn put_bucket(&self, text: &mut Vec<u8>, bucket: Bucket) {
        text.push(b'{');
        text.extend(self.namespace.as_bytes());
        text.push(b'#');
        put_digits(text, bucket.0.into());
        text.push(b'}');
    }

    pub(crate) fn floor(&self, bucket: Bucket) -> String {
        format!("{{{}#{bucket}}}:f", self.namespace)
    }

    /// A pattern of all leases whose names begin with `prefix`, of all buckets.
    pub(crate) fn leases_matching(&self, prefix: &str) -> String {
        let (namespace, prefix) = (glob_escaped(&self.namespace), glob_escaped(prefix));
        format!("{{{namespace}#*}}:l:{prefix}*")
    }

    /// The resource whose lease a key is.
    pub(crate) fn name_of_lease(&self, key: &str) -> Option<ResourceName> {
        let rest = key
            .strip_prefix('{')?
            .strip_prefix(&self.namespace)?
            .strip_prefix('#')?;
        let (bucket, name) = rest.split_once("}:l:")?;
        let name = ResourceName::from_store(name);
        (name.bucket().to_string() == bucket).then_some(name)
    }

    pub(crate) fn register(&self, name: &ResourceName) -> String {
        format!("{{{}#{}}}:r:{name}", self.namespace, name.bucket())
    }

    pub(crate) fn quota(&self, name: &ResourceName) -> String {
        format!("{{{}#{}}}:q:{name}", self.namespace, name.bucket())
    }

    pub(crate) fn settlement(&self, bucket: Bucket, rid: Rid) -> String {
        format!("{{{}#{bucket}}}:s:{rid}", self.namespace)
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

    /// A key of some bucket.
    pub(crate) fn sample(&self, rest: &str) -> String {
        format!("{{{}#0}}:{rest}", self.namespace)
    }

    /// All keys, as access control lists and SCAN have it.
    pub(crate) fn pattern(&self) -> String {
        format!("{{{}#*}}:*", glob_escaped(&self.namespace))
    }

    /// All channels.
    pub(crate) fn channel_pattern(&self) -> String {
        let mut pattern = self.pattern();
        pattern.truncate(pattern.len() - 1);
        pattern + "e:*"
    }
}

/// As a part of a glob pattern that stands for itself.
fn glob_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
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
        let (mut lease, mut floor) = (Vec::new(), Vec::new());
        keys.put_lease(&mut lease, &name);
        keys.put_floor(&mut floor, bucket);
        assert_eq!(lease, keys.lease(&name).as_bytes());
        assert_eq!(floor, keys.floor(bucket).as_bytes());
    }

    #[test]
    fn names_come_back_from_their_keys() {
        let keys = Keys::new(&Namespace::new("a*#").unwrap());
        let name = ResourceName::from_store("invoice/}:l:7");
        assert_eq!(keys.name_of_lease(&keys.lease(&name)), Some(name));
        assert_eq!(keys.name_of_lease("{a*#7}:l:invoice/7"), None);
        assert_eq!(keys.leases_matching("in[v"), r"{a\*%23#*}:l:in\[v*");
    }

    #[test]
    fn a_pattern_takes_a_namespace_literally() {
        let keys = Keys::new(&Namespace::new("a*[b]?\\").unwrap());
        assert_eq!(keys.pattern(), r"{a\*\[b\]\?\\#*}:*");
        assert_eq!(keys.channel_pattern(), r"{a\*\[b\]\?\\#*}:e:*");
    }

    #[test]
    fn two_namespaces_never_share_a_key() {
        let keys = |namespace: &str| Keys::new(&Namespace::new(namespace).unwrap()).meta();
        assert_ne!(keys("a{"), keys("a%7B"));
        assert_ne!(keys("a"), keys("a#m"));
    }
}
