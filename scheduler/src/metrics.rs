//! The names of all metrics of this crate. The label `job` is bounded by the jobs that are registered.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const ENDED: &str = "leasehold_ticks_total";
const DELAY: &str = "leasehold_tick_delay_seconds";
const DURATION: &str = "leasehold_run_seconds";
const OVERDUE: &str = "leasehold_job_overdue_seconds";
const AWAY: &str = "leasehold_scheduler_store_away_seconds";

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
    describe_gauge!(
        OVERDUE,
        Unit::Seconds,
        "For how long a job's last success has been older than it should be, by job; 0 if it is not"
    );
    describe_gauge!(
        AWAY,
        Unit::Seconds,
        "For how long this node could not read what is due: no tick starts here meanwhile"
    );
}

/// Tells how long a job is overdue; zero if it is not.
pub(crate) fn overdue(job: &str, by: Duration) {
    gauge!(OVERDUE, "job" => job.to_owned()).set(by.as_secs_f64());
}

/// Tells for how long no ledger could be read; zero if they can be.
pub(crate) fn store_away(since: Duration) {
    gauge!(AWAY).set(since.as_secs_f64());
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
