//! The dispatcher: knows what is due, and claims in the order that spreads the work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leasehold_core::{Moment, RegisterHandle};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::control::{Heard, News, Wake, hash_of};
use crate::fleet::View;
use crate::ledger::FleetControl;
use crate::look::{Looking, Next, Seen};
use crate::planted::{Bug, planted};
use crate::rank::{delta, rank};
use crate::scheduler::Shared;
use crate::timetable::{Due, Timetable};
use crate::{Error, defined, metrics};

/// Ledgers read in one request, beside the word to the fleet and the latest changes.
const BATCH: usize = 126;
/// Looks at least this often whether people changed anything.
const LISTEN: Duration = Duration::from_secs(1);
/// Reads which jobs are defined in the store at least this often, if it can run any.
const DEFINED: Duration = Duration::from_secs(60);
/// Jobs that are looked at at the same time: more of them would wait for each other's requests, up to their deadline.
const AT_ONCE: usize = 16 * BATCH;
/// Looks at the clocks at least this often: the store's may be set.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// A job is looked at, and its register written, at least this often: a yearly one's would expire else.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Looks again this soon while the store's clock is not believed.
const HOLD: Duration = Duration::from_secs(1);
/// Of those before in rank as many are waited for, when people want something done.
const MOST_RANKS: u32 = 3;
/// Looks again this soon after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// What this node knows of a job between two looks.
struct Local {
    /// The highest cursor seen.
    cursor: i64,
    state: State,
}

impl Local {
    const NEW: Self = Self {
        cursor: i64::MIN,
        state: State::Waiting,
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waits for its start, or for an instant.
    Waiting,
    /// Its start has come, and it waits for those before it in rank.
    Ranked,
    /// Being looked at; whether somebody asked for another look meanwhile.
    Busy { is_woken: bool },
}

/// What came of a job that was to be looked at.
enum Found {
    Seen(Seen),
    /// It was not looked at: that is to be done then.
    Later(Moment),
    /// It could not be looked after any further; its highest cursor.
    Failed(Error, i64),
}

struct Report {
    job: usize,
    found: Found,
}

/// What looks and reads tell the dispatcher.
enum Message {
    Report(Report),
    /// What people changed lately, and the word to the fleet.
    Told(Wake, Arc<FleetControl>),
    /// The jobs that are defined in the store, with their kinds; `None` if it can't say.
    Defined(Option<BTreeMap<String, String>>),
}

type Messages = mpsc::UnboundedSender<Message>;

/// A dispatcher at work.
struct Dispatcher {
    shared: Arc<Shared>,
    locals: Vec<Local>,
    table: Timetable,
    /// How many jobs are being looked at.
    busy: usize,
    /// Looks under way, and the reads before them.
    looks: TaskTracker,
    messages: Messages,
    heard: Heard,
    /// When the latest read was begun.
    listened: Moment,
    /// The fleet as it was seen last.
    view: Arc<View>,
    /// The numbers of the jobs that are or were defined in the store, by name and kind.
    defined: BTreeMap<(String, String), usize>,
    /// When the store was asked for them last.
    asked: Option<Moment>,
}

/// Runs until the scheduler stops.
pub(crate) async fn run(shared: Arc<Shared>, mut wakes: mpsc::UnboundedReceiver<usize>) {
    let env = shared.coord.env().clone();
    let (messages_in, mut messages) = mpsc::unbounded_channel();
    let mut dispatcher = Dispatcher::new(&shared, messages_in);
    while !shared.stop.is_cancelled() {
        dispatcher.start_looks();
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            Some(job) = wakes.recv() => dispatcher.wake(job),
            Some(message) = messages.recv() => {
                dispatcher.take(message);
                // What has come together is dealt with together.
                while let Ok(message) = messages.try_recv() {
                    dispatcher.take(message);
                }
            }
            () = env.sleep_until(dispatcher.next()) => {}
        }
    }
    let looks = dispatcher.looks;
    looks.close();
    // A claim under way is decided, one way or the other, before the drain begins; a store that does not answer
    // cannot hold the drain up for longer than a lease.
    let decided = env
        .timeout(shared.run_ttl.min(shared.drain), looks.wait())
        .await;
    if decided.is_err() {
        tracing::warn!("stopped while the store left claims undecided");
    }
}

impl Dispatcher {
    fn new(shared: &Arc<Shared>, messages: Messages) -> Self {
        let (mut table, start) = (Timetable::default(), shared.coord.env().now());
        let locals = (0..shared.entries().len()).map(|job| {
            table.set(job, None, Some(start));
            Local::NEW
        });
        let locals = locals.collect();
        Self {
            shared: Arc::clone(shared),
            locals,
            table,
            busy: 0,
            looks: TaskTracker::new(),
            messages,
            heard: Heard::default(),
            listened: start,
            view: shared.fleet.view(),
            defined: BTreeMap::new(),
            asked: None,
        }
    }

    /// Has jobs looked at of which a node was built with another specification: it may put that in force, and the next
    /// tick may then be any.
    fn heed_fleet(&mut self) {
        let view = self.shared.fleet.view();
        if Arc::ptr_eq(&view, &self.view) {
            return;
        }
        self.view = view;
        let at = self.shared.coord.env().now() + LOOK;
        for job in 0..self.locals.len() {
            let is_busy = matches!(self.locals[job].state, State::Busy { .. });
            if !is_busy && self.is_contested(job) {
                self.table.look_by(job, at);
            }
        }
    }

    fn is_contested(&self, job: usize) -> bool {
        let entry = self.shared.entry(job);
        entry.kind.is_none() && self.shared.fleet.is_contested(entry.id(), &entry.version)
    }

    /// Has every job looked at that is due, and whose turn it is on this node.
    fn start_looks(&mut self) {
        self.heed_fleet();
        let coord = &self.shared.coord;
        let (now, store_us) = (coord.env().now(), coord.store_now().wall_us);
        let mut due = Vec::new();
        while self.busy < AT_ONCE
            && let Some(next) = self.table.take_due(now, store_us)
        {
            let local = &mut self.locals[next.job];
            if local.state == State::Waiting
                && let Some(turn_us) = turn_us(&self.shared, next)
                && turn_us > store_us
            {
                local.state = State::Ranked;
                self.table.set(next.job, Some(turn_us), next.look);
                continue;
            }
            local.state = State::Busy { is_woken: false };
            self.busy += 1;
            due.push((next.job, local.cursor));
            if due.len() == BATCH {
                self.look_at(std::mem::take(&mut due));
            }
        }
        if !due.is_empty() || now >= self.listened + LISTEN {
            self.look_at(due);
        }
    }

    /// Reads the ledgers of these jobs, and looks at each; and reads what people changed.
    fn look_at(&mut self, due: Vec<(usize, i64)>) {
        let (shared, messages) = (Arc::clone(&self.shared), self.messages.clone());
        let looks = self.looks.clone();
        self.listened = shared.coord.env().now();
        self.looks.spawn(async move {
            if let Err(later) = read_and_look(&shared, &due, &looks, &messages).await {
                for (job, _) in due {
                    let found = Found::Later(later);
                    // The dispatcher is gone only when the scheduler stops.
                    drop(messages.send(Message::Report(Report { job, found })));
                }
            }
        });
    }

    /// When there is something to do, unless something happens before.
    fn next(&self) -> Moment {
        let coord = &self.shared.coord;
        let now = coord.env().now();
        if self.busy >= AT_ONCE {
            return self.listened + LISTEN;
        }
        let (start_us, look) = self.table.next();
        let until = |start_us: u64| {
            let left = start_us.saturating_sub(coord.store_now().wall_us);
            now + Duration::from_micros(left)
        };
        let look = look.unwrap_or(Moment::NEVER).min(self.listened + LISTEN);
        start_us.map_or(look, |start_us| look.min(until(start_us)))
    }

    /// Looks at a job as soon as may be.
    fn wake(&mut self, job: usize) {
        match &mut self.locals[job].state {
            // It may be looked at too early right now.
            State::Busy { is_woken } => *is_woken = true,
            State::Waiting | State::Ranked => self.look_at_once(job),
        }
    }

    fn look_at_once(&mut self, job: usize) {
        let now = self.shared.coord.env().now();
        self.table.set(job, None, Some(now));
    }

    /// Has the jobs looked at that people changed, by the nodes in the order of their rank.
    fn wake_for(&mut self, news: &News) {
        let hashes = match news {
            News::Nothing => return,
            News::Jobs(hashes) => Some(hashes),
            News::All => None,
        };
        let shared = Arc::clone(&self.shared);
        for (job, entry) in shared.entries().iter().enumerate() {
            if hashes.is_some_and(|hashes| !hashes.contains(&hash_of(entry.id()))) {
                continue;
            }
            let nodes = shared.nodes_with(entry);
            // Any number that all of them know.
            let rank = rank(shared.coord.node(), &nodes, entry.id(), 0);
            let after = delta(shared.coord.round_trip()) * rank.min(MOST_RANKS);
            match &mut self.locals[job].state {
                State::Busy { is_woken } => *is_woken = true,
                _ => self.table.look_by(job, shared.coord.env().now() + after),
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Report(report) => self.take_report(report),
            Message::Told(changes, fleet) => {
                let news = self.heard.hear(&changes, &fleet);
                if news != News::Nothing {
                    self.asked = None;
                }
                self.wake_for(&news);
                self.ask_for_definitions();
            }
            Message::Defined(Some(jobs)) => self.take_definitions(jobs),
            Message::Defined(None) => self.asked = None,
        }
    }

    /// Reads which jobs are defined in the store, now and then and when people changed something.
    fn ask_for_definitions(&mut self) {
        let (shared, now) = (Arc::clone(&self.shared), self.shared.coord.env().now());
        let is_known = self.asked.is_some_and(|asked| now < asked + DEFINED);
        if shared.kinds.is_empty() || is_known {
            return;
        }
        self.asked = Some(now);
        let messages = self.messages.clone();
        self.looks.spawn(async move {
            let read = defined::read(&shared.coord).await;
            let read = read.inspect_err(|error| {
                tracing::warn!(%error, "cannot read which jobs are defined in the store");
            });
            drop(messages.send(Message::Defined(read.ok())));
        });
    }

    /// Looks after the jobs that are defined in the store, from now on, and not after those that are not any more.
    fn take_definitions(&mut self, jobs: BTreeMap<String, String>) {
        for ((name, kind), job) in &self.defined {
            let is_out = jobs.get(name) != Some(kind);
            let was_out = (self.shared.entry(*job).is_out).swap(is_out, Ordering::Relaxed);
            if was_out && !is_out {
                self.shared.wake(*job);
            } else if is_out {
                // Nobody says so any more.
                metrics::overdue(name, Duration::ZERO);
            }
        }
        for (name, kind) in jobs {
            let key = (name, kind);
            if self.defined.contains_key(&key) {
                continue;
            }
            let entry = match defined::entry(&self.shared, &key.0, &key.1) {
                Ok(Some(entry)) => entry,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(job = key.0, %error, "cannot look after a job that is defined in the store");
                    continue;
                }
            };
            let job = self.shared.add_entry(entry);
            self.locals.push(Local::NEW);
            self.defined.insert(key, job);
            self.look_at_once(job);
        }
    }

    fn take_report(&mut self, report: Report) {
        let env = self.shared.coord.env();
        let (job, now) = (report.job, env.now());
        // A yearly job is looked at, and its register written, in time: it would expire else.
        let latest = match self.shared.entry(job) {
            entry if entry.is_out() => Moment::NEVER,
            _ if self.is_contested(job) => now + LOOK,
            _ => now + DAY,
        };
        let local = &mut self.locals[job];
        let before = std::mem::replace(&mut local.state, State::Waiting);
        self.busy -= 1;
        match report.found {
            Found::Seen(seen) => {
                local.cursor = local.cursor.max(seen.cursor);
                self.shared.fleet.saw_tick(local.cursor);
                match seen.next {
                    Next::Look(at) => self.table.set(job, None, Some(at)),
                    Next::Start(start_ms, by) => {
                        let start_us = start_ms.map(|ms| ms.saturating_mul(1000));
                        let by = by.map_or(latest, |by| by.min(latest));
                        self.table.set(job, start_us, Some(by));
                    }
                }
            }
            Found::Later(_) if planted(Bug::FailureIsFinal) => self.table.set(job, None, None),
            Found::Later(at) => self.table.set(job, None, Some(at)),
            Found::Failed(error, cursor) => {
                local.cursor = local.cursor.max(cursor);
                let entry = self.shared.entry(job);
                tracing::warn!(job = entry.job(), %error, "cannot look after a job; trying again");
                // What another version wrote stays as it is for a while.
                let pause = match error {
                    Error::LedgerTooNew { .. } | Error::LedgerDamaged { .. } => LOOK,
                    _ => RETRY,
                };
                self.table.set(job, None, Some(now + env.jittered(pause)));
            }
        }
        if before == (State::Busy { is_woken: true }) {
            self.look_at_once(job);
        }
    }
}

/// When it is this node's turn for a start that has come, by its rank among the nodes that have the job now; `None` for
/// what is due for another reason.
fn turn_us(shared: &Shared, due: Due) -> Option<u64> {
    let (coord, entry) = (&shared.coord, shared.entry(due.job));
    let start_us = due.start_us?;
    let nodes = shared.nodes_with(&entry);
    let rank = rank(coord.node(), &nodes, entry.id(), start_us / 1000);
    if rank > 0 && planted(Bug::FirstIsTrusted) {
        return Some(u64::MAX);
    }
    let after = delta(coord.round_trip()) * rank;
    Some(start_us.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
}

/// Reads the ledgers of these jobs, and has each looked at; when to try again, if that can't be now.
async fn read_and_look(
    shared: &Arc<Shared>,
    due: &[(usize, i64)],
    looks: &TaskTracker,
    messages: &Messages,
) -> Result<(), Moment> {
    let env = shared.coord.env();
    let later = |pause: Duration| env.now() + env.jittered(pause);
    let ledgers = due
        .iter()
        .map(|(job, _)| shared.entry(*job).ledger.register.clone());
    let registers: Vec<_> = ledgers
        .chain([shared.control.clone(), shared.changes.clone()])
        .collect();
    let asked = env.now();
    let mut read = RegisterHandle::read(&registers).await.map_err(|error| {
        tracing::warn!(%error, jobs = due.len(), "cannot read ledgers; asking again");
        shared.store_away(asked);
        later(RETRY)
    })?;
    shared.store_answered();
    // The store's clock stepped: what is due by it may be hours away. It is believed again once it is back, or steady
    // for a while.
    let is_held = shared.coord.store_clock_departure().is_some();
    shared.fleet.say_held(is_held);
    if is_held {
        return Err(later(HOLD));
    }
    // The last ones are the word to the fleet, and what changed.
    let changes = read.value.pop().flatten();
    let changes = changes.map_or_else(Wake::default, |read| Wake::decode(&read.value));
    let fleet = match read.value.pop().flatten() {
        Some(register) => FleetControl::decode(&register.value),
        None => Ok(FleetControl::default()),
    };
    let fleet = fleet.map_err(|error| {
        tracing::warn!(%error, "cannot read what the fleet was told; no claims");
        later(LOOK)
    })?;
    let (fleet, now_us) = (Arc::new(fleet), read.now.wall_us);
    // The dispatcher is gone only when the scheduler stops; so below.
    drop(messages.send(Message::Told(changes, Arc::clone(&fleet))));
    for (&(job, cursor), register) in due.iter().zip(read.value) {
        let (shared, fleet, messages) = (Arc::clone(shared), Arc::clone(&fleet), messages.clone());
        looks.spawn(async move {
            let mut looking = Looking::new(&shared, job, cursor, &fleet, now_us);
            let found = match looking.until_done(register.as_ref()).await {
                Ok(seen) => Found::Seen(seen),
                Err(error) => Found::Failed(error, looking.seen_cursor),
            };
            drop(messages.send(Message::Report(Report { job, found })));
        });
    }
    Ok(())
}
