//! The names of all metrics of this crate. The label `class` is bounded by the limiters of the program; a key never is one.

use std::time::Duration;

use metrics::{
    Key, Label, Level, Metadata, Unit, describe_counter, describe_gauge, describe_histogram,
    with_recorder,
};

use crate::Source;

const ALLOWED: &str = "leasehold_limit_allowed_units_total";
const DENIED: &str = "leasehold_limit_denied_total";
const UNAVAILABLE: &str = "leasehold_limit_unavailable_total";
const WAIT: &str = "leasehold_limit_wait_seconds";
const SHARES: &str = "leasehold_limit_share_units_total";
const OVERSHOOT: &str = "leasehold_limit_overshoot_units";
const BREAKER: &str = "leasehold_limit_breaker";

/// Tells the recorder what the metrics mean. Called for every limiter that is built; harmless to repeat.
pub(crate) fn describe() {
    describe_counter!(
        ALLOWED,
        Unit::Count,
        "Units that passed, by class and source (store, share, outage)"
    );
    describe_counter!(
        DENIED,
        Unit::Count,
        "Requests that were refused, by class and source; they were charged nothing"
    );
    describe_counter!(
        UNAVAILABLE,
        Unit::Count,
        "Requests that nobody could decide, by class"
    );
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "How long those waited who waited in turn, by class"
    );
    describe_counter!(
        SHARES,
        Unit::Count,
        "Units of local shares, by class and what became of them (taken, used, wasted)"
    );
    describe_gauge!(
        OVERSHOOT,
        Unit::Count,
        "How many units beyond the bound without overshoot the fleet could have let pass when a share was last taken, by class"
    );
    describe_gauge!(
        BREAKER,
        Unit::Count,
        "Whether the store is asked, by class: 0 it is, 1 it is being looked at, 2 it is not"
    );
}

const METADATA: Metadata<'static> =
    Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// The keys of a limiter's metrics, made once. What they stand for is looked up at each use, since a recorder may be installed
/// late, or for one thread.
#[derive(Debug)]
pub(crate) struct Keys {
    allowed: [Key; 3],
    denied: [Key; 3],
    unavailable: Key,
    wait: Key,
    shares: [Key; 3],
    overshoot: Key,
    breaker: Key,
}

/// What became of a share's units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    Taken,
    Used,
    Wasted,
}

/// Whether the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Looking,
    Open,
}

const SOURCES: [&str; 3] = ["store", "share", "outage"];

fn place(source: Source) -> usize {
    match source {
        Source::Store => 0,
        Source::Share => 1,
        Source::Outage => 2,
    }
}

impl Keys {
    pub(crate) fn of(class: &str) -> Self {
        let class = || Label::new("class", class.to_owned());
        let plain = |name| Key::from_parts(name, vec![class()]);
        let by = |name, label, words: [&'static str; 3]| {
            words.map(|word| Key::from_parts(name, vec![class(), Label::new(label, word)]))
        };
        Self {
            allowed: by(ALLOWED, "source", SOURCES),
            denied: by(DENIED, "source", SOURCES),
            unavailable: plain(UNAVAILABLE),
            wait: plain(WAIT),
            shares: by(SHARES, "what", ["taken", "used", "wasted"]),
            overshoot: plain(OVERSHOOT),
            breaker: plain(BREAKER),
        }
    }

    pub(crate) fn allowed(&self, source: Source, units: u64) {
        count(&self.allowed[place(source)], units);
    }

    pub(crate) fn denied(&self, source: Source) {
        count(&self.denied[place(source)], 1);
    }

    pub(crate) fn unavailable(&self) {
        count(&self.unavailable, 1);
    }

    pub(crate) fn waited(&self, time: Duration) {
        let wait = with_recorder(|recorder| recorder.register_histogram(&self.wait, &METADATA));
        wait.record(time.as_secs_f64());
    }

    pub(crate) fn shared(&self, what: Shared, units: u64) {
        count(&self.shares[what as usize], units);
    }

    #[allow(clippy::cast_precision_loss, reason = "a number to be looked at")]
    pub(crate) fn overshoot(&self, units: u64) {
        set(&self.overshoot, units as f64);
    }

    pub(crate) fn breaker(&self, state: State) {
        let value = match state {
            State::Closed => 0.0,
            State::Looking => 1.0,
            State::Open => 2.0,
        };
        set(&self.breaker, value);
    }
}

fn count(key: &Key, by: u64) {
    if by > 0 {
        with_recorder(|recorder| recorder.register_counter(key, &METADATA)).increment(by);
    }
}

fn set(key: &Key, value: f64) {
    with_recorder(|recorder| recorder.register_gauge(key, &METADATA)).set(value);
}
