//! What `build()` refuses, before anything is claimed.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::unused_async, reason = "a job is async, whatever it does")]

use leasehold_core::store::MemoryStore;
use leasehold_core::{Coordinator, Env};
use leasehold_scheduler::{
    BoxError, Error, Job, JobContext, Scheduler, State, jobs, singleton_job,
};

#[derive(Clone)]
struct Db;

#[singleton_job("0 2 * * *", name = "nightly", crate = leasehold_scheduler)]
async fn nightly(State(_db): State<Db>, _ctx: JobContext) -> Result<(), BoxError> {
    Ok(())
}

#[singleton_job("@hourly", crate = leasehold_scheduler)]
async fn hourly() {}

async fn coord() -> Coordinator {
    let builder = Coordinator::builder(MemoryStore::new(), "test");
    builder.env(Env::simulated(1)).connect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn missing_state_is_named_with_its_type_and_its_job() {
    let coord = coord().await;
    let error = Scheduler::builder(&coord)
        .jobs(jobs![nightly])
        .build()
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::MissingState { .. }));
    assert!(
        text.contains("`nightly`") && text.contains("build::Db"),
        "{text}"
    );
    Scheduler::builder(&coord)
        .state(Db)
        .jobs(jobs![nightly, hourly])
        .build()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn names_are_unique_and_say_where_the_function_is() {
    let coord = coord().await;
    assert_eq!(jobs![hourly][0].name(), "build::hourly");
    let twice = Scheduler::builder(&coord)
        .jobs(jobs![hourly, hourly])
        .build();
    assert!(matches!(twice.unwrap_err(), Error::DuplicateJob { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_is_not_cron_is_refused_with_a_caret() {
    let coord = coord().await;
    let bad = Job::new("bad", "61 * * * *", |_| async { Ok::<(), BoxError>(()) });
    let error = Scheduler::builder(&coord).jobs([bad]).build().unwrap_err();
    assert!(error.to_string().contains("^^"), "{error}");
}

#[tokio::test]
async fn the_function_stays_callable_by_itself() {
    hourly().await;
}

#[tokio::test(start_paused = true)]
async fn a_label_that_no_job_could_ask_for_is_refused() {
    let coord = coord().await;
    for label in ["", " ", "eu ", "eu,gpu", "e\nu"] {
        let built = Scheduler::builder(&coord).label("gpu").label(label).build();
        let error = built.unwrap_err();
        assert!(matches!(&error, Error::Label { .. }), "{error}");
    }
    let builder = Scheduler::builder(&coord).label("eu west").revision(7);
    builder.build().unwrap();
}
