//! The dispatcher: knows what is due, and claims in the order that spreads the work.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Moment, RegisterHandle};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::control::{Heard, News, Wake, hash_of};
use crate::ledger::FleetControl;
use crate::look::{Looking, Next, Seen};
use crate::rank::{delta, rank};
use crate::scheduler::Shared;

/// Ledgers read in one request, beside the word to the fleet and the latest changes.
const BATCH: usize = 126;
/// Looks at least this often whether people changed anything.
const LISTEN: Duration = Duration::from_secs(1);
/// Looks again at least this often, so that a stepped clock or a changed fleet is noticed.
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
    /// When it was looked at.
    looked: Moment,
    state: State,
    /// Somebody asked for another look while it was being looked at.
    is_woken: bool,
}

enum State {
    /// To be looked at again.
    Next(Next),
    /// Being looked at.
    Busy,
}

struct Report {
    job: usize,
    result: Result<Seen, Error>,
}

/// Runs until the scheduler stops.
pub(crate) async fn run(shared: Arc<Shared>, mut wakes: mpsc::UnboundedReceiver<usize>) {
    let env = shared.coord.env().clone();
    let (reports_in, mut reports) = mpsc::unbounded_channel::<Report>();
    let start = env.now();
    let mut locals: Vec<Local> = (shared.entries.iter())
        .map(|_| Local {
            cursor: i64::MIN,
            looked: start,
            state: State::Next(Next::Look(start)),
            is_woken: false,
        })
        .collect();
    // When each is to be looked at; reckoned anew when it was looked at, and now and then.
    let mut times = vec![start; locals.len()];
    let mut reckoned = start;
    let (mut heard, mut listened) = (Heard::default(), start);
    let looks = TaskTracker::new();
    while !shared.stop.is_cancelled() {
        let now = env.now();
        if now >= reckoned + LOOK {
            reckoned = now;
            for (job, local) in locals.iter().enumerate() {
                times[job] = due_at(&shared, job, local);
            }
        }
        let mut wake = (reckoned + LOOK).min(listened + LISTEN);
        let mut due = Vec::new();
        for (job, at) in times.iter().enumerate() {
            if *at <= now && due.len() < BATCH {
                due.push(job);
            } else {
                wake = wake.min(*at);
            }
        }
        if due.is_empty() && now < listened + LISTEN {
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => break,
                Some(job) = wakes.recv() => {
                    wake_at(env.now(), job, &mut locals, &mut times);
                }
                Some(report) = reports.recv() => {
                    let (job, local) = (report.job, &mut locals[report.job]);
                    take_report(&shared, local, report);
                    if std::mem::take(&mut local.is_woken) {
                        local.state = State::Next(Next::Look(env.now()));
                    }
                    times[job] = due_at(&shared, job, local);
                }
                () = env.sleep_until(wake) => {}
            }
            continue;
        }
        listened = now;
        let looking = (&looks, &reports_in);
        let told = read_and_look(&shared, &due, &mut locals, &mut times, looking).await;
        if let Some((changes, fleet)) = told {
            let news = heard.hear(&changes, &fleet);
            wake_for(&shared, &news, &mut locals, &mut times);
        }
    }
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

/// Reads the ledgers of these jobs, and has each looked at. Answers what people changed lately.
async fn read_and_look(
    shared: &Arc<Shared>,
    due: &[usize],
    locals: &mut [Local],
    times: &mut [Moment],
    (looks, reports): (&TaskTracker, &mpsc::UnboundedSender<Report>),
) -> Option<(Wake, Arc<FleetControl>)> {
    let env = shared.coord.env();
    let ledgers = due.iter().map(|job| &shared.entries[*job].ledger.register);
    let registers: Vec<_> = ledgers
        .chain([&shared.control, &shared.changes])
        .cloned()
        .collect();
    match RegisterHandle::read(&registers).await {
        // The store's clock stepped: what is due by it may be hours away. It is believed again once it is back, or
        // steady for a while.
        Ok(_) if shared.coord.store_clock_departure().is_some() => {
            shared.fleet.say_held(true);
            put_off(due, env.now() + env.jittered(HOLD), locals, times);
            None
        }
        Ok(mut read) => {
            shared.fleet.say_held(false);
            // The last ones are the word to the fleet, and what changed.
            let changes = read.value.pop().flatten();
            let changes = changes.map_or_else(Wake::default, |read| Wake::decode(&read.value));
            let fleet = match read.value.pop().flatten() {
                Some(register) => FleetControl::decode(&register.value),
                None => Ok(FleetControl::default()),
            };
            let fleet = match fleet {
                Ok(fleet) => Arc::new(fleet),
                Err(error) => {
                    tracing::warn!(%error, "cannot read what the fleet was told; no claims");
                    put_off(due, env.now() + env.jittered(LOOK), locals, times);
                    return None;
                }
            };
            for (&job, register) in due.iter().zip(read.value) {
                locals[job].state = State::Busy;
                (locals[job].looked, times[job]) = (env.now(), Moment::NEVER);
                let (shared, reports) = (Arc::clone(shared), reports.clone());
                let fleet = Arc::clone(&fleet);
                let (cursor, now_us) = (locals[job].cursor, read.now.wall_us);
                looks.spawn(async move {
                    let looking = Looking::new(&shared, job, cursor, &fleet, now_us);
                    let result = looking.until_done(register.as_ref()).await;
                    // The dispatcher is gone only when the scheduler stops.
                    drop(reports.send(Report { job, result }));
                });
            }
            Some((changes, fleet))
        }
        Err(error) => {
            tracing::warn!(%error, jobs = due.len(), "cannot read ledgers; asking again");
            put_off(due, env.now() + env.jittered(RETRY), locals, times);
            None
        }
    }
}

/// Looks at these jobs later.
fn put_off(jobs: &[usize], at: Moment, locals: &mut [Local], times: &mut [Moment]) {
    for job in jobs {
        locals[*job].state = State::Next(Next::Look(at));
        times[*job] = at;
    }
}

/// Has a job looked at, also if it is being looked at right now: maybe that is too early.
fn wake_at(at: Moment, job: usize, locals: &mut [Local], times: &mut [Moment]) {
    let local = &mut locals[job];
    match local.state {
        // What it would else be looked at for is looked at, too.
        State::Next(_) => {
            times[job] = times[job].min(at);
            local.state = State::Next(Next::Look(times[job]));
        }
        State::Busy => local.is_woken = true,
    }
}

/// Has the jobs looked at that people changed, by the nodes in the order of their rank.
fn wake_for(shared: &Shared, news: &News, locals: &mut [Local], times: &mut [Moment]) {
    let coord = &shared.coord;
    let hashes = match news {
        News::Nothing => return,
        News::Jobs(hashes) => Some(hashes),
        News::All => None,
    };
    for (job, entry) in shared.entries.iter().enumerate() {
        if hashes.is_some_and(|hashes| !hashes.contains(&hash_of(entry.id()))) {
            continue;
        }
        let nodes = shared.nodes_with(entry);
        // Any number that all of them know.
        let rank = rank(coord.node(), &nodes, entry.id(), 0);
        let after = delta(coord.round_trip()) * rank.min(MOST_RANKS);
        wake_at(coord.env().now() + after, job, locals, times);
    }
}

/// When to look at a job: at its next tick, later by its rank among the nodes that have it; and once a day in any case.
fn due_at(shared: &Shared, job: usize, local: &Local) -> Moment {
    let daily = local.looked + DAY;
    let (start_ms, by) = match local.state {
        State::Busy => return Moment::NEVER,
        State::Next(Next::Look(at)) => return at,
        State::Next(Next::Start(start, by)) => (start, by.map_or(daily, |by| by.min(daily))),
    };
    let Some(start_ms) = start_ms else {
        return by;
    };
    let (coord, entry) = (&shared.coord, &shared.entries[job]);
    let nodes = shared.nodes_with(entry);
    let rank = rank(coord.node(), &nodes, entry.id(), start_ms);
    // The instant first, then how far it is: "so long from now" would recede with every look.
    let after = delta(coord.round_trip()) * rank;
    let due_us = start_ms.saturating_mul(1000);
    let due_us = due_us.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    let left = Duration::from_micros(due_us.saturating_sub(coord.store_now().wall_us));
    by.min(coord.env().now() + left)
}

fn take_report(shared: &Shared, local: &mut Local, report: Report) {
    let env = shared.coord.env();
    let entry = &shared.entries[report.job];
    match report.result {
        Ok(seen) => {
            local.cursor = local.cursor.max(seen.cursor);
            local.state = State::Next(seen.next);
            shared.fleet.saw_tick(local.cursor);
        }
        Err(error) => {
            tracing::warn!(job = entry.job(), %error, "cannot look after a job; trying again");
            local.state = State::Next(Next::Look(env.now() + env.jittered(RETRY)));
        }
    }
}
