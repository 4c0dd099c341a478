//! A look at one job: what is due is claimed, and what is over is disposed of.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::name::fnv1a_64;
use leasehold_core::{Moment, Register};
use leasehold_spec::Spec;

use crate::dispatch::LOOK;
use crate::fleet::version::{self, Decision};
use crate::ledger::{FleetControl, Ledger, OUT_LIMIT, Plan, Running, Start, Timing, Via, plan};
use crate::planted::{Bug, planted};
use crate::registers::{Stored, Swap};
use crate::run::{self, Claim};
use crate::scheduler::{Entry, Shared, Slot};
use crate::{Error, history, metrics};

/// A job's register is written at least this often: a yearly one's would expire else.
const DAY_US: u64 = 24 * 3600 * 1_000_000;
/// Looks again this soon while something that is due waits for the end of a run. Who ends that looks at once.
const TURN: Duration = Duration::from_secs(1);
/// Looks again this soon while this node may run no more jobs.
const FULL: Duration = Duration::from_millis(250);
/// Looks again this soon at a job that is paused.
const PAUSED: Duration = Duration::from_secs(60);
/// A claim goes by a reading of the store's clock that is no older than this.
const STALE: Duration = Duration::from_secs(1);
/// Looks this long after a run's lease has ended, if it has.
const AFTER_LEASE: Duration = Duration::from_millis(200);

/// What a look found.
pub(crate) struct Seen {
    pub(crate) cursor: i64,
    pub(crate) next: Next,
}

/// What a job waits for.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// Its next start (ms since 1970 on the store's clock), if there is one; and an instant, if something else is to come.
    Start(Option<u64>, Option<Moment>),
    /// An instant, whatever is due.
    Look(Moment),
}

/// What a step comes to.
enum Step {
    /// The ledger was written, by this node or another: look again.
    Again(Box<Option<Stored>>),
    Done(Seen),
}

/// A look at one job under way.
pub(crate) struct Looking<'a> {
    shared: &'a Arc<Shared>,
    job: usize,
    entry: Arc<Entry>,
    /// The highest cursor that this node has seen.
    pub(crate) seen_cursor: i64,
    fleet: &'a FleetControl,
    /// The store's time when the ledger was read, and when that was here.
    read_us: u64,
    received: Moment,
}

/// The instant of a step, on the store's clock.
#[derive(Clone, Copy)]
struct Now {
    us: u64,
    ms: u64,
    s: i64,
}

impl<'a> Looking<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        job: usize,
        seen_cursor: i64,
        fleet: &'a FleetControl,
        read_us: u64,
    ) -> Self {
        Self {
            shared,
            job,
            entry: shared.entry(job),
            seen_cursor,
            fleet,
            read_us,
            received: shared.coord.env().now(),
        }
    }

    /// Does what is to be done, until nothing is due.
    pub(crate) async fn until_done(&mut self, register: Option<&Register>) -> Result<Seen, Error> {
        let mut stored = self.entry.ledger.decode(register)?;
        loop {
            if let Some(Stored { ledger, .. }) = &stored {
                // What it wrote itself counts, too: the store may go back between two steps.
                self.seen_cursor = self.seen_cursor.max(ledger.cursor);
            }
            stored = match stored {
                None if self.entry.kind.is_some() => {
                    // The store alone knows what it is, and lost it.
                    let (cursor, next) = (self.seen_cursor, self.look_in(LOOK));
                    return Ok(Seen { cursor, next });
                }
                None => self.create().await?,
                // Whoever writes more ends moves these to history first.
                Some(stored) if stored.ledger.out.len() >= OUT_LIMIT => {
                    history::flush(&self.entry.ledger, stored).await?;
                    self.entry.ledger.read().await?.value
                }
                Some(stored) => match self.step(stored).await? {
                    Step::Again(stored) => *stored,
                    Step::Done(seen) => return Ok(seen),
                },
            }
        }
    }

    /// At least this late is it at the store: a claim before this one may have taken any time.
    fn now(&self) -> Now {
        let since = self.shared.coord.env().now().since(self.received);
        let since_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let mut us = self.read_us.saturating_add(since_us);
        if planted(Bug::OwnClock) {
            us += fnv1a_64(self.shared.coord.node().to_string().as_bytes()) % 3_000_000;
        }
        Now {
            us,
            ms: us / 1000,
            s: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        }
    }

    fn is_stale(&self) -> bool {
        let age = self.shared.coord.env().now().since(self.received);
        age > STALE && !planted(Bug::StaleClock)
    }

    async fn create(&self) -> Result<Option<Stored>, Error> {
        let seen = (self.seen_cursor > i64::MIN).then_some(self.seen_cursor);
        let known = self.shared.known_tick(&self.entry).max(seen);
        let known = known.filter(|_| !planted(Bug::StoreIsBelieved));
        let words = self.entry.words.clone();
        let mut ledger = Ledger::new(&self.entry.name, words, self.now().s, known);
        ledger.fleet_seen = self.fleet.order;
        Ok(settled(self.entry.ledger.swap(None, ledger).await?))
    }

    async fn step(&self, stored: Stored) -> Result<Step, Error> {
        let (shared, entry, now) = (self.shared, &*self.entry, self.now());
        let before = stored.ledger.clone();
        let mut ledger = stored.ledger;
        shared.cancel_unwanted(&ledger.running);
        if ledger.cursor < self.seen_cursor && !planted(Bug::StoreIsBelieved) {
            ledger.lost_data(now.s.max(self.seen_cursor));
        }
        let decision = self.decide(&mut ledger, now);
        let is_change = decision.is_change();
        let spec = match entry.spec_of(&ledger) {
            Ok(spec) => spec,
            Err(_) if is_change => Arc::new(Spec::default()),
            Err(error) => {
                // Nodes of a newer version look after it; this one's own specification waits until they are gone.
                tracing::warn!(job = entry.job(), %error, "the specification in force is not known here");
                if ledger.versions == before.versions && !decision.is_news() {
                    return Ok(done(ledger.cursor, self.look_in(LOOK)));
                }
                decision.enter(&mut ledger, now.us);
                let swap = entry.ledger.swap(Some(stored.version), ledger).await?;
                return Ok(Step::Again(Box::new(settled(swap))));
            }
        };
        let timing = entry.timing(&spec);
        ledger.heed(self.fleet, &timing);
        let mut look_by = self.reap(&timing, &mut ledger, now).await?;
        if self.fleet.paused.is_some() || ledger.paused.is_some() {
            // Whoever resumes says so, but may die before.
            let env = shared.coord.env();
            let by = env.now() + env.jittered(PAUSED);
            look_by = Some(look_by.map_or(by, |look_by| look_by.min(by)));
        }
        let grace_ms = u64::try_from(shared.grace.as_millis()).unwrap_or(u64::MAX);
        let is_paused = self.fleet.paused.is_some();
        let plan = match plan(&mut ledger, &timing, now.ms, grace_ms, is_paused) {
            // The new definition need not wait for what nobody can run.
            Plan::Claim(_) if self.is_nobodys(&before) && is_change => Plan::Later,
            Plan::Claim(_) if !self.is_ones_own(&before) => {
                return Ok(done(before.cursor, self.look_in(LOOK)));
            }
            // Nobody is there who could run what is due by the old one: it has had its due.
            Plan::Claim(_) if is_change && !self.may_be_run(&spec) => Plan::Later,
            // The store's clock may have stepped since: it is read again. What else was decided stays.
            Plan::Claim(_) if self.is_stale() && ledger == before => {
                return Ok(done(before.cursor, Next::Look(shared.coord.env().now())));
            }
            Plan::Claim(_) if self.is_stale() => Plan::Write,
            Plan::Claim(start) => {
                let claimable = (stored.version, ledger);
                return self.claim(&spec, start, claimable, before.cursor).await;
            }
            plan => plan,
        };
        if !is_change {
            decision.enter(&mut ledger, now.us);
        } else if matches!(plan, Plan::Wait(_) | Plan::Later) {
            // The old one has had its due; what a pause kept from running was paused.
            let pauses = [&ledger.paused, &self.fleet.paused].into_iter().flatten();
            if let Some(since_ms) = pauses.map(|pause| pause.since_ms).min() {
                ledger.pass_pause(&timing, since_ms, now.ms);
            }
            decision.enter(&mut ledger, now.us);
            let (from, to) = (&before.spec, &ledger.spec);
            tracing::info!(job = entry.job(), ?from, ?to, "specification changed");
        }
        if ledger == before {
            match plan {
                // Versions are the store's time of writing: a register that nobody writes expires, and with it the cursor.
                Plan::Wait(next) if stored.version.saturating_add(DAY_US) > now.us => {
                    let look_by = self.change_by(&ledger, look_by);
                    return Ok(done(ledger.cursor, Next::Start(next, look_by)));
                }
                Plan::Later => {
                    let at = shared.coord.env().now() + shared.coord.env().jittered(TURN);
                    let at = look_by.map_or(at, |by| by.min(at));
                    return Ok(done(ledger.cursor, Next::Look(at)));
                }
                _ => {}
            }
        }
        let swap = entry.ledger.swap(Some(stored.version), ledger).await?;
        if let Swap::Done(stored) = &swap {
            record_ends(entry, &before, &stored.ledger);
        }
        Ok(Step::Again(Box::new(settled(swap))))
    }

    /// What is to become of the specification in force.
    fn decide(&self, ledger: &mut Ledger, now: Now) -> Change {
        if self.entry.kind.is_some() {
            let is_news = ledger.redefined.is_some();
            return if is_news {
                Change::Redefined
            } else {
                Change::Nothing
            };
        }
        if ledger.defined.is_some() {
            return Change::Nothing;
        }
        let entry = &self.entry;
        (ledger.versions).appear(&entry.version, Some(entry.words.clone()));
        let announced = self.shared.fleet.announced(entry.id());
        Change::Decided(version::decide(&ledger.versions, &announced, now.us))
    }

    /// Whether the job is what this node has a handler for: a program's own, or of the kind that it is defined with.
    fn is_ones_own(&self, ledger: &Ledger) -> bool {
        let kind = ledger.defined.as_ref().map(|defined| &defined.kind);
        if kind.is_some() != self.entry.kind.is_some() {
            let job = self.entry.job();
            tracing::warn!(
                job,
                "is defined in the store, and in programs: rename one of them"
            );
        }
        kind == self.entry.kind.as_ref()
    }

    /// Whether no live node has a handler for what the job is defined as.
    fn is_nobodys(&self, ledger: &Ledger) -> bool {
        let kind = ledger.defined.as_ref().map(|defined| &defined.kind);
        kind.is_some_and(|kind| self.shared.fleet.nodes_with_kind(kind).is_empty())
    }

    /// Whether a live node may run the job as it is now.
    fn may_be_run(&self, spec: &Spec) -> bool {
        let (view, now) = (self.shared.fleet.view(), self.shared.coord.env().now());
        let (job, kind) = (self.entry.id(), self.entry.kind.as_deref());
        view.may_be_run(job, kind, &spec.only_on, now)
    }

    fn look_in(&self, pause: Duration) -> Next {
        let env = self.shared.coord.env();
        Next::Look(env.now() + env.jittered(pause))
    }

    /// When to look again at the latest. While another specification is in force than this node was built with, time alone
    /// can change that, long before the next tick.
    fn change_by(&self, ledger: &Ledger, look_by: Option<Moment>) -> Option<Moment> {
        if self.entry.kind.is_some() || ledger.version() == self.entry.version {
            return look_by;
        }
        let env = self.shared.coord.env();
        let at = env.now() + env.jittered(LOOK);
        Some(look_by.map_or(at, |by| by.min(at)))
    }

    /// Ends runs whose lease is gone. Says when to look at the others' leases.
    async fn reap(
        &self,
        timing: &Timing<'_>,
        ledger: &mut Ledger,
        now: Now,
    ) -> Result<Option<Moment>, Error> {
        if ledger.running.is_empty() {
            return Ok(None);
        }
        let left = run::reap(self.shared, timing.spec, ledger, now.ms).await?;
        let env = self.shared.coord.env();
        Ok(left.map(|left| env.now() + left + env.jittered(AFTER_LEASE)))
    }

    /// Claims what is to start, if this node may: first the run's lease, whose fence goes into the entry; then one
    /// compare-and-set.
    async fn claim(
        &self,
        spec: &Arc<Spec>,
        start: Start,
        (version, mut ledger): (u64, Ledger),
        cursor: i64,
    ) -> Result<Step, Error> {
        let (shared, entry, coord) = (self.shared, &*self.entry, &self.shared.coord);
        if shared.stop.is_cancelled() || !shared.may_run(spec) {
            return Ok(done(cursor, self.look_in(LOOK)));
        }
        let slot = match shared.slot() {
            Slot::Full => return Ok(done(cursor, self.look_in(FULL))),
            Slot::Free(slot) => slot,
        };
        if ledger.spec == entry.words {
            entry.job().clone_into(&mut ledger.name);
        }
        if ledger.term == 0
            && let Some(leader) = shared.election.leader().await?
        {
            ledger.term = leader.term.get();
        }
        let lease = run::lease(shared, entry, start.tick, ledger.last_fence).await?;
        let delay = run::lateness(shared, start.tick);
        let fence = lease.guard.fence().get();
        let running = Running {
            tick: start.tick,
            attempt: start.attempt,
            via: start.via,
            id: start.id.clone(),
            node: coord.node(),
            fence,
            lease: lease.id,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            claimed_ms: shared.now_ms(),
            version: ledger.version().to_owned(),
            cancelled: false,
        };
        ledger.claim(&start, running.clone());
        let (mine, current) = match entry.ledger.swap(Some(version), ledger).await? {
            Swap::Done(stored) => (true, Some(stored)),
            Swap::Moved { current, unsure } if unsure && planted(Bug::UnknownIsYes) => {
                (true, current)
            }
            Swap::Moved { current, .. } if planted(Bug::UnknownIsNo) => (false, current),
            Swap::Moved { current, .. } => {
                // Maybe an earlier copy of this write moved it. It is ours only if this very claim is in it.
                let mine = (current.as_ref())
                    .is_some_and(|stored| stored.ledger.has_claim(coord.node(), fence));
                (mine, current)
            }
        };
        if let (true, Some(stored)) = (mine, &current) {
            if start.via == Via::Schedule && start.attempt == 1 {
                metrics::claimed(entry.job(), delay);
            }
            let claim = Claim {
                job: self.job,
                running,
                guard: lease.guard,
                stored: stored.clone(),
                spec: Arc::clone(spec),
                by_ms: start.by_ms,
                slot,
            };
            run::start(shared, claim);
        }
        // A claim that failed drops its lease here, which releases it.
        Ok(Step::Again(Box::new(current)))
    }
}

/// What is to become of the specification in force.
enum Change {
    Nothing,
    /// People defined the job anew.
    Redefined,
    /// What the nodes announce decides.
    Decided(Decision),
}

impl Change {
    /// Whether another one is to be put in force.
    fn is_change(&self) -> bool {
        match self {
            Change::Nothing => false,
            Change::Redefined => true,
            Change::Decided(decision) => {
                matches!(decision, Decision::Up { .. } | Decision::Down { .. })
            }
        }
    }

    /// Whether there is anything to enter.
    fn is_news(&self) -> bool {
        !matches!(self, Change::Nothing | Change::Decided(Decision::Keep))
    }

    fn enter(&self, ledger: &mut Ledger, now_us: u64) {
        match self {
            Change::Nothing => {}
            Change::Redefined => ledger.adopt_definition(now_us),
            Change::Decided(decision) => ledger.adopt(decision, now_us),
        }
    }
}

fn done(cursor: i64, next: Next) -> Step {
    Step::Done(Seen { cursor, next })
}

fn settled(swap: Swap) -> Option<Stored> {
    match swap {
        Swap::Done(stored) => Some(stored),
        Swap::Moved { current, .. } => current,
    }
}

/// Counts the ticks that this look disposed of.
fn record_ends(entry: &Entry, before: &Ledger, after: &Ledger) {
    let is_new = |record: &&crate::TickRecord| !before.out.contains(record);
    for record in after.out.iter().filter(is_new) {
        metrics::ended(entry.job(), record.outcome.as_str(), None);
        tracing::warn!(
            job = entry.job(), start = record.start, end = record.end, outcome = %record.outcome,
            "ticks that did not run, or were never heard of again"
        );
    }
}
