//! The names of all metrics of this crate. Labels are classes, outcomes and causes: bounded sets, never a raw name.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const ACQUISITIONS: &str = "leasehold_acquisitions_total";
const WAIT: &str = "leasehold_acquire_seconds";
const LOST: &str = "leasehold_lost_total";
const HOLD: &str = "leasehold_hold_seconds";
const HELD: &str = "leasehold_held";
const WAITING: &str = "leasehold_local_waiters";
const LOCAL_TURNS: &str = "leasehold_local_turns_total";
const CLOCK: &str = "leasehold_store_clock_departure_seconds";
const RENEWALS: &str = "leasehold_renewals_total";
const REQUESTS: &str = "leasehold_store_request_seconds";

/// Tells the recorder what the metrics mean. Called by every `connect`; harmless to repeat.
pub(crate) fn describe() {
    describe_counter!(
        ACQUISITIONS,
        Unit::Count,
        "Acquires that ended, by class and outcome"
    );
    describe_histogram!(
        WAIT,
        Unit::Seconds,
        "Time from the call to its end, by class and outcome"
    );
    describe_counter!(
        LOST,
        Unit::Count,
        "Leases lost while held, by class and cause"
    );
    describe_histogram!(
        HOLD,
        Unit::Seconds,
        "For how long guards were held, by class"
    );
    describe_gauge!(HELD, Unit::Count, "Guards that are held now, by class");
    describe_gauge!(
        WAITING,
        Unit::Count,
        "Tasks that wait behind another one of this client, by class"
    );
    describe_counter!(
        LOCAL_TURNS,
        Unit::Count,
        "Turns that were handed on within this client, without store traffic, by class"
    );
    describe_gauge!(
        CLOCK,
        Unit::Seconds,
        "How far the store's clock is ahead of its course; 0 while it is on it"
    );
    describe_counter!(RENEWALS, Unit::Count, "Renewals, by outcome");
    describe_histogram!(
        REQUESTS,
        Unit::Seconds,
        "Round trips to the store, by outcome"
    );
}

pub(crate) fn acquired(class: &str, outcome: &'static str, took: Duration) {
    counter!(ACQUISITIONS, "class" => class.to_owned(), "outcome" => outcome).increment(1);
    histogram!(WAIT, "class" => class.to_owned(), "outcome" => outcome).record(took.as_secs_f64());
}

pub(crate) fn lost(class: &str, cause: &'static str) {
    counter!(LOST, "class" => class.to_owned(), "cause" => cause).increment(1);
}

pub(crate) fn held(class: &str, by: f64) {
    gauge!(HELD, "class" => class.to_owned()).increment(by);
}

pub(crate) fn hold_ended(class: &str, held: Duration) {
    histogram!(HOLD, "class" => class.to_owned()).record(held.as_secs_f64());
}

pub(crate) fn waiting(class: &str, by: f64) {
    gauge!(WAITING, "class" => class.to_owned()).increment(by);
}

pub(crate) fn local_turn(class: &str) {
    counter!(LOCAL_TURNS, "class" => class.to_owned()).increment(1);
}

pub(crate) fn clock_departed(by_seconds: f64) {
    gauge!(CLOCK).set(by_seconds);
}

pub(crate) fn renewed(outcome: &'static str) {
    counter!(RENEWALS, "outcome" => outcome).increment(1);
}

pub(crate) fn requested(outcome: &'static str, took: Duration) {
    histogram!(REQUESTS, "outcome" => outcome).record(took.as_secs_f64());
}
