//! `leasehold jobs`, beside a scheduler on the same store.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::thread::JoinHandle;
use std::time::Duration;

use common::{Bench, PATIENCE};
use leasehold::scheduler::{BoxError, Job};
use leasehold::{Scheduler, connect};
use leasehold_testkit::{RedisServer, wait_until};
use serde_json::Value;
use tokio::sync::oneshot;

/// A node in this process, with a thread of its own.
struct Node(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Node {
    fn start(url: &str) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let url = url.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                let coord = connect(&url, "default").await.unwrap();
                let good = Job::new("nightly", "30 2 * * *", |_| async {
                    Ok::<(), BoxError>(())
                });
                let bad = Job::new("reports::weekly", "0 3 * * 1", |_| async {
                    Err::<(), BoxError>("out of paper".into())
                });
                let off = Job::new("off", "-", |_| async { Ok::<(), BoxError>(()) });
                let report = Job::builder("report").run(|ctx| async move {
                    let customer: String = ctx.payload()?;
                    assert_eq!(customer, "acme");
                    Ok::<(), BoxError>(())
                });
                let scheduler = Scheduler::builder(&coord).jobs([good, bad, off]);
                let scheduler = scheduler.kinds([report]);
                let stop = async { drop(stopped.await) };
                scheduler.run_until(stop).await.unwrap();
                coord.shutdown(Duration::ZERO).await;
            });
        });
        Self(Some((stop, thread)))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn started(url: &str) -> (Bench, Node) {
    let bench = Bench::on(url);
    let node = Node::start(url);
    wait_until(PATIENCE, "the jobs are listed", || {
        let jobs = json(&bench, &["ls"]);
        let jobs = jobs["jobs"].as_array().unwrap();
        jobs.len() == 3 && jobs.iter().all(|job| job["problem"].is_null())
    });
    (bench, node)
}

fn on_sqlite() -> (Bench, Node, tempfile::TempDir) {
    let folder = tempfile::TempDir::with_prefix("leasehold-jobs-").unwrap();
    let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
    let (bench, node) = started(&url);
    (bench, node, folder)
}

/// Exit code, standard output, standard error.
fn output(bench: &Bench, args: &[&str]) -> (i32, String, String) {
    let args: Vec<&str> = ["jobs"].iter().chain(args).copied().collect();
    let output = bench.command(&args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[track_caller]
fn json(bench: &Bench, args: &[&str]) -> Value {
    let args: Vec<&str> = args.iter().chain(&["--json"]).copied().collect();
    let (code, out, error) = output(bench, &args);
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&out).unwrap()
}

#[track_caller]
fn done(bench: &Bench, args: &[&str]) -> String {
    let (code, out, error) = output(bench, args);
    assert_eq!(code, 0, "{args:?}: {error}");
    out
}

/// All that is asked of a job, on whatever store.
fn look_after(bench: &Bench) {
    let listed = done(bench, &["ls"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(
        lines[0].starts_with("NAME  ") && lines.len() == 4,
        "{listed}"
    );
    assert!(lines[1].contains("at 02:30 every day"), "{listed}");
    assert!(lines[2].contains("when it is asked for"), "{listed}");
    let next = done(bench, &["next", "nightly", "-n", "3"]);
    assert_eq!(next.matches(" 02:30:00Z\n").count(), 3, "{next}");

    // The next tick is hours away, and the node notices all the same.
    let id = done(bench, &["trigger", "nightly", "--wait=30s"]);
    let history = json(bench, &["history", "nightly"]);
    let record = &history["records"][0];
    assert_eq!(
        (&record["outcome"], &record["id"]),
        (&"ran".into(), &id.trim().into())
    );
    assert_eq!(
        (&record["via"], &record["retry"], &record["late"]),
        (&"trigger".into(), &false.into(), &false.into())
    );
    let at = format!("@{}", record["end"]);
    let why = done(bench, &["why", "nightly", "--at", &at]);
    assert!(
        why.contains(" ran (attempt 1, triggered), on node "),
        "{why}"
    );
    // Who that is, as long as it lives.
    let shown = json(bench, &["show", "nightly"]);
    let label = shown["nodes"][0]["label"].as_str().unwrap();
    assert!(why.contains(&format!(" ({label}), took ")), "{why}");
    let history = done(bench, &["history", "nightly"]);
    assert!(history.contains(&format!("  {label}  ")), "{history}");
    assert_eq!(
        json(bench, &["why", "nightly", "--at", &at])["because"]["answer"],
        "recorded"
    );

    let (code, id, error) = output(bench, &["trigger", "reports::weekly", "--wait"]);
    assert!(
        code == 1 && error.ends_with("ended with failed: out of paper\n"),
        "{error}"
    );
    let failed = done(
        bench,
        &["history", "reports::weekly", "--outcome", "failed"],
    );
    assert!(
        failed.contains(id.trim()) && failed.contains("  out of paper"),
        "{failed}"
    );
    let (code, out, error) = output(bench, &["history", "nightly", "--outcome", "failed"]);
    assert!(
        code == 0 && out.is_empty() && !error.is_empty(),
        "{out}{error}"
    );

    // A pause, and what says so.
    done(bench, &["pause", "nightly", "--reason", "repairs"]);
    let (code, out, error) = output(bench, &["pause", "nightly"]);
    assert!(
        code == 0 && out.is_empty() && error.contains("was paused before"),
        "{error}"
    );
    assert!(done(bench, &["ls"]).contains(": repairs"));
    assert!(done(bench, &["show", "nightly"]).contains(": repairs"));
    assert_eq!(
        json(bench, &["show", "nightly"])["summary"]["paused"]["reason"],
        "repairs"
    );
    done(bench, &["resume", "nightly"]);
    let (code, _, error) = output(bench, &["resume", "nightly", "--where-it-stopped"]);
    assert!(code == 2 && error.contains("is not paused"), "{error}");
    done(bench, &["pause", "--all"]);
    assert_eq!(json(bench, &["pause", "--all"])["is_new"], false);
    done(bench, &["resume", "--all"]);
    assert_eq!(output(bench, &["resume", "--all"]).0, 2);

    // Ticks before the job was there run if somebody wants them to.
    let backfill = [
        "backfill",
        "nightly",
        "--from",
        "2026-01-01",
        "--to",
        "2026-01-03",
    ];
    let planned = [&backfill[..], &["--dry-run"]].concat();
    assert_eq!(
        json(bench, &planned)["accepted"].as_array().unwrap().len(),
        2
    );
    let asked = json(bench, &backfill);
    assert_eq!(
        asked["accepted"],
        serde_json::json!([1_767_234_600, 1_767_321_000])
    );
    wait_until(PATIENCE, "the backfill is over", || {
        json(bench, &planned)["ran"].as_array().unwrap().len() == 2
    });
    let again = done(bench, &backfill);
    assert!(again.contains("ran before  2 "), "{again}");
}

#[test]
fn jobs_are_looked_after_on_sqlite() {
    let (bench, _node, _folder) = on_sqlite();
    look_after(&bench);
}

#[test]
fn jobs_are_looked_after_on_redis() {
    let server = RedisServer::start();
    let (bench, _node) = started(&server.url());
    look_after(&bench);
}

#[test]
fn a_trigger_starts_within_two_seconds() {
    let (bench, _node, _folder) = on_sqlite();
    let mut longest = 0;
    for _ in 0..3 {
        let id = done(&bench, &["trigger", "off", "--wait=30s"]);
        let history = json(&bench, &["history", "off"]);
        let records = history["records"].as_array().unwrap().iter();
        let record = records
            .rev()
            .find(|record| record["id"] == id.trim())
            .unwrap();
        longest = longest.max(record["delay_ms"].as_u64().unwrap());
    }
    // Of that up to one is the part of a second in which it was asked for.
    assert!(longest < 3000, "{longest} ms");
}

#[test]
fn a_trigger_with_an_id_that_was_there_is_not_repeated() {
    let (bench, _node, _folder) = on_sqlite();
    let trigger = ["trigger", "off", "--id", "deploy-7"];
    let waiting = [&trigger[..], &["--wait=30s"]].concat();
    assert_eq!(done(&bench, &waiting), "deploy-7\n");
    assert_eq!(json(&bench, &trigger)["is_new"], false);
    assert_eq!(done(&bench, &waiting), "deploy-7\n");
    let history = json(&bench, &["history", "off"]);
    assert_eq!(history["records"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_nobody_takes_up_is_waited_for_as_long_as_was_said() {
    let (bench, node, _folder) = on_sqlite();
    drop(node);
    let (code, _, error) = output(&bench, &["trigger", "off", "--wait=1s"]);
    assert!(
        code == 75 && error.contains("has not started after 1s"),
        "{error}"
    );
    let pending = &json(&bench, &["show", "off"])["pending"];
    assert_eq!(pending.as_array().unwrap().len(), 1);
    // Whoever reads JSON learns the id, too.
    let (code, out, _) = output(&bench, &["trigger", "off", "--wait=100ms", "--json"]);
    let told: Value = serde_json::from_str(&out).unwrap();
    assert!(
        code == 75 && told["id"].is_string() && told["is_over"] == false,
        "{out}"
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    let (bench, _node, _folder) = on_sqlite();
    let mut all = String::new();
    for args in [
        &["trigger", "nihgtly"][..],
        &["why", "weekly", "--at", "2026-01-01"],
        &["why", "nightly", "--at", "tomorrow"],
        &[
            "backfill",
            "nightly",
            "--from",
            "2026-02-01",
            "--to",
            "2026-01-01",
        ],
        &[
            "backfill",
            "nightly",
            "--from",
            "2000-01-01",
            "--to",
            "2026-01-01",
        ],
        &[
            "backfill",
            "off",
            "--from",
            "2026-01-01",
            "--to",
            "2026-02-01",
        ],
        &["resume", "nightly"],
        &["pause"],
        &["pause", "nightly", "--all"],
        &["history", "nightly", "--outcome", "ruined"],
        &["trigger", "off", "--id", ""],
    ] {
        let (code, out, error) = output(&bench, args);
        assert!(out.is_empty(), "{out}");
        let asked = args.join(" ");
        all += &[
            "$ leasehold jobs ",
            &asked,
            "\n",
            &error,
            &format!("[{code}]\n\n"),
        ]
        .concat();
    }
    insta::assert_snapshot!("jobs_errors", all);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
    let (bench, _node, _folder) = on_sqlite();
    let next = ["jobs", "next", "nightly", "-n", "20000"];
    let mut command = bench.command(&next);
    let (stdout, stderr) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success() && told.is_empty(), "{told}");

    let full = std::fs::File::create("/dev/full").unwrap();
    let ended = bench.command(&next).stdout(full).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(74), "{told}");
    assert!(told.starts_with("leasehold: cannot write"), "{told}");
}

#[test]
fn nothing_is_known_of_an_empty_store() {
    let bench = Bench::new();
    let (code, out, error) = output(&bench, &["ls"]);
    assert!(code == 0 && out.is_empty(), "{out}");
    assert!(error.contains("no job is known"), "{error}");
    assert_eq!(output(&bench, &["show", "nightly"]).0, 66);
}

#[test]
fn a_job_is_defined_runs_with_its_payload_and_is_taken_out_again() {
    let (bench, _node, _folder) = on_sqlite();
    let define = [
        "define",
        "report for acme",
        "--kind",
        "report",
        "--schedule",
        "* * * * * *",
        "--set",
        "misfire=run_once",
        "--payload",
        r#""acme""#,
    ];
    let (code, _, told) = output(&bench, &define);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("1 live node has its kind"), "{told}");
    wait_until(PATIENCE, "it runs", || {
        let records = json(&bench, &["history", "report for acme"]);
        let records = records["records"].as_array().unwrap();
        records.iter().any(|record| record["outcome"] == "ran")
    });
    assert_eq!(json(&bench, &["show", "report for acme"])["kind"], "report");
    let (code, _, told) = output(&bench, &["undefine", "report for acme"]);
    assert_eq!(code, 0, "{told}");
    wait_until(PATIENCE, "it is due no more", || {
        json(&bench, &["show", "report for acme"])["summary"]["next"].is_null()
    });
    assert!(done(&bench, &["ls"]).contains("is taken out of the store\n"));
    let shown = done(&bench, &["show", "report for acme"]);
    assert!(
        shown.contains("report, taken out of the store\n"),
        "{shown}"
    );
    let (code, _, told) = output(&bench, &["trigger", "report for acme"]);
    assert!(code == 2 && told.contains("was taken out"), "{told}");

    let old = ["define", "old", "--kind", "gone", "--schedule"];
    let (code, _, told) = output(&bench, &[&old[..], &["0 0 0 1 1 * 2020"]].concat());
    assert!(
        code == 0 && told.contains("no live node has its kind `gone`"),
        "{told}"
    );
    let (code, out, told) = output(&bench, &["next", "old"]);
    assert!(
        code == 0 && out.is_empty() && told.contains("has no more ticks"),
        "{told}"
    );

    for (wrong, why) in [
        (
            vec!["define", "x", "--kind", "k", "--schedule", "61 * * * *"],
            "schedule: minute `61`",
        ),
        (
            vec![
                "define",
                "x",
                "--kind",
                "k",
                "--schedule",
                "@daily",
                "--set",
                "misfire",
            ],
            "sets nothing",
        ),
        (
            vec![
                "define",
                "x",
                "--kind",
                "k",
                "--schedule",
                "@daily",
                "--payload",
                "acme",
            ],
            "no JSON",
        ),
        (
            vec!["define", "nightly", "--kind", "k", "--schedule", "@daily"],
            "is defined in programs",
        ),
        (vec!["undefine", "nightly"], "is defined in programs"),
        (
            vec!["define", "x", "--kind", "", "--schedule", "-"],
            "the name of a kind is empty",
        ),
        (
            vec!["define", "", "--kind", "k", "--schedule", "-"],
            "the name of a job is empty",
        ),
        (vec!["next", "nightly", "-n", "0"], "a whole number from 1"),
    ] {
        let (code, _, told) = output(&bench, &wrong);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains(why), "{told}");
    }
}
