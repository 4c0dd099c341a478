//! The names of all metrics of this crate. Labels are classes, outcomes and causes: bounded sets, never a raw name.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const ACQUISITIONS: &str = "leasehold_acquisitions_total";
const WAIT: &str = "leasehold_acquire_seconds";
const LOST: &str = "leasehold_lost_total";
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

pub(crate) fn renewed(outcome: &'static str) {
    counter!(RENEWALS, "outcome" => outcome).increment(1);
}

pub(crate) fn requested(outcome: &'static str, took: Duration) {
    histogram!(REQUESTS, "outcome" => outcome).record(took.as_secs_f64());
}
