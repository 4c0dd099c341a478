//! The dispatcher: knows what is due, and claims in the order that spreads the work.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Moment, RegisterHandle};
use leasehold_spec::Spec;
use tokio::sync::mpsc;

use crate::Error;
use crate::ledger::{Ledger, OUT_LIMIT, Plan, Running, plan};
use crate::rank::{delta, rank};
use crate::registers::{Stored, Swap};
use crate::run;
use crate::scheduler::{Entry, Shared};
use crate::{history, metrics};

/// Ledgers read in one request.
const BATCH: usize = 128;
/// Looks again at least this often, so that a stepped clock or a changed fleet is noticed.
const LOOK: Duration = Duration::from_secs(5);
/// A job is looked at, and its register written, at least this often: a yearly one's would expire else.
const DAY: Duration = Duration::from_secs(24 * 3600);
const DAY_US: u64 = 24 * 3600 * 1_000_000;
/// Looks again this soon while a tick that is caught up waits for the one before.
const TURN: Duration = Duration::from_millis(50);
/// Looks again this soon while the store's clock is not believed.
const HOLD: Duration = Duration::from_secs(1);
/// Looks again this soon after the store failed.
const RETRY: Duration = Duration::from_millis(500);

/// What this node knows of a job between two looks.
struct Local {
    /// The highest cursor seen.
    cursor: i64,
    /// When it was looked at.
    looked: Moment,
    state: State,
}

enum State {
    /// To be looked at again.
    Next(Next),
    /// Being looked at.
    Busy,
}

/// What a job waits for.
#[derive(Clone, Copy)]
enum Next {
    /// Its next tick, if there is one.
    Tick(Option<i64>),
    /// An instant, whatever is due.
    Look(Moment),
}

struct Report {
    job: usize,
    result: Result<Seen, Error>,
}

/// What a look found.
struct Seen {
    cursor: i64,
    next: Next,
}

/// Runs until the scheduler stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let env = shared.coord.env().clone();
    let (reports_in, mut reports) = mpsc::unbounded_channel::<Report>();
    let start = env.now();
    let mut locals: Vec<Local> = (shared.entries.iter())
        .map(|_| Local {
            cursor: i64::MIN,
            looked: start,
            state: State::Next(Next::Look(start)),
        })
        .collect();
    // When each is to be looked at; reckoned anew when it was looked at, and now and then.
    let mut times = vec![start; locals.len()];
    let mut reckoned = start;
    let looks = tokio_util::task::TaskTracker::new();
    while !shared.stop.is_cancelled() {
        let now = env.now();
        if now >= reckoned + LOOK {
            reckoned = now;
            for (job, local) in locals.iter().enumerate() {
                times[job] = due_at(&shared, job, local);
            }
        }
        let mut wake = reckoned + LOOK;
        let mut due = Vec::new();
        for (job, at) in times.iter().enumerate() {
            if *at <= now && due.len() < BATCH {
                due.push(job);
            } else {
                wake = wake.min(*at);
            }
        }
        if due.is_empty() {
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => break,
                Some(report) = reports.recv() => {
                    let (job, local) = (report.job, &mut locals[report.job]);
                    take_report(&shared, local, report);
                    times[job] = due_at(&shared, job, local);
                }
                () = env.sleep_until(wake) => {}
            }
            continue;
        }
        let registers: Vec<_> = (due.iter())
            .map(|job| shared.entries[*job].ledger.register.clone())
            .collect();
        match RegisterHandle::read(&registers).await {
            // The store's clock stepped: what is due by it may be hours away. It is believed again once it is back, or
            // steady for a while.
            Ok(_) if shared.coord.store_clock_departure().is_some() => {
                let at = env.now() + env.jittered(HOLD);
                for job in due {
                    locals[job].state = State::Next(Next::Look(at));
                    times[job] = at;
                }
            }
            Ok(read) => {
                for (job, register) in due.into_iter().zip(read.value) {
                    locals[job].state = State::Busy;
                    (locals[job].looked, times[job]) = (env.now(), Moment::NEVER);
                    let (shared, reports) = (Arc::clone(&shared), reports_in.clone());
                    let (cursor, now_us) = (locals[job].cursor, read.now.wall_us);
                    looks.spawn(async move {
                        let stored = shared.entries[job].ledger.decode(register.as_ref());
                        let result = match stored {
                            Ok(stored) => look(&shared, job, cursor, stored, now_us).await,
                            Err(error) => Err(error),
                        };
                        // The dispatcher is gone only when the scheduler stops.
                        drop(reports.send(Report { job, result }));
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, jobs = due.len(), "cannot read ledgers; asking again");
                let at = env.now() + env.jittered(RETRY);
                for job in due {
                    locals[job].state = State::Next(Next::Look(at));
                    times[job] = at;
                }
            }
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

/// When to look at a job: at its next tick, later by its rank among the nodes that have it; and once a day in any case.
fn due_at(shared: &Shared, job: usize, local: &Local) -> Moment {
    let daily = local.looked + DAY;
    let tick = match local.state {
        State::Busy => return Moment::NEVER,
        State::Next(Next::Look(at)) => return at,
        State::Next(Next::Tick(None)) => return daily,
        State::Next(Next::Tick(Some(tick))) => tick,
    };
    let (coord, entry) = (&shared.coord, &shared.entries[job]);
    let nodes = shared.nodes_with(entry);
    let rank = rank(coord.node(), &nodes, entry.id(), tick);
    // The instant first, then how far it is: "so long from now" would recede with every look.
    let after = delta(coord.round_trip()) * rank;
    let due_us = u64::try_from(tick).unwrap_or(0).saturating_mul(1_000_000);
    let due_us = due_us.saturating_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    let left = Duration::from_micros(due_us.saturating_sub(coord.store_now().wall_us));
    daily.min(coord.env().now() + left)
}

fn take_report(shared: &Shared, local: &mut Local, report: Report) {
    let env = shared.coord.env();
    let entry = &shared.entries[report.job];
    match report.result {
        Ok(seen) => {
            local.cursor = local.cursor.max(seen.cursor);
            local.state = State::Next(seen.next);
            let known = local.cursor.to_string();
            shared.coord.announce(&entry.tick_announcement(), known);
        }
        Err(error) => {
            tracing::warn!(job = entry.job(), %error, "cannot look after a job; trying again");
            local.state = State::Next(Next::Look(env.now() + env.jittered(RETRY)));
        }
    }
}

/// Looks at one job, and does what is to be done, until nothing is due.
async fn look(
    shared: &Arc<Shared>,
    job: usize,
    seen_cursor: i64,
    mut stored: Option<Stored>,
    read_us: u64,
) -> Result<Seen, Error> {
    let entry = &shared.entries[job];
    let env = shared.coord.env();
    let received = env.now();
    loop {
        // At least this late is it at the store: a claim before this one may have taken any time.
        let since = env.now().since(received);
        let now_us = read_us.saturating_add(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        let now_s = i64::try_from(now_us / 1_000_000).unwrap_or(i64::MAX);
        let Some(current) = stored else {
            let known = shared
                .known_tick(entry)
                .max((seen_cursor > i64::MIN).then_some(seen_cursor));
            let ledger = Ledger::new(entry.expression(), now_s, known);
            stored = settled(entry.ledger.swap(None, ledger).await?);
            continue;
        };
        if current.ledger.out.len() >= OUT_LIMIT {
            history::flush(&entry.ledger, current).await?;
            stored = entry.ledger.read().await?.value;
            continue;
        }
        let (version, before) = (current.version, current.ledger.clone());
        let mut ledger = current.ledger;
        if ledger.cursor < seen_cursor {
            ledger.lost_data(now_s.max(seen_cursor));
        }
        let own = entry.expression();
        if ledger.expression != own && !shared.is_announced(entry, &ledger.expression) {
            tracing::info!(
                job = entry.job(),
                from = ledger.expression,
                to = own,
                "schedule changed"
            );
            ledger.adopt(own, now_s);
        }
        let schedule = match Spec::from_words([("schedule", ledger.expression.as_str())]) {
            Ok(spec) => spec.schedule,
            Err(error) => {
                // Nodes of a newer version look after it; this one's own schedule waits until they are gone.
                tracing::warn!(job = entry.job(), %error, "the schedule in force is not known here");
                return Ok(Seen {
                    cursor: ledger.cursor,
                    next: Next::Look(env.now() + LOOK),
                });
            }
        };
        let Some(schedule) = schedule else {
            if ledger == before && version.saturating_add(DAY_US) > now_us {
                return Ok(Seen {
                    cursor: ledger.cursor,
                    next: Next::Tick(None),
                });
            }
            stored = settled(entry.ledger.swap(Some(version), ledger).await?);
            continue;
        };
        let due = schedule
            .next_after(ledger.cursor)
            .is_some_and(|tick| tick <= now_s);
        if due && !ledger.running.is_empty() {
            run::reap(shared, &mut ledger).await?;
        }
        let grace_us = u64::try_from(shared.grace.as_micros()).unwrap_or(u64::MAX);
        match plan(&mut ledger, &schedule, now_us, grace_us) {
            Plan::Claim(tick) => {
                if shared.stop.is_cancelled() {
                    return Ok(Seen {
                        cursor: before.cursor,
                        next: Next::Tick(Some(tick)),
                    });
                }
                stored = claim(shared, job, tick, version, ledger).await?;
            }
            // Versions are the store's time of writing: a register that nobody writes expires, and with it the cursor.
            Plan::Wait(next) if ledger == before && version.saturating_add(DAY_US) > now_us => {
                return Ok(Seen {
                    cursor: ledger.cursor,
                    next: Next::Tick(next),
                });
            }
            Plan::Later(_) if ledger == before => {
                return Ok(Seen {
                    cursor: ledger.cursor,
                    next: Next::Look(env.now() + TURN),
                });
            }
            Plan::Wait(_) | Plan::Later(_) | Plan::Write => {
                record_ends(entry, &before, &ledger);
                stored = settled(entry.ledger.swap(Some(version), ledger).await?);
            }
        }
    }
}

fn settled(swap: Swap) -> Option<Stored> {
    match swap {
        Swap::Done(stored) => Some(stored),
        Swap::Moved { current, .. } => current,
    }
}

/// Counts the ticks that this look disposes of.
fn record_ends(entry: &Entry, before: &Ledger, after: &Ledger) {
    for record in after
        .out
        .iter()
        .filter(|record| !before.out.contains(record))
    {
        metrics::ended(entry.job(), record.outcome.as_str(), None);
        tracing::warn!(
            job = entry.job(), start = record.start, end = record.end, outcome = %record.outcome,
            "ticks did not run"
        );
    }
}

/// Claims a tick: first the run's lease, whose fence goes into the entry; then one compare-and-set.
async fn claim(
    shared: &Arc<Shared>,
    job: usize,
    tick: i64,
    version: u64,
    mut ledger: Ledger,
) -> Result<Option<Stored>, Error> {
    let (coord, entry) = (&shared.coord, &shared.entries[job]);
    if ledger.term == 0
        && let Some(leader) = shared.election.leader().await?
    {
        ledger.term = leader.term.get();
    }
    let lease = run::lease(shared, entry, tick, ledger.last_fence).await?;
    let delay = run::lateness(shared, tick);
    let fence = lease.guard.fence().get();
    let running = Running {
        tick,
        attempt: 1,
        node: coord.node(),
        fence,
        lease: lease.id,
        delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
    };
    ledger.claim(running.clone());
    let (mine, current) = match entry.ledger.swap(Some(version), ledger).await? {
        Swap::Done(stored) => (true, Some(stored)),
        Swap::Moved { current, .. } => {
            // Maybe an earlier copy of this write moved it. It is ours only if this very claim is in it.
            let mine = (current.as_ref())
                .is_some_and(|stored| stored.ledger.has_claim(coord.node(), fence));
            (mine, current)
        }
    };
    if let (true, Some(stored)) = (mine, &current) {
        metrics::claimed(entry.job(), delay);
        run::start(shared, job, running, lease.guard, stored.clone());
    }
    // A claim that failed drops its lease here, which releases it.
    Ok(current)
}
