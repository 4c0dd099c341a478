//! What it costs: processor time, and commands of the store.

use std::collections::BTreeMap;
use std::fmt;

use leasehold_testkit::RedisServer;

/// Clock ticks a second: 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// What was used up to an instant.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    /// Seconds of processor time, a process.
    processes: Vec<f64>,
    server: f64,
    /// Calls of each command, those that scripts make among them.
    calls: BTreeMap<String, u64>,
}

fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // `pid (name) state ppid ...`: user and system time are the 14th and the 15th.
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let used = fields.split(' ').skip(11).take(2);
    used.filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / TICKS
}

impl Cost {
    pub(crate) fn until_now(pids: &[u32], server: &RedisServer) -> Self {
        let stats = server.command(&["INFO", "commandstats"]);
        let calls = stats.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            Some((name.to_owned(), calls))
        });
        Self {
            processes: pids.iter().map(|pid| processor_seconds(*pid)).collect(),
            server: processor_seconds(server.pid()),
            calls: calls.collect(),
        }
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        let processes = self.processes.iter().zip(&before.processes);
        let calls = self.calls.iter().map(|(name, calls)| {
            let calls = calls - before.calls.get(name).copied().unwrap_or(0);
            (name.clone(), calls)
        });
        Self {
            processes: processes.map(|(now, then)| now - then).collect(),
            server: self.server - before.server,
            calls: calls.filter(|(_, calls)| *calls > 0).collect(),
        }
    }

    /// Of one processor, the busiest process.
    pub(crate) fn busiest(&self, seconds: f64) -> f64 {
        self.processes.iter().copied().fold(0.0, f64::max) / seconds * 100.0
    }

    pub(crate) fn show(&self, seconds: f64, ticks: f64) -> String {
        let nodes: Vec<_> = (self.processes.iter())
            .map(|used| format!("{:.1} %", used / seconds * 100.0))
            .collect();
        format!(
            "of a processor: nodes {}; server {:.1} %\ncommands a second: {}\n{}",
            nodes.join(", "),
            self.server / seconds * 100.0,
            Rates(&self.calls, seconds),
            if ticks > 0.0 {
                format!("commands a tick: {}\n", Rates(&self.calls, ticks))
            } else {
                String::new()
            }
        )
    }
}

struct Rates<'a>(&'a BTreeMap<String, u64>, f64);

impl fmt::Display for Rates<'_> {
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, calls) in self.0 {
            let rate = *calls as f64 / self.1;
            if rate >= 0.005 {
                write!(f, "{name} {rate:.2}  ")?;
            }
        }
        Ok(())
    }
}
