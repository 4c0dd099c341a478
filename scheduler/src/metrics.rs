//! The names of all metrics of this crate. The label `job` is bounded by the jobs that are registered.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const ENDED: &str = "leasehold_ticks_total";
const DELAY: &str = "leasehold_tick_delay_seconds";
const DURATION: &str = "leasehold_run_seconds";

pub(crate) fn describe() {
    describe_counter!(
        ENDED,
        Unit::Count,
        "Ticks this node ended, by job and outcome"
    );
    describe_histogram!(
        DELAY,
        Unit::Seconds,
        "Time from a tick's nominal time to its claim, by job"
    );
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "How long runs took, by job and outcome"
    );
}

pub(crate) fn claimed(job: &str, delay: Duration) {
    histogram!(DELAY, "job" => job.to_owned()).record(delay.as_secs_f64());
}

pub(crate) fn ended(job: &str, outcome: &'static str, took: Option<Duration>) {
    counter!(ENDED, "job" => job.to_owned(), "outcome" => outcome).increment(1);
    if let Some(took) = took {
        histogram!(DURATION, "job" => job.to_owned(), "outcome" => outcome)
            .record(took.as_secs_f64());
    }
}
