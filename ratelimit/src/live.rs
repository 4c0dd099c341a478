//! The quota in force: that of the program, or a later one of the fleet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use leasehold_core::store::{StoreError, StoreErrorKind};
use leasehold_core::{
    Class, Coordinator, Error as CoreError, Expect, Moment, NameError, Put, Register,
    RegisterHandle, RegisterReply, protocol,
};
use serde::{Deserialize, Serialize};

use crate::Quota;

/// How often a client looks for another quota, while it uses the limiter.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// An announced quota is not forgotten, however long nobody announces another.
const KEPT_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const RETRY: Duration = Duration::from_millis(100);
const FORMAT: u32 = 1;

/// An announcement, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Announced {
    format: u32,
    units: u64,
    period_us: u64,
    burst: u64,
    revision: u64,
}

impl Announced {
    fn of(quota: Quota) -> Self {
        Self {
            format: FORMAT,
            units: quota.units(),
            period_us: u64::try_from(quota.period().as_micros()).unwrap_or(u64::MAX),
            burst: quota.burst_units(),
            revision: quota.announced(),
        }
    }

    fn quota(self) -> Quota {
        let period = Duration::from_micros(self.period_us);
        let quota = Quota::per(self.units, period).burst(self.burst);
        quota.revision(self.revision)
    }

    fn read(register: &Register) -> Result<Self, CoreError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let refused =
            |text: String| CoreError::Store(StoreError::new(StoreErrorKind::Refused, "read", text));
        let damaged =
            |error: serde_json::Error| refused(format!("an announced quota is damaged: {error}"));
        let Format { format } = serde_json::from_slice(&register.value).map_err(damaged)?;
        if format > FORMAT {
            let text = format!(
                "an announced quota has format {format}, newer than {FORMAT}: upgrade here"
            );
            let error = StoreError::new(StoreErrorKind::TooNew, "read", text);
            return Err(CoreError::StoreTooNew(error));
        }
        serde_json::from_slice(&register.value).map_err(damaged)
    }
}

/// A quota, as users see it and as it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InForce {
    pub(crate) quota: Quota,
    pub(crate) counted: protocol::Quota,
}

/// A limiter's quota.
#[derive(Debug)]
pub(crate) struct Live {
    register: RegisterHandle,
    own: InForce,
    in_force: RwLock<InForce>,
    /// When to look again, in nanoseconds; 0 before the first look.
    due: AtomicU64,
}

/// What became of an announcement.
pub(crate) enum Announcement {
    /// It is in force, as this one.
    Made(Quota),
    /// One with this revision is in force already.
    Superseded(u64),
}

impl Live {
    pub(crate) fn new(coord: &Coordinator, class: &Class, own: InForce) -> Result<Self, NameError> {
        let name = Class::internal("~limit").resource(class)?;
        Ok(Self {
            register: coord.register_of(name),
            own,
            in_force: RwLock::new(own),
            due: AtomicU64::new(0),
        })
    }

    pub(crate) fn in_force(&self) -> InForce {
        *self.in_force.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_looked(&self) -> bool {
        self.due.load(Ordering::Acquire) != 0
    }

    /// Whether it is time to look again: this is told to one.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        let due = self.due.load(Ordering::Acquire);
        if due == 0 || now.as_nanos() < due {
            return false;
        }
        let next = (now + LOOK_EVERY).as_nanos();
        (self.due)
            .compare_exchange(due, next, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Looks, and says whether another quota came into force. `count` says how a quota is counted; one that cannot be is not
    /// taken.
    pub(crate) async fn look(
        &self,
        next: Moment,
        count: impl Fn(Quota) -> Option<protocol::Quota> + Send,
    ) -> Result<bool, CoreError> {
        let stored = self.register.get().await?;
        let announced = stored.map(|register| Announced::read(&register));
        let announced = announced.transpose()?;
        self.due.store(next.as_nanos(), Ordering::Release);
        Ok(self.adopt(announced.map(Announced::quota), count))
    }

    pub(crate) fn adopt(
        &self,
        announced: Option<Quota>,
        count: impl Fn(Quota) -> Option<protocol::Quota>,
    ) -> bool {
        let mut chosen = self.own;
        if let Some(quota) = announced
            && let (Ok(theirs), Ok(own)) = (quota.lower(), self.own.quota.lower())
            && theirs != own
            && own.or(theirs) == theirs
        {
            match count(quota) {
                Some(counted) => chosen = InForce { quota, counted },
                None => {
                    tracing::warn!(%quota, "an announced quota does not go with this limiter, and is not taken");
                }
            }
        }
        let mut in_force = self
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_other = in_force.counted != chosen.counted;
        if is_other {
            tracing::info!(quota = %chosen.quota, revision = chosen.quota.announced(), "another quota is in force");
        }
        *in_force = chosen;
        is_other
    }

    /// Announces a quota to the fleet. One without a revision gets the next.
    pub(crate) async fn announce(
        &self,
        coord: &Coordinator,
        quota: Quota,
        patience: Duration,
    ) -> Result<Announcement, CoreError> {
        let deadline = coord.env().now() + patience;
        let mut unsure: Option<Announced> = None;
        loop {
            let attempt = self.announce_once(quota, &mut unsure).await;
            let error = match attempt {
                Ok(Some(announcement)) => return Ok(announcement),
                Ok(None) => continue,
                Err(error) => error,
            };
            let next = coord.env().now() + coord.env().jittered(RETRY);
            if !error.is_unavailable() || next >= deadline {
                return Err(error);
            }
            coord.env().sleep_until(next).await;
        }
    }

    async fn announce_once(
        &self,
        quota: Quota,
        unsure: &mut Option<Announced>,
    ) -> Result<Option<Announcement>, CoreError> {
        let stored = self.register.get().await?;
        let (expect, stored) = match &stored {
            Some(register) => (
                Expect::Version(register.version),
                Some(Announced::read(register)?),
            ),
            None => (Expect::Absent, None),
        };
        // An earlier copy of this write may have been applied.
        if stored.is_some() && stored == *unsure {
            return Ok(stored.map(|stored| Announcement::Made(stored.quota())));
        }
        let highest = stored.map_or(0, |s| s.revision);
        let highest = highest.max(self.own.quota.announced());
        let quota = match quota.announced() {
            0 => quota.revision(highest + 1),
            revision if revision <= highest => return Ok(Some(Announcement::Superseded(highest))),
            _ => quota,
        };
        let announced = Announced::of(quota);
        let bytes = serde_json::to_vec(&announced).unwrap_or_default();
        let put = Put::new(bytes).expect(expect).ttl(KEPT_FOR);
        *unsure = Some(announced);
        match self.register.put(&put).await? {
            RegisterReply::Written { .. } => Ok(Some(Announcement::Made(announced.quota()))),
            _ => Ok(None),
        }
    }
}
