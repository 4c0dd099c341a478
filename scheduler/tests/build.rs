//! What `build()` refuses, before anything is claimed.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::unused_async, reason = "a job is async, whatever it does")]

use std::time::Duration;

use leasehold_core::store::MemoryStore;
use leasehold_core::{Coordinator, Env};
use leasehold_scheduler::{
    BoxError, Dst, Error, Job, JobBuilder, JobContext, Manifest, Misfire, OnCrash, Overlap,
    Scheduler, Spec, State, jobs, singleton_job,
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

/// What `build()` says of these jobs.
async fn refused(jobs: impl IntoIterator<Item = Job>) -> Error {
    let coord = coord().await;
    Scheduler::builder(&coord).jobs(jobs).build().unwrap_err()
}

fn job(name: &str) -> JobBuilder {
    Job::builder(name).schedule("0 2 * * *")
}

#[tokio::test(start_paused = true)]
async fn a_job_by_code_is_refused_without_the_state_it_declares() {
    let coord = coord().await;
    let jobs = || [job("nightly").needs::<Db>().run(|_| async {})];
    let error = Scheduler::builder(&coord).jobs(jobs()).build().unwrap_err();
    assert!(
        matches!(&error, Error::MissingState { job, type_name } if job == "nightly" && type_name.ends_with("Db"))
    );
    Scheduler::builder(&coord)
        .state(Db)
        .jobs(jobs())
        .build()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn names_are_unique_and_say_where_the_function_is() {
    assert_eq!(jobs![hourly][0].name(), "build::hourly");
    let error = refused(jobs![hourly, hourly]).await;
    assert!(matches!(&error, Error::DuplicateJob { job, .. } if job == "build::hourly"));
    assert!(error.to_string().contains("list it once"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_jobs_of_one_name_are_shown_with_their_schedules() {
    let other = Job::builder("report")
        .schedule("0 3 * * *")
        .tz("Europe/Berlin")
        .retries(2);
    let jobs = [job("report").run(|_| async {}), other.run(|_| async {})];
    let error = refused(jobs).await.to_string();
    for schedule in [
        "\"0 2 * * *\"",
        "\"0 3 * * *\", tz = \"Europe/Berlin\", retries = 2",
    ] {
        assert!(
            error.contains(&format!("`report`: {schedule}\n")),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_job_has_a_name_that_another_one_had() {
    let renamed = || job("new").alias("newer").alias("old").run(|_| async {});
    for taken in ["newer", "old"] {
        let error = refused([renamed(), job(taken).run(|_| async {})]).await;
        assert!(
            matches!(&error, Error::DuplicateJob { job, .. } if job == taken),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains("`new`, before `newer`, before `old`"),
            "{error}"
        );
        let error = refused([renamed(), job("other").alias(taken).run(|_| async {})]).await;
        assert!(
            matches!(&error, Error::DuplicateJob { job, .. } if job == taken),
            "{error}"
        );
    }
    // Renamed, and named back.
    let back = job("old").alias("new").alias("old").run(|_| async {});
    assert_eq!(back.id(), "old");
    let coord = coord().await;
    Scheduler::builder(&coord).jobs([back]).build().unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_name_can_be_one() {
    for jobs in [
        [job("").alias("fine")],
        [job("fine").alias("two\nlines").alias("fine")],
    ] {
        let error = refused(jobs.map(|job| job.run(|_| async {}))).await;
        assert!(matches!(error, Error::Core(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_is_not_cron_is_refused_with_a_caret() {
    let bad = Job::new("bad", "61 * * * *", |_| async { Ok::<(), BoxError>(()) });
    let error = refused([bad]).await.to_string();
    assert_eq!(
        error,
        "job `bad`, `schedule`: minute `61` is out of range: allowed is 0-59\n  61 * * * *\n  ^^"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_job_by_code_says_wrong_is_told_with_the_word() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let wrong = [
        ("schedule", Job::builder("job")),
        ("tz", job("job").tz("Europe/Berln")),
        ("dst", job("job").dst(Dst::Skip)),
        (
            "misfire",
            job("job")
                .misfire("run_all".parse().unwrap())
                .overlap(Overlap::CancelRunning),
        ),
        (
            "jitter",
            job("job").schedule("*/5 * * * *").jitter(minutes(5)),
        ),
        ("timeout", job("job").timeout(Duration::ZERO)),
        ("retries", job("job").retries(101)),
        ("backoff", job("job").backoff(minutes(1))),
        ("only_on", job("job").only_on("")),
        ("on_crash", job("job").words([("on_crash", "perhaps")])),
        ("zone", job("job").words([("zone", "UTC")])),
    ];
    for (word, job) in wrong {
        let error = refused([job.run(|_| async {})]).await;
        let is_it =
            matches!(&error, Error::Spec { job, error } if job == "job" && error.word == word);
        assert!(is_it, "{word}: {error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("job `job`, `{word}`: ")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn setters_say_what_the_attribute_says() {
    let by_setters = Job::builder("job")
        .schedule("@hourly") // the last one counts
        .schedule("0 2 * * *")
        .tz("Europe/Berlin")
        .dst(Dst::Both)
        .misfire(Misfire::RunOnce)
        .overlap(Overlap::QueueOne)
        .jitter(Duration::from_millis(90_500))
        .timeout(Duration::from_secs(600))
        .retries(3)
        .backoff(Duration::from_secs(3600))
        .on_crash(OnCrash::Retry)
        .only_on("gpu")
        .only_on("eu")
        .run(|_| async {});
    let words = [
        ("schedule", "0 2 * * *"),
        ("tz", "Europe/Berlin"),
        ("dst", "both"),
        ("misfire", "run_once"),
        ("overlap", "queue_one"),
        ("jitter", "1m 30s 500ms"),
        ("timeout", "10m"),
        ("retries", "3"),
        ("backoff", "1h"),
        ("on_crash", "retry"),
        ("only_on", "eu, gpu"),
    ];
    assert_eq!(words.len(), Spec::WORDS.len());
    let by_words = Job::builder("job")
        .words(words)
        .run(|_| async { Ok::<(), String>(()) });
    assert_eq!(by_setters.spec().unwrap(), by_words.spec().unwrap());
    assert_eq!(*by_words.spec().unwrap(), Spec::from_words(words).unwrap());
    let spec = by_words.spec().unwrap();
    let again = Job::builder("job")
        .timeout(Duration::MAX)
        .spec(spec)
        .run(|_| async {});
    assert_eq!(again.spec().unwrap(), spec);
    let more = Job::builder("job")
        .spec(spec)
        .only_on("big")
        .run(|_| async {});
    assert_eq!(more.spec().unwrap().only_on, ["big", "eu", "gpu"]);
}

#[tokio::test(start_paused = true)]
async fn s15_a_job_that_was_forgotten_or_added_unseen_stops_the_start_with_the_fix() {
    let coord = coord().await;
    let jobs = || {
        [
            job("billing::nightly"),
            job("reports::weekly").alias("reports::old"),
            job("unseen"),
        ]
        .map(|job| job.run(|_| async {}))
    };
    let build = |manifest: Manifest| {
        Scheduler::builder(&coord)
            .jobs(jobs())
            .registered_jobs(manifest)
            .build()
    };
    build(Manifest::of(&jobs())).unwrap();
    build("# all\nunseen\nbilling::nightly # finance\n\nreports::weekly".into()).unwrap();
    let error = build(
        [
            "billing::nightly",
            "reports::old",
            "mail::send",
            "mail::sweep",
        ]
        .into(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "the jobs of this scheduler are not those of its manifest:\n  \
         `mail::send` is missing: add its function to `jobs![..]`, or take it out of the manifest\n  \
         `mail::sweep` is missing: add its function to `jobs![..]`, or take it out of the manifest\n  \
         `unseen` is not in the manifest: add it there, or take it out of `jobs![..]`\n  \
         `reports::old` is called `reports::weekly` now: write that in the manifest"
    );
    // Those of several crates add up; and no job is what an empty one asks for.
    let builder = Scheduler::builder(&coord).jobs(jobs());
    let builder = builder
        .registered_jobs("unseen")
        .registered_jobs(vec_of(&["billing::nightly"]));
    builder
        .registered_jobs(["reports::weekly"])
        .build()
        .unwrap();
    assert!(
        matches!(build("".into()).unwrap_err(), Error::Manifest { unlisted, .. } if unlisted.len() == 3)
    );
    Scheduler::builder(&coord)
        .registered_jobs("")
        .build()
        .unwrap();
}

fn vec_of(names: &[&str]) -> Manifest {
    names.iter().copied().collect()
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

#[tokio::test(start_paused = true)]
async fn a_drain_is_shorter_than_the_lease_of_a_run() {
    let store = MemoryStore::new();
    let coord = Coordinator::builder(store, "test").env(Env::simulated(1));
    let coord = coord.connect().await.unwrap();
    let seconds = Duration::from_secs;
    let build = |ttl, drain| {
        Scheduler::builder(&coord)
            .run_ttl(seconds(ttl))
            .drain(seconds(drain))
            .build()
    };
    let error = build(10, 10).unwrap_err();
    let text = "the drain time of 10s is not shorter than the TTL of runs, 10s: shorten `drain`, or lengthen `run_ttl`";
    assert_eq!(error.to_string(), text);
    assert!(build(10, 9).is_ok());
    // What is not said fits.
    assert!(
        Scheduler::builder(&coord)
            .run_ttl(seconds(1))
            .build()
            .is_ok()
    );
}
