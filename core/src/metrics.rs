//! The names of all metrics of this crate. Labels are classes, modes, outcomes and causes: bounded sets, never a raw name.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Key, Label, Level, Metadata, Unit, counter, describe_counter,
    describe_gauge, describe_histogram, gauge, with_recorder,
};

use crate::client::Mode;
use crate::error::Error;
use crate::name::ResourceName;

const ACQUISITIONS: &str = "leasehold_acquisitions_total";
const WAIT: &str = "leasehold_acquire_seconds";
const LOST: &str = "leasehold_lost_total";
const HOLD: &str = "leasehold_hold_seconds";
const HELD: &str = "leasehold_held";
const WAITING: &str = "leasehold_local_waiters";
const LOCAL_TURNS: &str = "leasehold_local_turns_total";
const CLOCK: &str = "leasehold_store_clock_departure_seconds";
const PERMITS_IN_USE: &str = "leasehold_permits_in_use";
const PERMITS_WAITING: &str = "leasehold_permits_waiting";
const PERMITS_LOST: &str = "leasehold_permits_lost_total";
const RENEWALS: &str = "leasehold_renewals_total";
const REQUESTS: &str = "leasehold_store_request_seconds";

/// Tells the recorder what the metrics mean. Called by every `connect`; harmless to repeat.
pub(crate) fn describe() {
    describe_counter!(
        ACQUISITIONS,
        Unit::Count,
        "Acquires that ended, by class, mode and outcome"
    );
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "Time from the call to its end, by class, mode and outcome"
    );
    describe_counter!(
        LOST,
        Unit::Count,
        "Leases lost while held, by class, mode and cause"
    );
    describe_histogram!(
        HOLD,
        Unit::Seconds,
        "For how long guards were held, by class and mode"
    );
    describe_gauge!(
        HELD,
        Unit::Count,
        "Guards that are held now, by class and mode"
    );
    describe_gauge!(
        WAITING,
        Unit::Count,
        "Tasks that wait behind another one of this client, by class and mode"
    );
    describe_counter!(
        LOCAL_TURNS,
        Unit::Count,
        "Turns that were handed on within this client, without store traffic, by class and mode"
    );
    describe_gauge!(
        CLOCK,
        Unit::Seconds,
        "How far the store's clock is ahead of its course; 0 while it is on it"
    );
    describe_gauge!(
        PERMITS_IN_USE,
        Unit::Count,
        "Permits of semaphores that guards of this client have, by class"
    );
    describe_gauge!(
        PERMITS_WAITING,
        Unit::Count,
        "Permits that tasks of this client wait for, by class"
    );
    describe_counter!(
        PERMITS_LOST,
        Unit::Count,
        "Permits lost while held, by class and cause"
    );
    describe_counter!(RENEWALS, Unit::Count, "Renewals, by outcome");
    describe_histogram!(
        REQUESTS,
        Unit::Seconds,
        "Round trips to the store, by outcome"
    );
}

/// How an acquire ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acquired,
    Busy,
    Unavailable,
    Refused,
}

impl Outcome {
    const ALL: [(Self, &str); 4] = [
        (Self::Acquired, "acquired"),
        (Self::Busy, "busy"),
        (Self::Unavailable, "unavailable"),
        (Self::Refused, "refused"),
    ];

    pub(crate) fn of<T>(result: &Result<T, Error>) -> Self {
        match result {
            Ok(_) => Self::Acquired,
            Err(Error::Busy(_)) => Self::Busy,
            Err(Error::Unavailable { .. }) => Self::Unavailable,
            Err(_) => Self::Refused,
        }
    }
}

/// The keys of a class's metrics in one mode, made once: each is several allocations, and a lock touches seven of them. What they
/// stand for is looked up at each use, since a recorder may be installed late, or for one thread.
pub(crate) struct ClassKeys {
    acquisitions: [Key; 4],
    wait: [Key; 4],
    hold: Key,
    held: Key,
    waiting: Key,
    local_turns: Key,
}

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

fn counted(key: &Key) -> Counter {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA))
}

fn gauged(key: &Key) -> Gauge {
    with_recorder(|recorder| recorder.register_gauge(key, &METADATA))
}

fn measured(key: &Key) -> Histogram {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA))
}

impl ClassKeys {
    pub(crate) fn of(class: &str, mode: Mode) -> Self {
        let labels = || {
            vec![
                Label::new("class", class.to_owned()),
                Label::new("mode", mode.as_str()),
            ]
        };
        let by_class = |name| Key::from_parts(name, labels());
        let by_outcome = |name| {
            Outcome::ALL.map(|(_, word)| {
                let mut labels = labels();
                labels.push(Label::new("outcome", word));
                Key::from_parts(name, labels)
            })
        };
        Self {
            acquisitions: by_outcome(ACQUISITIONS),
            wait: by_outcome(WAIT),
            hold: by_class(HOLD),
            held: by_class(HELD),
            waiting: by_class(WAITING),
            local_turns: by_class(LOCAL_TURNS),
        }
    }

    pub(crate) fn acquired(&self, outcome: Outcome, took: Duration) {
        let i = outcome as usize;
        counted(&self.acquisitions[i]).increment(1);
        measured(&self.wait[i]).record(took.as_secs_f64());
    }

    pub(crate) fn held(&self, by: f64) {
        gauged(&self.held).increment(by);
    }

    pub(crate) fn hold_ended(&self, held: Duration) {
        measured(&self.hold).record(held.as_secs_f64());
    }

    pub(crate) fn waiting(&self, by: f64) {
        gauged(&self.waiting).increment(by);
    }

    pub(crate) fn local_turn(&self) {
        counted(&self.local_turns).increment(1);
    }
}

pub(crate) fn lost(class: &str, mode: Mode, cause: &'static str) {
    let mode = mode.as_str();
    counter!(LOST, "class" => class.to_owned(), "mode" => mode, "cause" => cause).increment(1);
}

pub(crate) fn permits_in_use(name: &ResourceName, by: f64) {
    gauge!(PERMITS_IN_USE, "class" => name.class().to_owned()).increment(by);
}

pub(crate) fn permits_waiting(name: &ResourceName, by: f64) {
    gauge!(PERMITS_WAITING, "class" => name.class().to_owned()).increment(by);
}

pub(crate) fn permits_lost(class: &str, permits: u32, cause: &'static str) {
    counter!(PERMITS_LOST, "class" => class.to_owned(), "cause" => cause)
        .increment(u64::from(permits));
}

pub(crate) fn clock_departed(by_seconds: f64) {
    gauge!(CLOCK).set(by_seconds);
}

/// What became of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    Renewed,
    Revoked,
    NotHeld,
    Unknown,
}

pub(crate) fn renewed(outcome: Renewal) {
    static OUTCOMES: [[Label; 1]; 4] = [
        [Label::from_static_parts("outcome", "renewed")],
        [Label::from_static_parts("outcome", "revoked")],
        [Label::from_static_parts("outcome", "not_held")],
        [Label::from_static_parts("outcome", "unknown")],
    ];
    static KEYS: [Key; 4] = [
        Key::from_static_parts(RENEWALS, &OUTCOMES[0]),
        Key::from_static_parts(RENEWALS, &OUTCOMES[1]),
        Key::from_static_parts(RENEWALS, &OUTCOMES[2]),
        Key::from_static_parts(RENEWALS, &OUTCOMES[3]),
    ];
    counted(&KEYS[outcome as usize]).increment(1);
}

/// `answered`: yes or no, in time.
pub(crate) fn requested(answered: bool, took: Duration) {
    static OUTCOMES: [[Label; 1]; 2] = [
        [Label::from_static_parts("outcome", "error")],
        [Label::from_static_parts("outcome", "ok")],
    ];
    static KEYS: [Key; 2] = [
        Key::from_static_parts(REQUESTS, &OUTCOMES[0]),
        Key::from_static_parts(REQUESTS, &OUTCOMES[1]),
    ];
    measured(&KEYS[usize::from(answered)]).record(took.as_secs_f64());
}
