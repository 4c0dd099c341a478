//! The serving side: what was served last decides what is served now.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::token::{FencingToken, HeaderError};
use crate::fence::Fence;
use crate::fencing::Fenced;

const RESOURCES: usize = 65_536;

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A greater fence was served.
    #[error(transparent)]
    Fenced(#[from] Fenced),
    /// The request carries no fence.
    #[error(
        "writes to `{resource}` need the header fencing-token: take its lease, and send its fence along"
    )]
    Missing {
        /// What was to be written.
        resource: String,
    },
    /// The header cannot be read.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The fence is of another resource: the two cannot be compared.
    #[error(
        "the header fencing-token is of `{named}`, but this request writes `{resource}`: send that one's fence"
    )]
    OtherResource {
        /// What was to be written.
        resource: String,
        /// What the header named.
        named: String,
    },
}

impl Refusal {
    /// The status to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Fenced(_) => 412,
            Refusal::Missing { .. } => 428,
            Refusal::Header(_) | Refusal::OtherResource { .. } => 400,
        }
    }

    /// The value of the answer's [`HEADER`](super::HEADER): the fence that was served, if that is why.
    pub fn header(&self) -> Option<String> {
        let Refusal::Fenced(fenced) = self else {
            return None;
        };
        let token = FencingToken::new(&fenced.resource, fenced.stored?);
        token.ok().map(|token| token.to_string())
    }
}

/// Remembers the highest fence served of each resource, and refuses smaller ones. Share it by reference or `Arc`.
///
/// **What it remembers**: the 65,536 resources ([`with_capacity`](Self::with_capacity) for another number) that were
/// asked for last, about 1.5 kB each at most and some 200 bytes at usual names. Beyond that it forgets the one that was
/// asked for longest ago, and takes any fence for that again: whoever may write to names of its own choice can make it
/// forget, so ask it after your authorization. It forgets all when the process ends, and a late request may reach another
/// replica, whose gate has not heard. Where that matters, use the register as the gate instead:
/// [`Put::fenced`](crate::Put::fenced) on one register a resource, before or with the write.
///
/// **What it guards**: [`write`](Self::write) checks and writes in one step. After [`admit`](Self::admit) a newer holder's
/// request may be served before this one's write is done: then the place written to has to compare as well, as a
/// [fence column](crate::fencing::sql) does.
///
/// ```
/// use leasehold_core::Fence;
/// use leasehold_core::fencing::http::{FenceGate, FencingToken};
/// let gate = FenceGate::new();
/// let header = |fence| FencingToken::new("invoice/42", Fence::new(fence)).unwrap().to_string();
///
/// assert!(gate.admit("invoice/42", Some(header(8).as_bytes())).is_ok());
/// let refusal = gate.admit("invoice/42", Some(header(7).as_bytes())).unwrap_err();
/// assert_eq!(refusal.status(), 412);
/// assert_eq!(refusal.header(), Some(header(8)));
/// assert_eq!(gate.admit("invoice/42", None).unwrap_err().status(), 428);
/// ```
#[derive(Debug)]
pub struct FenceGate {
    capacity: usize,
    served: Mutex<Served>,
}

#[derive(Debug, Default)]
struct Served {
    asked: u64,
    highest: HashMap<Arc<str>, Entry>,
    /// By when it was asked for last.
    order: BTreeMap<u64, Arc<str>>,
}

#[derive(Debug)]
struct Entry {
    fence: Fence,
    asked: u64,
}

impl Default for FenceGate {
    fn default() -> Self {
        Self::new()
    }
}

impl FenceGate {
    /// A gate that remembers 65,536 resources.
    pub fn new() -> Self {
        Self::of(RESOURCES)
    }

    /// A gate that remembers this many resources.
    pub fn with_capacity(resources: NonZeroUsize) -> Self {
        Self::of(resources.get())
    }

    fn of(capacity: usize) -> Self {
        let served = Mutex::default();
        Self { capacity, served }
    }

    /// Whether a request that writes `resource` may be served; `header` is the request's value of
    /// [`HEADER`](super::HEADER). The resource is the server's word, from the path: a client could name another one.
    ///
    /// # Errors
    /// [`Refusal`], with the status to answer.
    pub fn admit(&self, resource: &str, header: Option<&[u8]>) -> Result<Fence, Refusal> {
        self.write(resource, header, |fence| fence)
    }

    /// Runs `write` if the request may be served, and lets no other request through meanwhile: make it short.
    ///
    /// ```
    /// # use leasehold_core::fencing::http::FenceGate;
    /// # use std::sync::Mutex;
    /// # let (gate, balances) = (FenceGate::new(), Mutex::new(std::collections::BTreeMap::new()));
    /// # let header = Some(&br#""8";resource="balance/42""#[..]);
    /// gate.write("balance/42", header, |_fence| {
    ///     balances.lock().unwrap().insert(42, "100 EUR");
    /// })?;
    /// # Ok::<(), leasehold_core::fencing::http::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// [`Refusal`], with the status to answer; then `write` was not run.
    ///
    /// # Panics
    /// If `write` does; the gate stays usable. `write` must not use this gate: it would wait for itself.
    pub fn write<T>(
        &self,
        resource: &str,
        header: Option<&[u8]>,
        write: impl FnOnce(Fence) -> T,
    ) -> Result<T, Refusal> {
        let Some(header) = header else {
            let resource = resource.to_owned();
            return Err(Refusal::Missing { resource });
        };
        let token = FencingToken::parse(header)?;
        if token.resource() != resource {
            return Err(Refusal::OtherResource {
                resource: resource.to_owned(),
                named: token.resource().to_owned(),
            });
        }
        let mut served = self.served();
        served.raise(self.capacity, resource, token.fence())?;
        Ok(write(token.fence()))
    }

    /// The highest fence served of `resource`, if it is remembered.
    pub fn highest(&self, resource: &str) -> Option<Fence> {
        let served = self.served();
        served.highest.get(resource).map(|entry| entry.fence)
    }

    /// Each change of it is whole before a caller's code runs, so a panic there has left nothing half-done.
    fn served(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Served {
    fn raise(&mut self, capacity: usize, resource: &str, fence: Fence) -> Result<(), Fenced> {
        self.asked += 1;
        let asked = self.asked;
        if let Some(entry) = self.highest.get_mut(resource) {
            // A refused one counts as asking, too: where one late writer is there may be more.
            if let Some(name) = self.order.remove(&entry.asked) {
                self.order.insert(asked, name);
            }
            entry.asked = asked;
            if entry.fence > fence {
                return Err(Fenced::new(resource, fence, Some(entry.fence)));
            }
            entry.fence = fence;
            return Ok(());
        }
        if self.highest.len() >= capacity
            && let Some((_, forgotten)) = self.order.pop_first()
        {
            self.highest.remove(&forgotten);
        }
        let name: Arc<str> = resource.into();
        self.order.insert(asked, Arc::clone(&name));
        self.highest.insert(name, Entry { fence, asked });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gate(capacity: usize) -> FenceGate {
        FenceGate::with_capacity(NonZeroUsize::new(capacity).unwrap())
    }

    fn admit(gate: &FenceGate, resource: &str, fence: u64) -> Result<Fence, Refusal> {
        let token = FencingToken::new(resource, Fence::new(fence)).unwrap();
        gate.admit(resource, Some(token.to_string().as_bytes()))
    }

    proptest! {
        /// Against the obvious model: a list, the last asked for at its end.
        #[test]
        fn a_remembered_fence_never_falls_and_only_the_oldest_is_forgotten(
            capacity in 1_usize..5,
            requests in prop::collection::vec((0_usize..7, 0_u64..20), 1..200),
        ) {
            let gate = gate(capacity);
            let mut model: Vec<(usize, u64)> = Vec::new();
            for (resource, fence) in requests {
                let name = format!("r/{resource}");
                let found = model.iter().position(|(other, _)| *other == resource);
                let before = found.map(|at| model.remove(at).1);
                let answer = admit(&gate, &name, fence);
                prop_assert_eq!(answer.is_ok(), before.is_none_or(|before| before <= fence));
                if let Err(refusal) = answer {
                    let stored = before.map(Fence::new);
                    prop_assert_eq!(refusal, Refusal::Fenced(Fenced::new(&name, Fence::new(fence), stored)));
                }
                if before.is_none() && model.len() == capacity {
                    model.remove(0);
                }
                model.push((resource, before.map_or(fence, |before| before.max(fence))));
                for other in 0..7 {
                    let kept = model.iter().find(|(name, _)| *name == other);
                    prop_assert_eq!(gate.highest(&format!("r/{other}")), kept.map(|kept| Fence::new(kept.1)));
                }
                let served = gate.served();
                prop_assert!(served.highest.len() <= capacity && served.order.len() == served.highest.len());
            }
        }
    }

    #[test]
    fn threads_that_race_never_write_in_the_wrong_order() {
        let (gate, written) = (FenceGate::new(), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for start in 0..4_u64 {
                let (gate, written) = (&gate, &written);
                scope.spawn(move || {
                    for fence in (start..4_000).step_by(4) {
                        let token = FencingToken::new("r/1", Fence::new(fence)).unwrap();
                        let header = token.to_string();
                        let push = |fence| {
                            // Room for others between the check and the write.
                            std::thread::yield_now();
                            written.lock().unwrap().push(fence);
                        };
                        drop(gate.write("r/1", Some(header.as_bytes()), push));
                    }
                });
            }
        });
        let written = written.into_inner().unwrap();
        assert!(written.is_sorted());
        assert_eq!(written.last(), Some(&Fence::new(3_999)));
    }

    #[test]
    fn a_panic_in_a_write_leaves_the_gate_guarding() {
        let gate = FenceGate::new();
        let write = || {
            let header = br#""8";resource="r/1""#;
            drop(gate.write("r/1", Some(header), |_| panic!("the disk is full")));
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
        assert!(admit(&gate, "r/1", 7).is_err());
        assert!(admit(&gate, "r/1", 8).is_ok());
    }

    #[test]
    fn each_refusal_has_its_status_and_says_what_to_do() {
        let gate = FenceGate::new();
        let refuse = |header: Option<&str>| {
            let refusal = gate.admit("r/1", header.map(str::as_bytes)).unwrap_err();
            (refusal.status(), refusal.header(), refusal.to_string())
        };
        admit(&gate, "r/1", 8).unwrap();
        let token = |fence: u64, name: &str| format!("\"{fence}\";resource=\"{name}\"");
        let (status, header, text) = refuse(Some(&token(7, "r/1")));
        assert_eq!((status, header), (412, Some(token(8, "r/1"))));
        assert!(
            text.contains("(stored: 8)") && text.contains("lock again"),
            "{text}"
        );
        for (header, status, advice) in [
            (None, 428, "send its fence along"),
            (Some("7"), 400, "write it once, like"),
            (Some(&*token(9, "r/2")), 400, "send that one's fence"),
        ] {
            let (got, header, text) = refuse(header);
            assert_eq!((got, header), (status, None));
            assert!(text.contains(advice), "{text}");
        }
        assert_eq!(gate.highest("r/1"), Some(Fence::new(8)));
    }
}
