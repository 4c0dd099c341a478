//! What a history says, in the order in which it is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_scheduler::{Overlap, Spec, Via};

use crate::schedules::clocks::Course;
use crate::schedules::history::{
    Entry, Fault, History, How, Id, JobPlan, Record, Seen, What, Words,
};

/// From an instant to another one, which may not have come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Span {
    pub(super) fn since(from: Duration) -> Self {
        let to = Duration::MAX;
        Self { from, to }
    }

    /// Whether they have an instant in common.
    pub(super) fn meets(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }

    pub(super) fn holds(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}

/// A node's life.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) release: usize,
    /// From its start to its end or the word to stop.
    pub(super) serves: Span,
    /// When it was killed.
    pub(super) killed: Option<Duration>,
    pub(super) frozen: Vec<Span>,
    pub(super) cut: Vec<Span>,
}

/// A body.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// Its start, as an event.
    pub(super) event: usize,
    pub(super) node: Id,
    pub(super) job: usize,
    pub(super) tick: i64,
    pub(super) attempt: u32,
    pub(super) via: Via,
    pub(super) run: &'a str,
    pub(super) fence: u64,
    pub(super) held: bool,
    pub(super) started: Duration,
    pub(super) ended: Option<(Duration, How)>,
}

/// A state of a job's ledger.
#[derive(Debug)]
pub(super) struct State<'a> {
    /// The write, as an event.
    pub(super) event: usize,
    pub(super) at: Duration,
    pub(super) seen: &'a Seen,
}

/// What is known of a job.
pub(super) struct JobFacts<'a> {
    pub(super) plan: &'a JobPlan,
    pub(super) states: Vec<State<'a>>,
    /// As read at the end, and where it was.
    pub(super) records: &'a [Record],
    pub(super) recorded: usize,
    pub(super) periods: Vec<Period>,
}

/// A while in which one specification of a job was in force.
pub(super) struct Period {
    pub(super) spec: Spec,
    /// Its ticks are those above this,
    pub(super) after: i64,
    /// and up to this.
    pub(super) until: i64,
}

/// All of it.
pub(super) struct Facts<'a> {
    pub(super) history: &'a History,
    pub(super) course: Course,
    pub(super) lives: BTreeMap<Id, Life>,
    pub(super) bodies: Vec<Body<'a>>,
    pub(super) jobs: Vec<JobFacts<'a>>,
    /// When requests got lost, or nothing passed.
    pub(super) disturbed: Vec<Span>,
    /// When the store's clocks stepped, or it lost its data.
    pub(super) stepped: Vec<Duration>,
    pub(super) forgot: Vec<Duration>,
    /// When leases ended otherwise than they should: of which run, or of all.
    pub(super) revoked: Vec<(Duration, Option<u64>)>,
    /// When leases of runs were granted first.
    pub(super) leased: BTreeMap<&'a str, Duration>,
    /// When leases of runs were given back, and which.
    pub(super) released: Vec<(Duration, &'a str)>,
    /// Triggers that were taken: the event, when, of which job, and their ids.
    pub(super) triggered: Vec<(usize, Duration, usize, String)>,
    pub(super) settled: Duration,
    pub(super) closing: Duration,
}

impl<'a> Facts<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut facts = Self {
            history,
            course: Course::of(history),
            lives: BTreeMap::new(),
            bodies: Vec::new(),
            jobs: Vec::new(),
            disturbed: Vec::new(),
            stepped: Vec::new(),
            forgot: Vec::new(),
            revoked: Vec::new(),
            leased: BTreeMap::new(),
            released: Vec::new(),
            triggered: Vec::new(),
            settled: Duration::MAX,
            closing: Duration::MAX,
        };
        let of_job = |plan| JobFacts {
            plan,
            states: Vec::new(),
            records: &[],
            recorded: history.events.len(),
            periods: Vec::new(),
        };
        facts.jobs = history.setting.jobs.iter().map(of_job).collect();
        let mut at_of = BTreeMap::new();
        for (at, event) in history.events.iter().enumerate() {
            facts.take(at, event.at, &event.what, &mut at_of);
        }
        for job in &mut facts.jobs {
            job.periods = periods(&job.states);
        }
        facts
    }

    fn take(
        &mut self,
        event: usize,
        at: Duration,
        what: &'a What,
        at_of: &mut BTreeMap<Id, usize>,
    ) {
        match what {
            What::Joined { node, release } => {
                let life = Life {
                    release: *release,
                    serves: Span::since(at),
                    killed: None,
                    frozen: Vec::new(),
                    cut: Vec::new(),
                };
                self.lives.insert(*node, life);
            }
            What::Stopping { node } => self.ends(*node, at),
            What::Started {
                body,
                node,
                job,
                tick,
                attempt,
                via,
                run,
                fence,
                held,
            } => {
                at_of.insert(*body, self.bodies.len());
                self.bodies.push(Body {
                    event,
                    node: *node,
                    job: *job,
                    tick: *tick,
                    attempt: *attempt,
                    via: *via,
                    run,
                    fence: *fence,
                    held: *held,
                    started: at,
                    ended: None,
                });
            }
            What::Ended { body, how } => {
                if let Some(body) = at_of.get(body).and_then(|at| self.bodies.get_mut(*at)) {
                    body.ended = Some((at, *how));
                }
            }
            What::Wrote { job, ledger } => self.jobs[*job].states.push(State {
                event,
                at,
                seen: ledger,
            }),
            What::Recorded { job, records } => {
                self.jobs[*job].records = records;
                self.jobs[*job].recorded = event;
            }
            What::Settled => self.settled = at,
            What::Closing => self.closing = at,
            What::Fault(fault) => self.fault(fault, at),
            What::Triggered { job, id } => self.triggered.push((event, at, *job, id.clone())),
            What::Leased { lease } => {
                self.leased.entry(lease).or_insert(at);
            }
            What::Released { lease } => self.released.push((at, lease)),
            What::Gone { .. } | What::Broke { .. } => {}
        }
    }

    fn ends(&mut self, node: Id, at: Duration) {
        if let Some(life) = self.lives.get_mut(&node) {
            life.serves.to = life.serves.to.min(at);
        }
    }

    fn fault(&mut self, fault: &Fault, at: Duration) {
        match fault {
            Fault::Paused(node) => {
                if let Some(life) = self.lives.get_mut(node) {
                    life.frozen.push(Span::since(at));
                }
            }
            Fault::Resumed(node) => {
                if let Some(life) = self.lives.get_mut(node) {
                    close(&mut life.frozen, at);
                }
            }
            Fault::Cut(node) => {
                if let Some(life) = self.lives.get_mut(node) {
                    life.cut.push(Span::since(at));
                }
            }
            Fault::Healed(node) => {
                if let Some(life) = self.lives.get_mut(node) {
                    close(&mut life.cut, at);
                }
            }
            Fault::Killed(node) => {
                self.ends(*node, at);
                if let Some(life) = self.lives.get_mut(node) {
                    life.killed = Some(at);
                }
            }
            Fault::Disturbed(_) => {
                if self.disturbed.last().is_none_or(|last| last.to < at) {
                    self.disturbed.push(Span::since(at));
                }
            }
            Fault::Calm => close(&mut self.disturbed, at),
            Fault::WallClock(_) => self.stepped.push(at),
            Fault::LeaseClock(_) => self.revoked.push((at, None)),
            Fault::DataLost => {
                self.stepped.push(at);
                self.forgot.push(at);
                self.revoked.push((at, None));
            }
            Fault::LeaseDeleted(fence) => self.revoked.push((at, Some(*fence))),
            Fault::Other(_) => {}
        }
    }

    /// Whether the store lost data in that while.
    pub(super) fn forgot_in(&self, span: Span) -> bool {
        self.forgot
            .iter()
            .any(|at| span.from <= *at && *at <= span.to)
    }

    /// Whether the lease of that run may have ended before its time in that while.
    pub(super) fn revoked_in(&self, span: Span, fence: u64) -> bool {
        self.revoked
            .iter()
            .any(|(at, of)| span.from <= *at && *at <= span.to && of.is_none_or(|of| of == fence))
    }

    /// Whether a node stood still at some instant of that while.
    pub(super) fn frozen_in(&self, node: Id, span: Span) -> bool {
        let life = self.lives.get(&node);
        life.is_some_and(|life| life.frozen.iter().any(|frozen| frozen.meets(span)))
    }

    /// Whether a node served in all that time, running and connected, and nothing was in the way of anybody.
    pub(super) fn is_able(&self, life: &Life, time: Span) -> bool {
        let mut away = life.frozen.iter().chain(&life.cut).chain(&self.disturbed);
        life.serves.holds(time) && away.all(|span| !span.meets(time))
    }

    /// Whether a node that has the job was there from some time before the end on, to the end.
    pub(super) fn is_served(&self, job: &JobFacts<'_>) -> bool {
        self.lives.values().any(|life| {
            let has = job.plan.releases.get(life.release);
            let whole = Span {
                from: self.settled,
                to: self.closing,
            };
            has.is_some_and(Option::is_some) && life.serves.holds(whole)
        })
    }

    /// Whether such a run is under way at the end, and nobody is there who could tell what became of it.
    pub(super) fn is_open(&self, job: &JobFacts<'_>, is_it: impl Fn(&Entry) -> bool) -> bool {
        let last = job.states.last();
        last.is_some_and(|state| state.seen.running.iter().any(is_it)) && !self.is_served(job)
    }

    /// When a body's run was claimed: the store may forget that before it starts.
    pub(super) fn claimed(&self, body: &Body<'_>) -> Duration {
        let is_it = |run: &Entry| (run.tick, run.fence) == (body.tick, body.fence);
        let mut states = self.jobs[body.job].states.iter();
        let claim = states.find(|state| state.seen.running.iter().any(is_it));
        claim.map_or(body.started, |state| state.at.min(body.started))
    }

    /// How many runs of a body's job might be under way when it started, by what was in force since it was claimed.
    pub(super) fn most_runs(&self, body: &Body<'_>) -> usize {
        let (job, claimed) = (&self.jobs[body.job], self.claimed(body));
        let since = |state: &&State<'_>| claimed <= state.at && state.event <= body.event;
        let states = job.states.iter().filter(since);
        let most = states.map(|state| job.most_runs(state.event)).max();
        most.unwrap_or_else(|| job.most_runs(body.event))
    }

    /// The write after which a tick could not be claimed any more: what a report is to show.
    pub(super) fn near(&self, job: usize, tick: i64) -> usize {
        let job = &self.jobs[job];
        let beyond = job.states.iter().find(|state| state.seen.cursor >= tick);
        beyond.map_or(job.recorded, |state| state.event)
    }
}

fn close(spans: &mut [Span], at: Duration) {
    if let Some(last) = spans.last_mut() {
        last.to = last.to.min(at);
    }
}

/// Which specification was in force for which ticks.
fn periods(states: &[State<'_>]) -> Vec<Period> {
    let mut periods: Vec<Period> = Vec::new();
    let mut known: Option<&Words> = None;
    for State { seen, .. } in states {
        // What was due by the old one is disposed of with the change.
        if let Some(last) = periods.last_mut() {
            last.until = last.until.max(seen.cursor);
        }
        if known != Some(&seen.spec)
            && let Some(spec) = spec_of(&seen.spec)
        {
            known = Some(&seen.spec);
            periods.push(Period {
                spec,
                after: seen.cursor,
                until: seen.cursor,
            });
        }
    }
    periods
}

/// What a specification's words say.
pub(super) fn spec_of(words: &Words) -> Option<Spec> {
    let words = words.iter().map(|(word, said)| (&**word, &**said));
    Spec::from_words(words).ok()
}

impl Period {
    /// Its ticks, from the first one on.
    pub(super) fn ticks(&self) -> impl Iterator<Item = i64> {
        self.ticks_in(self.after, self.until)
    }

    /// The ticks of its schedule after one second and up to another.
    pub(super) fn ticks_in(&self, after: i64, until: i64) -> impl Iterator<Item = i64> {
        let next = |tick: i64| self.spec.schedule.as_ref()?.next_after(tick);
        std::iter::successors(next(after), move |tick| next(*tick))
            .take_while(move |tick| *tick <= until)
    }
}

impl JobFacts<'_> {
    /// How many runs of the job may be under way at a time, by what was in force at an event.
    fn most_runs(&self, event: usize) -> usize {
        let before = self.states.iter().rev().find(|state| state.event <= event);
        let spec = before.and_then(|state| spec_of(&state.seen.spec));
        match spec.map(|spec| spec.overlap) {
            Some(Overlap::Allow { cap }) => cap as usize,
            _ => 1,
        }
    }

    /// Whether a run of the job was under way, or waited for its turn or another attempt, in that while.
    pub(super) fn is_busy_in(&self, span: Span) -> bool {
        self.states.iter().enumerate().any(|(at, state)| {
            let next = self.states.get(at + 1);
            let lasts = Span {
                from: state.at,
                to: next.map_or(Duration::MAX, |next| next.at),
            };
            let is_busy = !state.seen.running.is_empty()
                || !state.seen.pending.is_empty()
                || state.seen.paused;
            is_busy && lasts.meets(span)
        })
    }
}
