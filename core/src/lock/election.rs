//! Election: one leader of all nodes that campaign; a mutex that is campaigned for.

use std::fmt;
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Lease;
use crate::client::{Ask, Holding, Inner, Overdue, Seat, acquire, acquire_in_rounds, inspect};
use crate::error::Error;
use crate::fence::Fence;
use crate::name::ResourceName;
use crate::protocol::{Capacity, Weight};

const TTL: Duration = Duration::from_secs(15);

/// An election.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # use leasehold_core::{Coordinator, store::MemoryStore};
/// # let coord = Coordinator::builder(MemoryStore::new(), "billing").connect().await?;
/// let election = coord.election("janitor")?;
/// let leadership = election.campaign().await?;
/// assert_eq!(election.leader().await?.map(|leader| leader.term), Some(leadership.term()));
/// leadership.resign().await?;
/// assert_eq!(election.leader().await?, None);
/// # Ok::<(), leasehold_core::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Election {
    inner: Arc<Inner>,
    name: ResourceName,
    ttl: Duration,
    label: String,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The leader's term: its fence. A later leader's is greater.
    pub term: Fence,
    /// Who it is, for people.
    pub label: String,
    /// For how long it has led.
    pub leads_for: Duration,
}

impl Election {
    pub(crate) fn new(inner: Arc<Inner>, name: ResourceName) -> Self {
        Self {
            name,
            ttl: TTL,
            label: inner.core.label.clone(),
            inner,
        }
    }

    /// How long leadership outlives its leader's last sign of life (default 15 s): the longest time without a leader.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// A note for people beside this client's label.
    pub fn label(mut self, note: &str) -> Self {
        self.label = format!("{} {note}", self.inner.core.label);
        self
    }

    /// Campaigns until elected. A store that can't be reached is asked again; every other error ends the campaign.
    ///
    /// Leadership has no `max_hold`: it lasts until it is resigned, dropped or lost.
    ///
    /// # Errors
    /// Errors of use, and [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// Cancel safe: dropped, it leaves the queue.
    pub async fn campaign(&self) -> Result<Leadership, Error> {
        let held = acquire_in_rounds(&self.inner, self.ask()).await?;
        Ok(self.leads(held))
    }

    /// Leads if nobody does.
    ///
    /// # Errors
    /// [`Error::Busy`] if someone does; it names the leader.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn try_lead(&self) -> Result<Leadership, Error> {
        let held = acquire(&self.inner, self.ask()).await?;
        Ok(self.leads(held))
    }

    fn ask(&self) -> Ask {
        // To lead for long is what it is for.
        let overdue = Overdue {
            after: None,
            caller: Location::caller(),
        };
        Ask {
            name: self.name.clone(),
            weight: Weight::All,
            capacity: Capacity::UNBOUNDED,
            ttl: self.ttl,
            wait: None,
            label: self.label.clone(),
            // A term is a grant of the store's, so that everyone sees the same one.
            strict: true,
            seat: Seat::new(None, overdue),
            may_relock: true,
        }
    }

    fn leads(&self, held: Holding) -> Leadership {
        Leadership(Lease::new(Arc::clone(&self.inner), held))
    }

    /// Who leads now, as the store sees it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store can't say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn leader(&self) -> Result<Option<Leader>, Error> {
        let found = inspect(&self.inner, &self.name).await?;
        let holder = found.holders.into_iter().find(|h| !h.remaining.is_zero());
        Ok(holder.map(|holder| Leader {
            term: holder.fence.unwrap_or(Fence::new(0)),
            label: holder.label,
            leads_for: holder.held_for,
        }))
    }
}

impl fmt::Debug for Election {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Election")
            .field("name", &self.name.as_str())
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// Being the leader. Derefs to its [`Lease`]; dropping it resigns in the background.
#[derive(Debug)]
#[must_use = "leadership is resigned when it is dropped"]
pub struct Leadership(Lease);

impl Leadership {
    /// The term: greater than every earlier leader's.
    pub fn term(&self) -> Fence {
        self.0.fence()
    }

    /// Resigns; the next in the queue leads at once.
    ///
    /// # Errors
    /// As [`Lease::release`].
    ///
    /// # Cancel safety
    /// As [`Lease::release`].
    pub async fn resign(self) -> Result<(), Error> {
        self.0.release().await
    }
}

impl Deref for Leadership {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.0
    }
}
