//! What a node's tasks do: anything a user may do, as chance will have it.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Coordinator, Env, Error, Fairness, Moment, Mutexes, Put};

use crate::guard::Guard;
use crate::history::{How, Id};
use crate::node::Node;
use crate::plan::{one_of, up_to};
use crate::recorder::{Call, Recorder, Terms};
use crate::world::{REQUEST_TIMEOUT, World};

/// How long a caller whose wait is over may be kept.
pub(crate) const FAREWELL: Duration = Duration::from_millis(250);
/// How many resources are read and written.
pub(crate) const PAGES: u64 = 2;
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(6);
const TERM: Duration = Duration::from_secs(2);
pub(crate) const LONG_TTL: Duration = Duration::from_secs(60);

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A task of a node.
pub(crate) struct Task {
    pub(crate) world: Arc<World>,
    pub(crate) node: Id,
    pub(crate) env: Env,
    pub(crate) coord: Coordinator,
    until: Moment,
}

/// How a lock is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Try,
    Wait,
    Until,
    Cancel,
    With,
}

impl Task {
    pub(crate) fn new(world: &Arc<World>, node: &Node, until: Moment) -> Self {
        Self {
            world: Arc::clone(world),
            node: node.id,
            env: node.env.clone(),
            coord: node.coord.clone(),
            until,
        }
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.world.recorder
    }

    pub(crate) fn up_to(&self, longest: Duration) -> Duration {
        up_to(&self.world.env, longest)
    }

    pub(crate) fn draw(&self, bound: u64) -> u64 {
        self.world.env.random(bound)
    }

    pub(crate) fn call<'a>(
        &self,
        resource: &'a str,
        what: impl Into<String>,
        within: Duration,
    ) -> Call<'a> {
        Call {
            node: self.node,
            resource,
            hold: None,
            what: what.into(),
            within,
            must: false,
        }
    }

    pub(crate) async fn run(self) {
        while self.world.env.now() < self.until {
            let done = match self.draw(20) {
                0..=1 => self.together().await,
                2..=6 if self.world.plan.reads => self.read_or_write().await,
                2..=14 => self.mutex().await,
                15..=16 => self.election().await,
                17 => self.revoke().await,
                _ => self.register().await,
            };
            if let Err(Error::ShutDown) = done {
                return;
            }
            self.env.sleep(self.up_to(self.world.plan.rest)).await;
        }
    }

    /// A class of mutexes with its settings; some leases are long, so that what is left of one is seen.
    pub(crate) fn mutexes(&self, id: u64) -> Result<(Mutexes, Terms), Error> {
        // Those who ask for the same TTL stand in one local line.
        let ttl = match id {
            _ if self.draw(16) == 0 => millis(700),
            _ if id == self.world.plan.resources => LONG_TTL,
            0 => millis(500),
            1 => millis(1500),
            _ => self.world.plan.longest_hold / 2,
        };
        let fairness = match self.draw(6) {
            0 => Fairness::Strict,
            _ => Fairness::Visits,
        };
        let max_hold = if self.draw(4) == 0 {
            millis(1200)
        } else {
            Duration::from_secs(3600)
        };
        let mutexes = self.coord.mutexes("m")?;
        let mutexes = mutexes.ttl(ttl).max_hold(max_hold).fairness(fairness);
        let terms = Terms {
            ttl,
            max_hold: Some(max_hold),
            weight: 1,
            capacity: 1,
            together: false,
        };
        Ok((mutexes, terms))
    }

    async fn mutex(&self) -> Result<(), Error> {
        let id = self.draw(self.world.plan.resources + 1);
        let (mutexes, terms) = self.mutexes(id)?;
        let wait = self.up_to(LONGEST_WAIT);
        let ways = [Way::Try, Way::Wait, Way::Wait, Way::Cancel, Way::With];
        let name = format!("m/{id}");
        let in_time = wait + REQUEST_TIMEOUT + FAREWELL;
        let locked = match one_of(&self.world.env, &ways).unwrap_or(Way::Wait) {
            Way::Try => {
                let within = REQUEST_TIMEOUT * 2;
                let calling = self.recorder().call(self.call(&name, "try_lock", within));
                let locked = mutexes.try_lock(id).await;
                calling.end(&locked);
                locked
            }
            Way::Wait => {
                let what = format!("lock_timeout({wait:?})");
                let calling = self.recorder().call(self.call(&name, what, in_time));
                let locked = mutexes.lock_timeout(id, wait).await;
                calling.end(&locked);
                locked
            }
            Way::Cancel => {
                let patience = self.up_to(wait);
                let what = format!("lock_timeout({wait:?}), cancelled after {patience:?},");
                let calling = self.recorder().call(self.call(&name, what, patience));
                let locking = mutexes.lock_timeout(id, wait);
                let Ok(locked) = self.env.timeout(patience, locking).await else {
                    calling.end_as(How::Cancelled);
                    return Ok(());
                };
                calling.end(&locked);
                locked
            }
            Way::With | Way::Until => return self.with(&mutexes.wait(wait), id, terms).await,
        };
        self.hold(Guard::Mutex(locked?), terms).await
    }

    /// The closure form: what is seen from inside.
    async fn with(&self, mutexes: &Mutexes, id: u64, terms: Terms) -> Result<(), Error> {
        let work = self.up_to(millis(1500));
        let within = LONGEST_WAIT + work + REQUEST_TIMEOUT * 2 + FAREWELL;
        let name = format!("m/{id}");
        let calling = self.recorder().call(self.call(&name, "with", within));
        let mut hold = None;
        let done = mutexes
            .with(id, async |lease| {
                let fence = lease.fence().get();
                let began = (self.recorder()).begin(self.node, lease.name().as_str(), fence, terms);
                hold = Some(began);
                self.env.sleep(work).await;
                self.recorder().looked(began, lease.is_held());
            })
            .await;
        if let Some(hold) = hold {
            self.recorder().gave_up(hold);
        }
        calling.end(&done);
        done
    }

    async fn election(&self) -> Result<(), Error> {
        let election = self.coord.election("e")?.ttl(TERM);
        let leads = if self.draw(2) == 0 {
            let call = self.call("~election/e", "try_lead", REQUEST_TIMEOUT * 2);
            let calling = self.recorder().call(call);
            let leads = election.try_lead().await;
            calling.end(&leads);
            leads
        } else {
            let patience = self.up_to(LONGEST_WAIT);
            let call = self.call(
                "~election/e",
                format!("campaign, for {patience:?},"),
                patience,
            );
            let calling = self.recorder().call(call);
            let Ok(leads) = self.env.timeout(patience, election.campaign()).await else {
                calling.end_as(How::Cancelled);
                return Ok(());
            };
            calling.end(&leads);
            leads
        };
        let terms = Terms {
            ttl: TERM,
            max_hold: None,
            weight: 1,
            capacity: 1,
            together: false,
        };
        self.hold(Guard::Leader(leads?), terms).await
    }

    async fn revoke(&self) -> Result<(), Error> {
        if self.draw(4) > 0 {
            return Ok(());
        }
        let name = match self.draw(3) {
            0 => self.coord.rw_locks("p")?.name(self.draw(PAGES))?,
            _ => (self.coord.mutexes("m")?).name(self.draw(self.world.plan.resources + 1))?,
        };
        // Looks who holds, and tells them.
        let within = REQUEST_TIMEOUT * 2;
        let calling = self
            .recorder()
            .call(self.call(name.as_str(), "revoke", within));
        let grace = self.up_to(millis(500));
        let revoked = self.coord.revoke(&name, "as it pleases", grace).await;
        calling.end(&revoked);
        revoked.map(drop)
    }

    async fn register(&self) -> Result<(), Error> {
        let register = self.coord.register("free")?;
        let calling = self
            .recorder()
            .call(self.call("free", "put", REQUEST_TIMEOUT));
        let put = register.put(&Put::new("x")).await;
        calling.end(&put);
        put.map(drop)
    }

    pub(crate) async fn hold(&self, guard: Guard, terms: Terms) -> Result<(), Error> {
        let guard = Arc::new(guard);
        let hold = self.recorder().held(self.node, &self.env, &guard, terms);
        let held = guard.is_held();
        self.recorder().looked(hold, held);
        let longest = one_of(
            &self.world.env,
            &[millis(20), millis(1000), self.world.plan.longest_hold],
        );
        let work = async {
            if self.draw(2) == 0 {
                self.write(&guard).await;
            }
            self.env
                .sleep(self.up_to(longest.unwrap_or_default()))
                .await;
            if self.draw(2) == 0 {
                self.write(&guard).await;
            }
        };
        let is_lost = guard.run(work).await.is_err();
        self.recorder().looked(hold, guard.is_held());
        if is_lost {
            // Its late writes are refused, unless nobody came after it.
            self.env.sleep(self.up_to(millis(2000))).await;
            self.write(&guard).await;
            self.recorder().looked(hold, guard.is_held());
        }
        self.end(hold, guard).await
    }

    async fn end(&self, hold: Id, guard: Arc<Guard>) -> Result<(), Error> {
        let resource = guard.name().as_str().to_owned();
        let is_lost = !guard.is_held();
        self.recorder().looked(hold, !is_lost);
        self.recorder().gave_up(hold);
        let Ok(guard) = Arc::try_unwrap(guard) else {
            return Ok(());
        };
        if self.draw(2) == 0 {
            drop(guard);
            return Ok(());
        }
        let within = REQUEST_TIMEOUT * (1 + u32::from(is_lost));
        let call = Call {
            hold: Some(hold),
            ..self.call(&resource, "release", within)
        };
        let calling = self.recorder().call(call);
        let released = if self.draw(8) == 0 {
            let patience = self.up_to(millis(50));
            let Ok(released) = self.env.timeout(patience, guard.release()).await else {
                calling.end_as(How::Cancelled);
                return Ok(());
            };
            released
        } else {
            guard.release().await
        };
        calling.end(&released);
        released
    }

    async fn write(&self, guard: &Guard) {
        let name = guard.name().as_str().to_owned();
        let (Some(fence), Ok(register)) = (guard.fence(), self.coord.register(&name)) else {
            return;
        };
        let calling = self
            .recorder()
            .call(self.call(&name, "put, fenced,", REQUEST_TIMEOUT));
        let put = register.put(&Put::new("x").fenced(fence)).await;
        calling.end(&put);
    }
}
