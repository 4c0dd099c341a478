//! What each word may say, what words may not say together, and that all of it is read back as it was.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

use std::time::Duration;

use leasehold_cron::Dst;
use leasehold_spec::{Misfire, OnCrash, Overlap, Spec, SpecError, duration_text};
use proptest::prelude::*;

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

/// A daily job that also says this.
fn daily(words: &[(&str, &str)]) -> Result<Spec, Vec<SpecError>> {
    let schedule = ("schedule", "@daily");
    Spec::check(std::iter::once(schedule).chain(words.iter().copied()))
}

#[track_caller]
fn refused(words: &[(&str, &str)]) -> SpecError {
    let mut problems = daily(words).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn each_misfire_policy_is_read() {
    for (word, misfire) in [
        ("skip", Misfire::Skip),
        ("run_once", Misfire::RunOnce),
        (
            "run_all",
            Misfire::RunAll {
                window: hours(24),
                cap: 100,
            },
        ),
        (
            "run_all(1h)",
            Misfire::RunAll {
                window: hours(1),
                cap: 100,
            },
        ),
        (
            " run_all( 1h 30m , 20 ) ",
            Misfire::RunAll {
                window: Duration::from_secs(5400),
                cap: 20,
            },
        ),
    ] {
        assert_eq!(
            daily(&[("misfire", word)]).unwrap().misfire,
            misfire,
            "{word}"
        );
        assert_eq!(misfire.to_string().parse(), Ok(misfire));
    }
}

#[test]
fn each_overlap_policy_is_read() {
    for (word, overlap) in [
        ("skip", Overlap::Skip),
        ("queue_one", Overlap::QueueOne),
        ("queue_all", Overlap::QueueAll { cap: 100 }),
        ("queue_all(20)", Overlap::QueueAll { cap: 20 }),
        ("cancel_running", Overlap::CancelRunning),
        ("allow", Overlap::Allow { cap: 10 }),
        ("allow(3)", Overlap::Allow { cap: 3 }),
    ] {
        assert_eq!(
            daily(&[("overlap", word)]).unwrap().overlap,
            overlap,
            "{word}"
        );
        assert_eq!(overlap.to_string().parse(), Ok(overlap));
    }
}

#[test]
fn each_crash_policy_is_read() {
    for (word, on_crash) in [("skip", OnCrash::Skip), ("retry", OnCrash::Retry)] {
        assert_eq!(daily(&[("on_crash", word)]).unwrap().on_crash, on_crash);
        assert_eq!(on_crash.to_string(), word);
    }
}

#[test]
fn a_zone_and_its_changes_are_the_schedules() {
    let spec = daily(&[("dst", "both"), ("tz", "europe/berlin")]).unwrap();
    let schedule = spec.schedule.as_ref().unwrap();
    assert_eq!(
        (schedule.zone().name(), schedule.dst_policy()),
        ("Europe/Berlin", Dst::Both)
    );
    assert_eq!(spec.words()["tz"], "Europe/Berlin");
    assert_ne!(spec, daily(&[("tz", "Europe/Berlin")]).unwrap());
    // In any order.
    let words = [
        ("tz", "Europe/Berlin"),
        ("dst", "both"),
        ("schedule", "@daily"),
    ];
    assert_eq!(Spec::from_words(words).unwrap(), spec);
    let utc = daily(&[("tz", "UTC")]).unwrap();
    assert_eq!(utc, daily(&[]).unwrap());
}

#[test]
fn a_job_that_is_off_keeps_its_policies() {
    let words = [
        ("schedule", " - "),
        ("tz", "Europe/Berlin"),
        ("dst", "skip"),
        ("jitter", "5m"),
        ("retries", "2"),
    ];
    let spec = Spec::from_words(words).unwrap();
    assert_eq!((spec.schedule.as_ref(), spec.retries), (None, 2));
    assert_eq!(spec.to_string(), "\"-\", jitter = \"5m\", retries = 2");
    // What it would say when it is on again is checked meanwhile.
    let error = Spec::from_words([("schedule", "-"), ("tz", "Europe/Berln")]).unwrap_err();
    assert_eq!(error.word, "tz");
}

#[test]
fn labels_are_a_set() {
    let spec = daily(&[("only_on", "gpu, eu-west,gpu")]).unwrap();
    assert_eq!(spec.only_on, ["eu-west", "gpu"]);
    assert_eq!(spec.words()["only_on"], "eu-west, gpu");
}

#[test]
fn what_cannot_be_read_is_told_with_what_to_write() {
    for (word, text, problem) in [
        ("schedule", "0 0 30 2 *", "never matches"),
        ("tz", "Europe/Berln", "did you mean `Europe/Berlin`?"),
        ("dst", "twice", "there are `once`, `skip` and `both`"),
        (
            "misfire",
            "later",
            "write `skip`, `run_once`, `run_all` or `run_all(1h, 20)`",
        ),
        ("misfire", "skip(1)", "`skip` takes no arguments"),
        ("misfire", "run_all(1h", "lacks the closing parenthesis"),
        ("misfire", "run_all(20)", "no duration"),
        ("misfire", "run_all(1h, 0)", "no number from 1 to 1000"),
        (
            "misfire",
            "run_all(1h, 2, 3)",
            "write `run_all(WINDOW, CAP)`",
        ),
        ("misfire", "run_all(0s)", "catches nothing up"),
        (
            "overlap",
            "never",
            "write `skip`, `queue_one`, `queue_all(20)`, `cancel_running` or `allow(3)`",
        ),
        ("overlap", "allow(1001)", "no number from 1 to 1000"),
        ("overlap", "queue_all(1, 2)", "takes one number"),
        ("overlap", "queue_one(1)", "takes no arguments"),
        ("overlap", "cancel_running()", "takes no arguments"),
        ("on_crash", "panic", "write `skip` or `retry`"),
        ("jitter", "30", "write it like `30s`"),
        ("jitter", "-1s", "write it like `30s`"),
        ("timeout", "", "write it like `30s`"),
        ("backoff", "1 fortnight", "write it like `30s`"),
        ("retries", "101", "from 0 to 100"),
        ("retries", "-1", "from 0 to 100"),
        ("only_on", "", "write them like `gpu, eu-west`"),
        ("only_on", "a,\n", "write them like `gpu, eu-west`"),
        ("only_on", "a,\u{7}", "write them like `gpu, eu-west`"),
        (
            "zone",
            "UTC",
            "unknown word `zone`: there are schedule, tz, dst",
        ),
    ] {
        let others = [("schedule", "@daily"), ("retries", "1")];
        let others = others.into_iter().filter(|(other, _)| *other != word);
        let error = Spec::from_words(others.chain([(word, text)])).unwrap_err();
        assert_eq!(error.word, word, "{error}");
        assert!(
            error.problem.contains(problem),
            "{word} = {text:?}: {error}"
        );
    }
}

#[test]
fn a_schedule_is_not_optional_and_nothing_is_said_twice() {
    let problems = Spec::check([("retries", "1")]).unwrap_err();
    assert_eq!((problems.len(), problems[0].word.as_str()), (1, "schedule"));
    let error = refused(&[("retries", "1"), ("retries", "1")]);
    assert_eq!(error.problem, "`retries` is given twice");
}

#[test]
fn all_that_is_wrong_is_told_in_order_and_the_first_of_it_by_itself() {
    let words = [
        ("jitter", "x"),
        ("schedule", "61 * * * *"),
        ("tz", "y"),
        ("zone", "z"),
        ("backoff", "1s"),
    ];
    let problems = Spec::check(words).unwrap_err();
    let wrong: Vec<_> = problems
        .iter()
        .map(|problem| problem.word.as_str())
        .collect();
    assert_eq!(wrong, ["jitter", "schedule", "tz", "zone"]);
    assert_eq!(Spec::from_words(words).unwrap_err(), problems[0]);
}

#[test]
fn words_that_cannot_be_meant_together_are_refused() {
    for (words, word, problem) in [
        (&[("timeout", "0s")][..], "timeout", "lets nothing run"),
        (&[("backoff", "10s")], "backoff", "without `retries`"),
        (
            &[("misfire", "run_all"), ("overlap", "cancel_running")],
            "misfire",
            "only the latest",
        ),
        (
            &[("jitter", "1day")],
            "jitter",
            "reaches the next tick, which is 1day later",
        ),
        (&[("dst", "skip")], "dst", "those of UTC never do"),
        (&[("dst", "once")], "dst", "those of UTC never do"),
        (
            &[("dst", "skip"), ("tz", "UTC")],
            "dst",
            "those of UTC never do",
        ),
    ] {
        let error = refused(words);
        assert_eq!(error.word, word, "{error}");
        assert!(error.problem.contains(problem), "{error}");
    }
    let words = [
        ("dst", "skip"),
        ("timeout", "0s"),
        ("backoff", "1s"),
        ("jitter", "2days"),
    ];
    assert_eq!(daily(&words).unwrap_err().len(), 4);
}

#[test]
fn words_that_look_alike_and_are_meant_are_not() {
    for words in [
        &[("jitter", "23h 59m 59s")][..],
        &[("backoff", "10s"), ("retries", "1")],
        &[("backoff", "10s"), ("on_crash", "retry")],
        &[("misfire", "run_once"), ("overlap", "cancel_running")],
        &[("misfire", "run_all"), ("overlap", "queue_all")],
        &[("dst", "skip"), ("tz", "Asia/Tokyo")],
        &[("timeout", "1ms")],
    ] {
        daily(words).unwrap();
    }
}

#[test]
fn a_jitter_is_measured_at_the_closest_ticks() {
    // An hour apart, once a year, by the clocks of the zone.
    let words = |jitter| {
        let dst = [
            ("tz", "America/New_York"),
            ("dst", "both"),
            ("jitter", jitter),
        ];
        Spec::from_words([("schedule", "30 1 * * *")].into_iter().chain(dst))
    };
    words("59m").unwrap();
    assert_eq!(words("1h").unwrap_err().word, "jitter");
    let weekdays = |jitter| Spec::from_words([("schedule", "0 9,17 * * 1-5"), ("jitter", jitter)]);
    weekdays("7h").unwrap();
    assert_eq!(weekdays("8h").unwrap_err().word, "jitter");
}

#[test]
fn attempts_and_their_pauses() {
    let spec = daily(&[("retries", "3"), ("backoff", "10m")]).unwrap();
    assert_eq!((spec.attempts(false), spec.attempts(true)), (4, 4));
    let minutes = [1, 2, 3, 4, 100].map(|attempt| spec.pause_after(attempt).as_secs() / 60);
    assert_eq!(minutes, [10, 20, 40, 60, 60]);
    let spec = daily(&[("on_crash", "retry"), ("backoff", "2h")]).unwrap();
    assert_eq!((spec.attempts(false), spec.attempts(true)), (1, 2));
    assert_eq!(spec.pause_after(5), hours(2));
    // Longer than can be doubled.
    let longest = Duration::from_secs(u64::MAX);
    let backoff = format!("{}s", u64::MAX);
    let words = [("schedule", "-"), ("retries", "9"), ("backoff", &*backoff)];
    let spec = Spec::from_words(words).unwrap();
    assert_eq!(spec.pause_after(5), longest);
}

fn durations() -> impl Strategy<Value = String> {
    let any = (0..4_000_000_000_u64, 0..1_000_000_000_u32);
    any.prop_map(|(s, ns)| duration_text(Duration::new(s, ns)))
}

/// Most of which are no jitter that reaches the next tick.
fn short_durations() -> impl Strategy<Value = String> {
    (0..90_000_u64).prop_map(|ms| duration_text(Duration::from_millis(ms)))
}

fn caps() -> impl Strategy<Value = u32> {
    1..=1000_u32
}

prop_compose! {
    /// Any specification, perhaps with words at odds.
    fn words()(
        schedule in prop::sample::select(vec!["-", "@daily", "*/5 9-17 * * 1-5", "* * * * * *", "0 2 1 1 * "]),
        tz in prop::option::of(prop::sample::select(vec!["UTC", "Europe/Berlin", "america/new_york", "Etc/UTC"])),
        dst in prop::option::of(prop::sample::select(vec!["once", "skip", "both"])),
        misfire in prop::option::of(prop_oneof![
            Just("skip".to_owned()), Just("run_once".to_owned()), Just("run_all".to_owned()),
            (durations(), caps()).prop_map(|(window, cap)| format!("run_all({window}, {cap})")),
        ]),
        overlap in prop::option::of(prop_oneof![
            Just("skip".to_owned()), Just("queue_one".to_owned()), Just("cancel_running".to_owned()),
            caps().prop_map(|cap| format!("queue_all({cap})")), caps().prop_map(|cap| format!("allow({cap})")),
        ]),
        jitter in prop::option::of(short_durations()),
        timeout in prop::option::of(durations()),
        retries in prop::option::of((0..=100_u32).prop_map(|retries| retries.to_string())),
        backoff in prop::option::of(durations()),
        on_crash in prop::option::of(prop::sample::select(vec!["skip", "retry"])),
        only_on in prop::option::of("[a-c]{1,2}(, ?[a-z\"é ]*[a-z]){0,3}"),
    ) -> Vec<(&'static str, String)> {
        let words = [
            ("schedule", Some(schedule.to_owned())), ("tz", tz.map(str::to_owned)), ("dst", dst.map(str::to_owned)),
            ("misfire", misfire), ("overlap", overlap), ("jitter", jitter), ("timeout", timeout), ("retries", retries),
            ("backoff", backoff), ("on_crash", on_crash.map(str::to_owned)), ("only_on", only_on),
        ];
        words.into_iter().filter_map(|(word, text)| Some((word, text?))).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn words_are_read_back_as_they_were(words in words()) {
        let read = Spec::check(words.iter().map(|(word, text)| (*word, text.as_str())));
        // Words at odds are tested above; without the one that is blamed, the rest can be meant.
        let spec = match read {
            Ok(spec) => spec,
            Err(problems) => {
                let fine = |word: &str| problems.iter().all(|problem| problem.word != word);
                let words = words.iter().filter(|(word, _)| fine(word));
                Spec::check(words.map(|(word, text)| (*word, text.as_str()))).unwrap()
            }
        };
        let said = spec.words();
        let again = Spec::from_words(said.iter().map(|(word, text)| (*word, text.as_str())));
        prop_assert_eq!(again.as_ref(), Ok(&spec));
        prop_assert_eq!(again.unwrap().words(), said);
    }

    #[test]
    fn no_text_is_too_odd_for_any_word(word in prop::sample::select(Spec::WORDS.to_vec()), text in ".{0,40}") {
        let others = [("schedule", "@daily"), ("retries", "1")];
        let others = others.into_iter().filter(|(other, _)| *other != word);
        if let Err(error) = Spec::from_words(others.chain([(word, text.as_str())])) {
            prop_assert!(!error.problem.is_empty());
        }
    }
}
