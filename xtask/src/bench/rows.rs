//! What is measured, and what must be.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::runs::{Found, Runs, median};

/// Of pairs that are compared.
const ROUNDS: usize = 5;
/// Of what is compared with nothing, or takes long.
const FEW_ROUNDS: usize = 3;

/// A line of the table.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) must_be: &'static str,
    pub(super) is: String,
    /// `None`: nothing is demanded, or it could not be measured.
    pub(super) is_met: Option<bool>,
    pub(super) command: String,
}

impl Row {
    fn new(
        what: impl Into<String>,
        must_be: &'static str,
        is: String,
        is_met: bool,
        command: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            must_be,
            is,
            is_met: Some(is_met),
            command: command.into(),
        }
    }
}

/// The medians of a value of ours, of the floor's and of their ratio, over rounds that take turns.
struct Compared {
    ours: f64,
    floor: f64,
    ratio: f64,
}

fn compare(
    rounds: usize,
    ours: impl Fn() -> Result<f64>,
    floor: impl Fn() -> Result<f64>,
) -> Result<Compared> {
    let pairs: Vec<(f64, f64)> = (0..rounds)
        .map(|_| Ok((ours()?, floor()?)))
        .collect::<Result<_>>()?;
    Ok(Compared {
        ours: median(pairs.iter().map(|pair| pair.0).collect()),
        floor: median(pairs.iter().map(|pair| pair.1).collect()),
        ratio: median(pairs.iter().map(|pair| pair.0 / pair.1).collect()),
    })
}

/// The median of `value` over rounds.
fn of(rounds: &[Found], value: impl Fn(&Found) -> f64) -> f64 {
    median(rounds.iter().map(value).collect())
}

fn repeat(times: usize, run: impl Fn() -> Result<Found>) -> Result<Vec<Found>> {
    (0..times).map(|_| run()).collect()
}

pub(super) fn solo(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let p50 = |what| Ok(runs.one(what)?.sum("p50_us"));
    let found = compare(
        ROUNDS,
        || p50("solo --count 20000"),
        || p50("floor-solo --count 20000"),
    )?;
    let Compared { ours, floor, ratio } = found;
    Ok(vec![Row::new(
        "`solo` p50 against `floor-solo`",
        "<= 1.2 x",
        format!("{ratio:.2} x ({ours:.0} µs, floor {floor:.0} µs)"),
        ratio <= 1.2,
        "solo --count 20000",
    )])
}

pub(super) fn keys(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let row = |tasks: u32, must_be, least| -> Result<Row> {
        let what = format!("keys --tasks {tasks} --seconds 3");
        let Compared { ours, floor, ratio } = compare(
            ROUNDS,
            || Ok(runs.one(&what)?.rate()),
            || Ok(runs.one(&format!("floor-{what}"))?.rate()),
        )?;
        Ok(Row::new(
            format!("`keys --tasks {tasks}` against `floor-keys`, pairs/s"),
            must_be,
            format!("{ratio:.2} x ({ours:.0}/s, floor {floor:.0}/s)"),
            ratio >= least,
            what,
        ))
    };
    Ok(vec![
        row(32, ">= 0.85 x", 0.85)?,
        row(256, ">= 1.3 x", 1.3)?,
    ])
}

pub(super) fn limit(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let what = "limit --tasks 64 --seconds 3";
    let rate = |what: &str| -> Result<f64> {
        let found = runs.one(what)?;
        Ok(found.sum("asked") / found.most("secs"))
    };
    let Compared { ours, floor, ratio } =
        compare(ROUNDS, || rate(what), || rate(&format!("floor-{what}")))?;
    Ok(vec![Row::new(
        "`limit --tasks 64`, one hot key, exact, against `floor-limit`, units/s",
        ">= 0.8 x",
        format!("{ratio:.2} x ({ours:.0}/s, floor {floor:.0}/s)"),
        ratio >= 0.8,
        what,
    )])
}

pub(super) fn fight(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let what = "fight --tasks 16 --seconds 5";
    let mut ours = Vec::new();
    let mut floor = Vec::new();
    for _ in 0..ROUNDS {
        ours.push(runs.many(what, 2)?);
        floor.push(runs.many(&format!("floor-{what}"), 2)?);
    }
    let ratio = median(
        (ours.iter().zip(&floor))
            .map(|(ours, floor)| ours.rate() / floor.rate())
            .collect(),
    );
    let command = format!("{what}, in 2 processes at once");
    let (rate, least) = (of(&ours, Found::rate), of(&floor, Found::rate));
    let (unfair, theirs) = (of(&ours, Found::unfairness), of(&floor, Found::unfairness));
    let theirs = if theirs.is_finite() {
        format!("floor {theirs:.2}")
    } else {
        "floor: some got none".to_owned()
    };
    Ok(vec![
        Row::new(
            "`fight`, 2 processes of 16 tasks, no hold, against `floor-fight`, pairs/s",
            ">= 25 x",
            format!("{ratio:.1} x ({rate:.0}/s, floor {least:.0}/s)"),
            ratio >= 25.0,
            command.clone(),
        ),
        Row::new(
            "the same: turns of the luckiest task to the unluckiest's",
            "<= 1.2",
            format!("{unfair:.2} ({theirs})"),
            unfair <= 1.2,
            command,
        ),
    ])
}

pub(super) fn fight_holding(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let what = "fight --tasks 16 --seconds 10 --hold 5ms";
    let found = repeat(FEW_ROUNDS, || runs.many(what, 2))?;
    let command = format!("{what}, in 2 processes at once");
    let held = 100.0 * of(&found, |f| f.sum("held_s") / f.most("secs"));
    let unfair = of(&found, Found::unfairness);
    // The ideal: everyone else's hold, once.
    let wait = of(&found, |f| {
        let hold_ms = 1000.0 * f.sum("held_s") / f.sum("pairs");
        f.most("wait_p99_ms") / (f.sum("tasks") * hold_ms)
    });
    let wait_ms = of(&found, |f| f.most("wait_p99_ms"));
    let requests = of(&found, |f| f.sum("requests") / f.sum("pairs"));
    let row =
        |what: &str, must_be, is, is_met| Row::new(what, must_be, is, is_met, command.clone());
    Ok(vec![
        row(
            "`fight`, 2 processes of 16 tasks, 5 ms hold: how much of the time it is held",
            ">= 98 %",
            format!("{held:.1} %"),
            held >= 98.0,
        ),
        row(
            "the same: turns of the luckiest task to the unluckiest's",
            "<= 1.2",
            format!("{unfair:.2}"),
            unfair <= 1.2,
        ),
        row(
            "the same: p99 wait, in tasks x mean real hold",
            "<= 1.1",
            format!("{wait:.2} ({wait_ms:.0} ms)"),
            wait <= 1.1,
        ),
        row(
            "the same: requests a turn",
            "<= 0.5",
            format!("{requests:.2}"),
            requests <= 0.5,
        ),
    ])
}

pub(super) fn permits(runs: &Runs<'_>) -> Result<Vec<Row>> {
    const PROCESSES: usize = 4;
    let what = "permits --permits 20 --tasks 16 --seconds 10 --hold 5ms";
    let found = repeat(FEW_ROUNDS, || runs.many(what, PROCESSES))?;
    let command = format!("{what}, in {PROCESSES} processes at once");
    // Each process says how much of all the permits' time its own tasks had.
    let used = 100.0 * of(&found, |f| f.sum("use"));
    let mean = |f: &Found| f.sum("pairs") / f.sum("tasks");
    let least = of(&found, |f| f.least("min") / mean(f));
    let most = of(&found, |f| f.most("max") / mean(f));
    let requests = of(&found, |f| f.sum("requests") / f.sum("pairs"));
    let wait_ms = of(&found, |f| f.most("wait_p99_ms"));
    Ok(vec![
        Row::new(
            "`permits`, a semaphore of 20, 4 processes of 16 tasks, 5 ms hold: permits in use",
            ">= 95 %",
            format!("{used:.1} % ({requests:.2} requests a turn, p99 wait {wait_ms:.0} ms)"),
            used >= 95.0,
            command.clone(),
        ),
        Row::new(
            "the same: turns of the unluckiest task and of the luckiest, in means",
            "0.75 to 1.25",
            format!("{least:.2} to {most:.2}"),
            least >= 0.75 && most <= 1.25,
            command,
        ),
    ])
}

pub(super) fn strict(runs: &Runs<'_>) -> Result<Vec<Row>> {
    const PROCESSES: usize = 8;
    let what = "fight --strict --tasks 1 --seconds 5 --hold 1ms";
    let folder = tempfile::tempdir()?;
    let file = |n| folder.path().join(format!("turns-{n}"));
    let lines: Vec<String> = (0..PROCESSES)
        .map(|n| format!("{what} --trace {}", file(n).display()))
        .collect();
    let (mut ratios, mut gaps, mut pings, mut requests) = (vec![], vec![], vec![], vec![]);
    for _ in 0..FEW_ROUNDS {
        let found = runs.each(&lines, &runs.server.url())?;
        let texts: Vec<String> = (0..PROCESSES)
            .map(|n| fs::read_to_string(file(n)))
            .collect::<std::io::Result<_>>()?;
        let gap = gap_us(&texts).context("a trace has other lines than two numbers")?;
        let ping = runs.one("ping --count 2000 --pace 1ms")?.sum("p50_us");
        ratios.push(gap / ping);
        gaps.push(gap);
        pings.push(ping);
        requests.push(found.sum("requests") / found.sum("pairs"));
    }
    let (ratio, requests) = (median(ratios), median(requests));
    let (gap, ping) = (median(gaps), median(pings));
    let command = format!("{what} --trace FILE, in {PROCESSES} processes at once; ping --pace 1ms");
    Ok(vec![
        Row::new(
            "`--strict`, 8 processes of 1 task, 1 ms hold: gap p50 against a ping paced alike",
            "<= 1.2 x",
            format!("{ratio:.2} x ({gap:.0} µs, ping {ping:.0} µs)"),
            ratio <= 1.2,
            command.clone(),
        ),
        Row::new(
            "the same: requests a turn",
            "<= 2.5",
            format!("{requests:.2}"),
            requests <= 2.5,
            command,
        ),
    ])
}

/// From a turn's end, which is when its release began, to the next one's begin: the median.
fn gap_us(traces: &[String]) -> Option<f64> {
    let lines = traces.iter().flat_map(|text| text.lines());
    let turn = |line: &str| {
        let (begun, ended) = line.split_once(' ')?;
        Some((begun.parse::<u64>().ok()?, ended.parse::<u64>().ok()?))
    };
    let mut turns: Vec<(u64, u64)> = lines.map(turn).collect::<Option<_>>()?;
    turns.sort_unstable();
    let gaps = turns.windows(2).map(|pair| {
        let ns = pair[1].0.saturating_sub(pair[0].1);
        Duration::from_nanos(ns).as_secs_f64() * 1e6
    });
    Some(median(gaps.collect()))
}

pub(super) fn server_time(runs: &Runs<'_>) -> Result<Vec<Row>> {
    const COUNT: u32 = 20_000;
    // What the bench does before it counts.
    const WARM_UP: u32 = 200;
    let a_pair = |what: &str, commands: &[&str]| -> Result<f64> {
        runs.server.command(&["CONFIG", "RESETSTAT"]);
        runs.one(&format!("{what} --count {COUNT}"))?;
        let stats = runs.server.command(&["INFO", "commandstats"]);
        let spent: f64 = commands.iter().map(|command| usec(&stats, command)).sum();
        Ok(spent / f64::from(COUNT + WARM_UP))
    };
    // A script's time includes that of the commands in it, which are listed beside it.
    let Compared { ours, floor, ratio } = compare(
        FEW_ROUNDS,
        || a_pair("solo", &["evalsha", "eval"]),
        || a_pair("floor-solo", &["set", "evalsha", "eval"]),
    )?;
    Ok(vec![Row::new(
        "server time a pair against the floor's, uncontended",
        "<= 1.8 x",
        format!("{ratio:.2} x ({ours:.1} µs, floor {floor:.1} µs)"),
        ratio <= 1.8,
        "CONFIG RESETSTAT; solo --count 20000; INFO commandstats",
    )])
}

/// What the server spent in a command, by its own account.
fn usec(stats: &str, command: &str) -> f64 {
    let begin = format!("cmdstat_{command}:");
    let line = stats.lines().find_map(|line| line.strip_prefix(&begin));
    let field = line.and_then(|line| line.split(',').find_map(|f| f.strip_prefix("usec=")));
    field.and_then(|usec| usec.parse().ok()).unwrap_or(0.0)
}

pub(super) fn hold(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let what = "hold --leases 100000 --seconds 35";
    let found = runs.one(what)?;
    let (cpu, rss, lost) = (
        found.sum("cpu_percent"),
        found.sum("rss_mb"),
        found.sum("lost"),
    );
    Ok(vec![Row::new(
        "100,000 leases held by one process, TTL 30 s",
        "< 15 % of a client core, < 300 MB, none lost",
        format!("{cpu:.1} %, {rss:.0} MB, {lost:.0} lost"),
        cpu < 15.0 && rss < 300.0 && lost < 1.0,
        what,
    )])
}

pub(super) fn memory(runs: &Runs<'_>) -> Result<Vec<Row>> {
    let what = "solo --count 200000";
    let run = || runs.each(&[what.to_owned()], "memory://");
    let p50 = of(&repeat(ROUNDS, run)?, |f| f.sum("p50_us"));
    Ok(vec![Row::new(
        "memory store: uncontended lock + release, p50",
        "<= 2 µs",
        format!("{p50:.2} µs"),
        p50 <= 2.0,
        format!("{what} (memory://)"),
    )])
}

pub(super) fn sqlite(runs: &Runs<'_>) -> Result<Vec<Row>> {
    const PROCESSES: usize = 4;
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite:{}", folder.path().join("bench.db").display());
    let what = "fight --tasks 1 --seconds 5";
    let lines = vec![what.to_owned(); PROCESSES];
    let found = repeat(FEW_ROUNDS, || runs.each(&lines, &store))?;
    let (rate, unfair) = (of(&found, Found::rate), of(&found, Found::unfairness));
    let idle = idle_waiters(runs, &store, PROCESSES)?;
    Ok(vec![
        Row {
            what: "SQLite, 4 processes: pairs/s on one lock".into(),
            must_be: "stated",
            is: format!("{rate:.0}/s (luckiest to unluckiest {unfair:.2})"),
            is_met: None,
            command: format!("{what} (sqlite:PATH), in {PROCESSES} processes at once"),
        },
        Row::new(
            "SQLite: a waiter that only waits",
            "< 1 % of a core",
            format!("{idle:.2} %"),
            idle < 1.0,
            "leasehold lock x -- sleep 60, and 4 of them that wait",
        ),
    ])
}

/// What a process takes of a core that waits for a lock: the most of all of them.
fn idle_waiters(runs: &Runs<'_>, store: &str, waiters: usize) -> Result<f64> {
    const LOOK: Duration = Duration::from_secs(10);
    let start = || -> Result<Child> {
        let args = ["lock", "idle", "--store", store, "--", "sleep", "60"];
        let mut command = runs.leasehold(&args);
        Ok(command.stdout(Stdio::null()).spawn()?)
    };
    // Whoever comes first holds it, and looks as idle as the rest.
    let mut all: Vec<Child> = (0..=waiters).map(|_| start()).collect::<Result<_>>()?;
    sleep(Duration::from_secs(2));
    let before: Vec<f64> = all.iter().map(|child| cpu_seconds(child.id())).collect();
    sleep(LOOK);
    let spent = all
        .iter()
        .zip(before)
        .map(|(child, was)| cpu_seconds(child.id()) - was);
    let most = spent.fold(0.0, f64::max) / LOOK.as_secs_f64() * 100.0;
    for child in &mut all {
        child.kill()?;
        child.wait()?;
    }
    Ok(most)
}

/// What a process has used of the processors: Linux counts it in hundredths.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in parentheses, from the third field on: utime and stime are the 14th and 15th.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = fields.split(' ').skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

pub(super) fn crowded(runs: &Runs<'_>) -> Result<Vec<Row>> {
    const COUNT: u32 = 20_000;
    // Each comes once and is ended once, before and after what is counted.
    const MORE: u32 = 2 * (1000 + 1000);
    let what = format!("crowd --holders 1000 --waiters 1000 --count {COUNT}");
    let (mut spent, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..FEW_ROUNDS {
        runs.server.command(&["CONFIG", "RESETSTAT"]);
        let found = runs.one(&what)?;
        let stats = runs.server.command(&["INFO", "commandstats"]);
        let us = usec(&stats, "evalsha") + usec(&stats, "eval");
        spent.push(us / f64::from(COUNT + MORE));
        memory.push(found.sum("memory_bytes"));
    }
    let (spent, memory) = (median(spent), median(memory) / 1e6);
    Ok(vec![Row::new(
        "one resource with 1,000 holders and 1,000 waiters: server time an operation",
        "<= 40 µs",
        format!("{spent:.1} µs ({memory:.1} MB)"),
        spent <= 40.0,
        format!("CONFIG RESETSTAT; {what}; INFO commandstats"),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_between_turns_of_whichever_process() {
        let traces = ["0 1000\n9000 9500\n".to_owned(), "3000 8000\n".to_owned()];
        let gap = gap_us(&traces).expect("these are numbers");
        // 1000 to 3000, and 8000 to 9000.
        assert!((gap - 1.5).abs() < 1e-9, "{gap}");
        assert!(gap_us(&["x".to_owned()]).is_none());
    }

    #[test]
    fn the_servers_account_is_read_by_command() {
        let stats = "# Commandstats\r\ncmdstat_set:calls=2,usec=30,usec_per_call=15.00\r\ncmdstat_setex:calls=1,usec=7\r\n";
        assert!((usec(stats, "set") - 30.0).abs() < 1e-9);
        assert!(usec(stats, "get").abs() < 1e-9);
    }
}
