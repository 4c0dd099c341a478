//! Redis scripts that refuse an old fence.
//!
//! Beside the key that is written stands one with the highest fence that wrote it, in the same hash tag
//! ([`fence_key`]), so that both live on one node of a cluster. The value stays what it is: readers use `GET`.
//!
//! ```no_run
//! use leasehold_core::{Fence, fencing};
//! # fn invoke(_: &str, _: &[&str], _: &[&str]) -> u64 { 7 }
//! # let fence = Fence::new(7);
//! let key = "report:{2026-11}";
//! // Any client: EVAL SCRIPT 2 FENCE_KEY KEY FENCE KEEP_MS VALUE TTL_MS
//! let stored: u64 = invoke(
//!     fencing::redis::SET,
//!     &[&fencing::redis::fence_key(key)?, key],
//!     &[&fence.to_string(), &fencing::redis::KEEP_MS.to_string(), "done", "86400000"],
//! );
//! fencing::check_stored(stored, key, fence)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What a Redis server forgets, it no longer refuses: a restart without persistence, an eviction, or a failover to a
//! replica that had not heard yet may take the fence, with the value or without it.

/// Sets a key, with an expiry, unless a greater fence has set it.
///
/// `KEYS`: the [`fence_key`], the key. `ARGV`: the fence, how long it is remembered after this write (ms; [`KEEP_MS`]),
/// the value, its expiry (ms). The fence is remembered at least as long as the value.
///
/// Answers the highest fence that wrote, this one included, as a decimal string, for
/// [`check_stored`](crate::fencing::check_stored). An error reply that begins with `FENCE` says which argument is wrong.
pub const SET: &str = concat!(include_str!("guard.lua"), include_str!("set.lua"));

/// The guard alone, to be put before a script of your own: what follows it runs only if no greater fence wrote before.
///
/// It uses `KEYS[1]` (the [`fence_key`]) and `ARGV[1]`, `ARGV[2]` (as in [`SET`]), leaves the rest to you, and has a
/// variable `fence_text` that your script returns at its end, as [`SET`] does. A script that fails after the guard has
/// raised the fence nevertheless.
///
/// ```
/// use leasehold_core::fencing::redis::GUARD;
/// let script = format!("{GUARD}\nredis.call('HSET', KEYS[2], ARGV[3], ARGV[4])\nreturn fence_text");
/// # assert!(script.contains("local fence_text"));
/// ```
pub const GUARD: &str = include_str!("guard.lua");

/// How long a fence is remembered after its last write, in ms: 30 days, as in registers. A writer that was stopped for
/// longer is no longer refused.
pub const KEEP_MS: u64 = 30 * 24 * 3600 * 1000;

/// Why a key can have no fence key beside it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key has braces that are no hash tag, so no other key surely shares its slot.
    #[error(
        "the key {key:?} has a brace outside a hash tag: put a tag in front, as in `{{report}}:...`"
    )]
    NoHashTag {
        /// The key.
        key: String,
    },
}

/// The key that keeps the fence of `key`, in the same hash slot.
///
/// ```
/// use leasehold_core::fencing::redis::fence_key;
/// assert_eq!(fence_key("report:7")?, "{report:7}:fence");
/// assert_eq!(fence_key("report:{7}")?, "fence:report:{7}");
/// # Ok::<(), leasehold_core::fencing::redis::KeyError>(())
/// ```
///
/// # Errors
/// [`KeyError`] for a key with a brace, and without a hash tag.
pub fn fence_key(key: &str) -> Result<String, KeyError> {
    // As in the specification of Redis Cluster: the first brace, and the first after it that closes, if not at once.
    // Braces in front or behind: `a` and `{a}` have not one fence.
    let tag = (key.split_once('{')).and_then(|(_, rest)| rest.split_once('}'));
    match tag {
        Some((tag, _)) if !tag.is_empty() => Ok(format!("fence:{key}")),
        None if !key.is_empty() && !key.contains(['{', '}']) => Ok(format!("{{{key}}}:fence")),
        _ => Err(KeyError::NoHashTag { key: key.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_tag_of_its_own_is_refused_if_none_can_be_made() {
        for key in ["a{}b", "a}b", "a{b", "{}", ""] {
            let refused = fence_key(key);
            assert_eq!(refused, Err(KeyError::NoHashTag { key: key.into() }));
        }
    }
}
