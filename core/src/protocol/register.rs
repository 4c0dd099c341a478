//! Registers: a small value with a version, compared and set, optionally guarded by a fence.

use serde::{Deserialize, Serialize};

use super::Now;
use crate::Fence;
use crate::planted::{Bug, planted};

/// The first byte of a stored register: the version of its layout.
pub const REGISTER_FORMAT: u8 = b'1';

/// A register's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Rises with every write, and never repeats: at least the store's wall clock in µs.
    pub version: u64,
    /// The highest fence that wrote it; 0 if none did.
    pub fence: u64,
    /// When it expires (wall time, µs).
    pub expires_us: u64,
    /// The value.
    #[serde(with = "bytes")]
    pub value: Vec<u8>,
}

// MessagePack's byte string; Lua strings come as its text string. Both are read.
mod bytes {
    use serde::{Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Vec<u8>, E> {
                Ok(v.to_vec())
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Vec<u8>, E> {
                Ok(v.as_bytes().to_vec())
            }
        }
        d.deserialize_bytes(Bytes)
    }
}

/// What a write demands of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Any,
    /// That nothing is there.
    Absent,
    /// Exactly this version.
    Version(u64),
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterWrite {
    /// What it demands.
    pub expect: Expect,
    /// If given: refuse unless it is at least the highest fence that wrote before.
    pub fence: Option<Fence>,
    /// How long the value is kept, in µs; every register expires.
    pub ttl_us: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// A write's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterReply {
    /// Written.
    Written {
        /// The new version.
        version: u64,
    },
    /// What is there is not what was expected.
    Conflict(Option<Register>),
    /// A newer lease has written: this writer's time is over.
    Fenced {
        /// The fence that wrote.
        stored: Fence,
    },
}

/// Applies a write to what is stored (expired or not). On [`RegisterReply::Written`] the second value is to be stored.
pub fn write(
    stored: Option<Register>,
    write: &RegisterWrite,
    now: Now,
) -> (RegisterReply, Option<Register>) {
    // Also above that of an expired one: the clock may have stepped back.
    let last = stored.as_ref().map_or(0, |register| register.version);
    let live = stored.filter(|register| register.expires_us > now.wall_us);
    let expected = match (write.expect, &live) {
        (Expect::Any, _) | (Expect::Absent, None) => true,
        (Expect::Version(version), Some(register)) => register.version == version,
        _ => false,
    };
    let highest = live.as_ref().map_or(0, |register| register.fence);
    let is_late = write.fence.is_some_and(|fence| fence.get() < highest);
    if is_late && !planted(Bug::AnyFenceWrites) {
        let stored = Fence::new(highest);
        return (RegisterReply::Fenced { stored }, None);
    }
    if !expected {
        return (RegisterReply::Conflict(live), None);
    }
    let version = now.wall_us.max(last.saturating_add(1));
    let register = Register {
        version,
        fence: write.fence.map_or(highest, Fence::get),
        expires_us: now.wall_us.saturating_add(write.ttl_us),
        value: write.value.clone(),
    };
    (RegisterReply::Written { version }, Some(register))
}
