//! Every form in which `#[singleton_job]` may be written, and what the job then says. No form brings a warning.

#![deny(warnings, missing_docs, missing_debug_implementations, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::unused_async, reason = "a job is async, whatever it does")]

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_scheduler::{
    BoxError, Dst, Job, JobContext, Misfire, OnCrash, Overlap, State, jobs, singleton_job,
};

#[derive(Debug, Clone)]
struct Db;

#[singleton_job(
    "0 2 * * *",
    tz = "Europe/Berlin",
    dst = "skip",
    misfire = "run_once",
    overlap = "queue_one",
    jitter = "30s",
    timeout = "10m",
    retries = 3,
    backoff = "1m 30s",
    on_crash = "retry",
    only_on = "gpu, eu",
    name = "everything",
    aliases = ["newer", "older"],
    crate = leasehold_scheduler,
)]
async fn everything(State(_db): State<Db>, _ctx: JobContext) -> Result<(), BoxError> {
    Ok(())
}

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn no_argument() {}

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn the_context(ctx: JobContext) {
    let _ = ctx;
}

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn states(State(_): State<Db>, _: State<Vec<u8>>, _: JobContext) -> Result<(), String> {
    Ok(())
}

#[singleton_job("-", crate = leasehold_scheduler)]
async fn off() -> std::io::Result<()> {
    Ok(())
}

#[singleton_job("-", tz = "Europe/Berlin", dst = "skip", retries = 3, crate = ::leasehold_scheduler)]
async fn switched_off_for_a_while() {}

#[allow(dead_code, reason = "not listed, as on other systems")]
#[cfg(not(test))]
#[singleton_job("61 * * * *", crate = leasehold_scheduler)]
async fn compiled_out() {}

#[cfg(test)]
#[singleton_job("@daily", crate = leasehold_scheduler)]
#[cfg(test)]
#[expect(clippy::let_and_return, reason = "attributes of others stay")]
async fn under_conditions() -> Result<(), BoxError> {
    let done = Ok(());
    done
}

#[singleton_job("@daily", crate = leasehold_scheduler)]
#[singleton_job("*/5 9-17 * * MON-FRI", name = "by day", tz = "America/New_York")]
#[leasehold_scheduler::singleton_job("@hourly", name = "hourly", retries = 1, aliases = ["h"])]
#[cfg_attr(test, singleton_job("@weekly", name = "weekly"))]
#[cfg_attr(not(test), singleton_job("@monthly", name = "monthly"))]
async fn several(_ctx: JobContext) -> Result<(), BoxError> {
    Ok(())
}

/// What it differs by is known to the compiler alone.
#[cfg_attr(test, singleton_job("@daily", crate = leasehold_scheduler))]
#[cfg_attr(not(test), singleton_job("@hourly", crate = leasehold_scheduler))]
async fn one_or_the_other() {}

#[singleton_job("@daily", crate = leasehold_scheduler)]
async fn r#match() {}

mod outer {
    pub(crate) mod inner {
        use leasehold_scheduler::singleton_job;

        /// Documented.
        #[singleton_job("@daily", crate = leasehold_scheduler)]
        pub(crate) async fn deep() {}

        #[singleton_job("@daily", crate = leasehold_scheduler)]
        pub(in crate::outer) async fn restricted() {}
    }

    pub(crate) use inner::deep as renamed;

    pub(crate) fn restricted() -> Vec<leasehold_scheduler::Job> {
        leasehold_scheduler::jobs![inner::restricted]
    }
}

fn one(mut jobs: Vec<Job>) -> Job {
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

#[test]
fn each_argument_says_what_it_says() {
    let job = one(jobs![everything]);
    let spec = job.spec().unwrap();
    let schedule = spec.schedule.as_ref().unwrap();
    assert_eq!(schedule.expression(), "0 2 * * *");
    assert_eq!(schedule.zone().name(), "Europe/Berlin");
    assert_eq!(schedule.dst_policy(), Dst::Skip);
    assert_eq!(spec.misfire, Misfire::RunOnce);
    assert_eq!(spec.overlap, Overlap::QueueOne);
    assert_eq!(spec.jitter, Duration::from_secs(30));
    assert_eq!(spec.timeout, Some(Duration::from_secs(600)));
    assert_eq!(spec.retries, 3);
    assert_eq!(spec.backoff, Duration::from_secs(90));
    assert_eq!(spec.on_crash, OnCrash::Retry);
    assert_eq!(spec.only_on, ["eu", "gpu"]);
    assert_eq!(job.name(), "everything");
    assert_eq!(job.aliases().collect::<Vec<_>>(), ["newer", "older"]);
    assert_eq!(job.id(), "older");
}

#[test]
fn what_is_not_said_has_its_default() {
    for job in jobs![no_argument, the_context, states, under_conditions] {
        let words = BTreeMap::from([("schedule", "@daily".to_owned())]);
        assert_eq!(job.spec().unwrap().words(), words, "{}", job.name());
        assert_eq!(job.id(), job.name());
    }
}

#[test]
fn a_dash_is_never_due() {
    for job in jobs![off, switched_off_for_a_while] {
        assert_eq!(job.spec().unwrap().schedule, None, "{}", job.name());
    }
}

#[test]
fn a_name_is_the_path_of_the_function_wherever_it_is_named() {
    let jobs = jobs![
        self::no_argument,
        r#match,
        outer::inner::deep,
        outer::renamed
    ];
    let names: Vec<_> = jobs.iter().map(Job::name).collect();
    assert_eq!(
        names,
        [
            "attribute::no_argument",
            "attribute::match",
            "attribute::outer::inner::deep",
            "attribute::outer::inner::deep",
        ]
    );
    assert_eq!(
        one(outer::restricted()).name(),
        "attribute::outer::inner::restricted"
    );
}

#[test]
fn a_function_in_a_function_is_a_job_too() {
    #[singleton_job("@daily", crate = leasehold_scheduler)]
    async fn local() {}

    assert_eq!(one(jobs![local]).name(), "attribute::local");
}

#[test]
fn several_attributes_are_several_jobs_in_order() {
    let jobs = jobs![no_argument, several, one_or_the_other];
    let said: Vec<_> = jobs
        .iter()
        .map(|job| format!("{}: {}", job.name(), job.spec().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            "attribute::no_argument: \"@daily\"",
            "attribute::several: \"@daily\"",
            "by day: \"*/5 9-17 * * MON-FRI\", tz = \"America/New_York\"",
            "hourly: \"@hourly\", retries = 1",
            "weekly: \"@weekly\"",
            "attribute::one_or_the_other: \"@daily\"",
        ]
    );
    assert_eq!(jobs[3].id(), "h");
}

#[tokio::test]
async fn the_function_stays_callable_by_itself() {
    no_argument().await;
    everything_is_called().await.unwrap();
    under_conditions().await.unwrap();
    outer::renamed().await;
}

async fn everything_is_called() -> Result<(), BoxError> {
    states_called().await?;
    Ok(off().await?)
}

async fn states_called() -> Result<(), String> {
    // No run is needed for a function that asks for none.
    one_or_the_other().await;
    Ok(())
}
