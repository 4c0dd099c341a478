//! Request ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One client's life: a process may have several, and a restarted process has a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Uuid);

impl NodeId {
    /// From a uuid.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The uuid.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = ParseRidError;

    fn from_str(text: &str) -> Result<Self, ParseRidError> {
        Uuid::try_parse(text).map(Self).map_err(|_| ParseRidError)
    }
}

/// A request's id: which client, and its how manyeth. A repeated id gets the same answer and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rid {
    /// The client.
    pub node: NodeId,
    /// Counts its requests.
    pub seq: u64,
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.seq)
    }
}

/// The text is not a request or node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a request id of the form <32 hex digits>.<number>")]
pub struct ParseRidError;

impl FromStr for Rid {
    type Err = ParseRidError;

    fn from_str(text: &str) -> Result<Self, ParseRidError> {
        let (node, seq) = text.split_once('.').ok_or(ParseRidError)?;
        Ok(Self {
            node: node.parse()?,
            seq: seq.parse().map_err(|_| ParseRidError)?,
        })
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(NodeId);
as_text!(Rid);
