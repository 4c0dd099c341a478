//! `leasehold bench`: the fields it gives, and whether they are true.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Bench, PATIENCE};
use leasehold_testkit::{Process, RedisServer};
use serde_json::Value;

fn json(bench: &Bench, args: &[&str]) -> Value {
    let args: Vec<&str> = ["bench", "--json"].iter().chain(args).copied().collect();
    let run = bench.run(&args).success();
    serde_json::from_slice(&run.get_output().stdout).unwrap()
}

fn number(found: &Value, field: &str) -> f64 {
    let value = found[field].as_f64();
    value.unwrap_or_else(|| panic!("no number {field} in {found}"))
}

#[test]
fn round_trips_and_pairs_are_counted_and_timed() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    for what in ["ping", "solo", "floor-solo"] {
        let found = json(&bench, &[what, "--count", "300"]);
        assert_eq!(found["bench"], what);
        assert_eq!(found["ops"], 300);
        let (p50, p99) = (number(&found, "p50_us"), number(&found, "p99_us"));
        assert!(p50 > 0.0 && p99 >= p50, "{found}");
    }
}

#[test]
fn what_a_crowd_gets_adds_up() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    for what in ["keys", "floor-keys", "fight", "floor-fight"] {
        let found = json(&bench, &[what, "--tasks", "4", "--seconds", "0.5"]);
        let (pairs, min, max) = (
            number(&found, "pairs"),
            number(&found, "min"),
            number(&found, "max"),
        );
        assert!(
            min > 0.0 && pairs >= 4.0 * min && pairs <= 4.0 * max,
            "{found}"
        );
        assert!(
            number(&found, "wait_p99_ms") >= number(&found, "wait_p50_ms"),
            "{found}"
        );
    }
    let held = json(
        &bench,
        &["fight", "--tasks", "4", "--seconds", "0.5", "--hold", "5ms"],
    );
    let (held_s, pairs) = (number(&held, "held_s"), number(&held, "pairs"));
    assert!(
        held_s >= 0.004 * pairs && held_s <= number(&held, "secs"),
        "{held}"
    );
}

#[test]
fn permits_are_used_by_several_at_once_and_how_much_is_said() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let args = ["permits", "--permits", "3", "--tasks", "6"];
    let found = json(
        &bench,
        &[&args[..], &["--seconds", "0.5", "--hold", "5ms"]].concat(),
    );
    assert_eq!(found["bench"], "permits");
    let (held_s, secs) = (number(&found, "held_s"), number(&found, "secs"));
    let used = number(&found, "use");
    assert!((used - held_s / (3.0 * secs)).abs() < 0.01, "{found}");
    // More than two could hold at once, and no more than there are.
    assert!(used > 2.0 / 3.0 && used <= 1.0, "{found}");
    let (min, max) = (number(&found, "min"), number(&found, "max"));
    assert!(min > 0.0 && max <= number(&found, "pairs"), "{found}");
    assert!(number(&found, "requests") > 0.0, "{found}");
    assert!(
        number(&found, "wait_p99_ms") >= number(&found, "wait_p50_ms"),
        "{found}"
    );
}

#[test]
fn requests_are_what_the_server_was_sent() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let calls = |stats: &str, command: &str| {
        let line = stats
            .lines()
            .find_map(|l| l.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0.0, |line| {
            line.split(',').next().unwrap().parse::<f64>().unwrap()
        })
    };
    let warm_up = 50.0;
    let floor = json(&bench, &["floor-keys", "--tasks", "2", "--seconds", "0.3"]);
    let stats = server.command(&["INFO", "commandstats"]);
    // One script more: it was sent as a text first.
    let sent = calls(&stats, "set") + calls(&stats, "evalsha") - 2.0 * warm_up;
    assert!(
        (sent - number(&floor, "requests")).abs() <= 2.0,
        "{sent} {floor}"
    );

    server.command(&["CONFIG", "RESETSTAT"]);
    let ours = json(
        &bench,
        &["fight", "--strict", "--tasks", "2", "--seconds", "0.5"],
    );
    let sent = calls(&server.command(&["INFO", "commandstats"]), "evalsha");
    let counted = number(&ours, "requests");
    // Beside the pairs of the warm-up, a client says hello and good-bye, and hears pushes.
    assert!(
        counted > 0.0 && sent >= counted && sent - counted <= 2.0 * warm_up + 30.0,
        "{sent} {ours}"
    );
}

#[test]
fn turns_in_two_processes_never_overlap_and_are_shared_fairly() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let start = |trace: &str| -> Process {
        let fight = [
            "bench",
            "--json",
            "fight",
            "--tasks",
            "4",
            "--seconds",
            "1",
            "--hold",
            "2ms",
        ];
        let args: Vec<&str> = fight.iter().chain(&["--trace", trace]).copied().collect();
        bench.start(&args, &format!("{trace}-errors"))
    };
    let (mut one, mut two) = (start("a"), start("b"));
    assert!(one.wait(PATIENCE).success() && two.wait(PATIENCE).success());
    let text = bench.read("a") + &bench.read("b");
    let mut turns: Vec<(u64, u64)> = text
        .lines()
        .map(|line| {
            let (begun, ended) = line.split_once(' ').unwrap();
            (begun.parse().unwrap(), ended.parse().unwrap())
        })
        .collect();
    turns.sort_unstable();
    assert!(turns.len() > 100, "{}", turns.len());
    for pair in turns.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "{pair:?}");
    }
}

#[test]
fn leases_that_are_held_stay_held() {
    let server = RedisServer::start();
    let bench = Bench::on(&server.url());
    let found = json(
        &bench,
        &["hold", "--leases", "300", "--seconds", "2", "--ttl", "1s"],
    );
    assert!(found["leases"] == 300 && found["lost"] == 0, "{found}");
    assert!(
        number(&found, "rss_mb") > 1.0 && number(&found, "requests") > 3.0,
        "{found}"
    );
}
