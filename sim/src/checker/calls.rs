//! Every call ends by its deadline, as it may end, and what stays in the queue is served.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Violation, one_holder_is_promised_until};
use crate::history::{Event, Fault, How, Id, What};

/// Timers have a grain of 1 ms, and a call a few of them.
const GRAIN: Duration = Duration::from_millis(5);

struct Call<'a> {
    node: Id,
    start: usize,
    since: Duration,
    within: Duration,
    must: bool,
    hold: Option<Id>,
    what: &'a str,
    resource: &'a str,
    /// How long its node stood still meanwhile.
    paused: Duration,
}

#[derive(Default)]
struct State<'a> {
    open: BTreeMap<Id, Call<'a>>,
    /// Nodes that stand still, and since when.
    paused: BTreeMap<Id, Duration>,
    stopped: Vec<Id>,
    /// What the guards said last.
    looks: BTreeMap<Id, bool>,
}

pub(super) fn check(history: &[Event]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut state = State::default();
    let until = one_holder_is_promised_until(history);
    for (at, event) in history.iter().enumerate() {
        match &event.what {
            What::Called {
                call,
                node,
                resource,
                hold,
                what,
                within,
                must,
            } => {
                let call_state = Call {
                    node: *node,
                    start: at,
                    since: event.at,
                    within: *within,
                    must: *must,
                    hold: *hold,
                    what,
                    resource,
                    paused: Duration::ZERO,
                };
                state.open.insert(*call, call_state);
            }
            What::Ended { call, how } => {
                let Some(ended) = state.open.remove(call) else {
                    continue;
                };
                state.in_time(*call, &ended, event.at, at, &mut violations);
                state.as_it_may(*call, &ended, how, at, at < until, &mut violations);
            }
            What::Looked { hold, held } => {
                state.looks.insert(*hold, *held);
            }
            What::Fault(fault) => state.fault(fault, event.at),
            _ => {}
        }
    }
    for (id, call) in state.open {
        let text = format!("call {id} ({} {}) never ended", call.what, call.resource);
        violations.push(Violation::new("every call ends", call.start, text));
    }
    violations
}

impl State<'_> {
    fn fault(&mut self, fault: &Fault, now: Duration) {
        match fault {
            Fault::Paused(node) => {
                self.paused.entry(*node).or_insert(now);
            }
            Fault::Resumed(node) => {
                if let Some(since) = self.paused.remove(node) {
                    for call in self.open.values_mut().filter(|call| call.node == *node) {
                        call.paused += now.saturating_sub(since.max(call.since));
                    }
                }
            }
            // Nobody waits for its answers any more.
            Fault::Killed(node) => self.open.retain(|_, call| call.node != *node),
            Fault::ShutDown(node) => self.stopped.push(*node),
            _ => {}
        }
    }

    fn in_time(&self, id: Id, call: &Call<'_>, now: Duration, at: usize, to: &mut Vec<Violation>) {
        let still = self.paused.get(&call.node).map_or(Duration::ZERO, |since| {
            now.saturating_sub((*since).max(call.since))
        });
        let took = now
            .saturating_sub(call.since)
            .saturating_sub(call.paused + still);
        if took > call.within + call.within / 100 + GRAIN {
            let text = format!(
                "call {id} ({} {}) took {took:?} of {:?}",
                call.what, call.resource, call.within
            );
            to.push(Violation::new("every call ends in time", at, text));
        }
    }

    fn as_it_may(
        &self,
        id: Id,
        call: &Call<'_>,
        how: &How,
        at: usize,
        is_lasting: bool,
        to: &mut Vec<Violation>,
    ) {
        let mut wrong = |rule, text: String| to.push(Violation::new(rule, at, text));
        let said = call.hold.and_then(|hold| self.looks.get(&hold));
        let what = format!("call {id} ({} {})", call.what, call.resource);
        match how {
            How::Unexpected(text) => wrong("calls end as they may", format!("{what}: {text}")),
            How::ShutDown if !self.stopped.contains(&call.node) => {
                wrong(
                    "calls end as they may",
                    format!("{what}: no one shut it down"),
                );
            }
            How::Done if said == Some(&false) => {
                let text = format!("{what} went well, and its guard had said lost");
                wrong("a release tells whether it was held", text);
            }
            How::Lost
                if said == Some(&true) && is_lasting && !self.stopped.contains(&call.node) =>
            {
                let text = format!("{what}: lost, and its guard had said held");
                wrong("a release tells whether it was held", text);
            }
            _ if call.must && *how != How::Done => {
                wrong("every waiter is served", format!("{what}: {how}"));
            }
            _ => {}
        }
    }
}
