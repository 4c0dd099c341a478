//! `leasehold elect --observe`

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs::File;
use std::process::{Command, Stdio};

use common::{Bench, PATIENCE};
use leasehold_testkit::{Process, wait_until};

fn observe(bench: &Bench, args: &[&str], to: &str) -> Process {
    let mut command = bench.command(&["elect", "janitor", "--observe"]);
    command.args(args).stderr(Stdio::null());
    Process::spawn(command.stdout(File::create(bench.path(to)).unwrap()))
}

fn lines(bench: &Bench, name: &str) -> Vec<String> {
    bench.read(name).lines().map(str::to_owned).collect()
}

#[test]
fn each_change_of_the_leader_is_a_line() {
    let bench = Bench::new();
    let mut observer = observe(&bench, &["--ttl", "1s"], "seen");
    let mut as_json = observe(&bench, &["--ttl", "1s", "--json"], "seen.json");
    for file in ["seen", "seen.json"] {
        bench.wait_for(file, "vacant");
    }
    let body = "echo $LEASEHOLD_FENCE > term; while [ ! -e over ]; do sleep 0.02; done";
    let lead = [
        "elect", "janitor", "--label", "nightly", "--", "sh", "-c", body,
    ];
    let mut leader = bench.start(&lead, "errors");
    for file in ["seen", "seen.json"] {
        bench.wait_for(file, "nightly");
    }
    std::fs::write(bench.path("over"), "").unwrap();
    assert_eq!(leader.wait(PATIENCE).code(), Some(0));
    for file in ["seen", "seen.json"] {
        wait_until(PATIENCE, "the vacancy", || lines(&bench, file).len() == 3);
    }
    let term = bench.read("term");
    let seen = lines(&bench, "seen");
    assert_eq!((seen[0].as_str(), seen[2].as_str()), ("vacant", "vacant"));
    assert!(
        seen[1].starts_with(&format!("led {} ", term.trim())),
        "{seen:?}"
    );
    assert!(seen[1].ends_with(" nightly"), "{seen:?}");
    let led: serde_json::Value = serde_json::from_str(&lines(&bench, "seen.json")[1]).unwrap();
    assert_eq!(led["state"], "led");
    assert_eq!(led["term"].to_string(), term.trim());
    assert!(led["led_for_ms"].is_u64(), "{led}");
    // A signal ends it, and says so.
    for process in [&mut observer, &mut as_json] {
        process.signal("TERM");
        assert_eq!(process.wait(PATIENCE).code(), Some(143));
    }
}

#[test]
fn it_ends_with_its_reader() {
    let bench = Bench::new();
    let piped = "\"$0\" elect janitor --observe --ttl 1s | head -n 1 > seen";
    let mut command = Command::new("sh");
    command.args(["-c", piped, env!("CARGO_BIN_EXE_leasehold")]);
    bench.at_home(&mut command);
    // Ends when both have.
    let mut pipe = Process::spawn(&mut command);
    bench.wait_for("seen", "vacant");
    // It hears with the next line that nobody reads it.
    let body = "while [ ! -e over ]; do sleep 0.02; done";
    let _leader = bench.start(&["elect", "janitor", "--", "sh", "-c", body], "errors");
    assert_eq!(pipe.wait(PATIENCE).code(), Some(0));
    std::fs::write(bench.path("over"), "").unwrap();
}
