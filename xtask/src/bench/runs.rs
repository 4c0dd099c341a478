//! Running `leasehold bench`, alone or several times at once.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use leasehold_testkit::RedisServer;
use serde_json::Value;

use crate::run::{capture, cargo};

/// What the benches run on.
pub(super) struct Runs<'a> {
    pub(super) server: &'a RedisServer,
    program: PathBuf,
}

/// What one run, or several at once, found.
pub(super) struct Found(Vec<Value>);

impl<'a> Runs<'a> {
    pub(super) fn new(server: &'a RedisServer) -> Result<Self> {
        let metadata = capture(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"].as_str();
        let target = target.context("`cargo metadata` names no target directory")?;
        Ok(Self {
            server,
            program: PathBuf::from(target).join("release/leasehold"),
        })
    }

    /// `leasehold` itself.
    pub(super) fn leasehold(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).stdin(Stdio::null());
        command
    }

    /// On the server, once.
    pub(super) fn one(&self, line: &str) -> Result<Found> {
        self.many(line, 1)
    }

    /// On the server, in so many processes at once.
    pub(super) fn many(&self, line: &str, processes: usize) -> Result<Found> {
        self.each(&vec![line.to_owned(); processes], &self.server.url())
    }

    /// On `store`, each line in a process of its own, all at once.
    pub(super) fn each(&self, lines: &[String], store: &str) -> Result<Found> {
        let start = |line: &String| -> Result<Child> {
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut command = self.leasehold(&["bench", "--json", "--store", store]);
            command.args(words).stdout(Stdio::piped());
            command.spawn().context("could not start leasehold bench")
        };
        let children: Vec<Child> = lines.iter().map(start).collect::<Result<_>>()?;
        let mut found = Vec::new();
        for (child, line) in children.into_iter().zip(lines) {
            let output = child.wait_with_output()?;
            if !output.status.success() {
                bail!("leasehold bench {line} failed ({})", output.status);
            }
            found.push(serde_json::from_slice(&output.stdout)?);
        }
        Ok(Found(found))
    }
}

impl Found {
    fn of<'a>(&'a self, field: &'a str) -> impl Iterator<Item = f64> + 'a {
        // A field that is missing spoils the sum, visibly.
        let number = move |found: &Value| found[field].as_f64().unwrap_or(f64::NAN);
        self.0.iter().map(number)
    }

    pub(super) fn sum(&self, field: &str) -> f64 {
        self.of(field).sum()
    }

    pub(super) fn least(&self, field: &str) -> f64 {
        self.of(field).fold(f64::INFINITY, f64::min)
    }

    pub(super) fn most(&self, field: &str) -> f64 {
        self.of(field).fold(0.0, f64::max)
    }

    /// Pairs in a second, of all processes.
    pub(super) fn rate(&self) -> f64 {
        self.sum("pairs") / self.most("secs")
    }

    /// Of the task that got the most turns and the one that got the fewest.
    pub(super) fn unfairness(&self) -> f64 {
        self.most("max") / self.least("min").max(f64::MIN_POSITIVE)
    }
}

/// The one in the middle; of an even number the mean of the two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len().is_multiple_of(2) => {
            f64::midpoint(values[middle - 1], values[middle])
        }
        values => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn processes_that_ran_at_once_are_one_crowd() {
        let one = serde_json::json!({ "pairs": 30, "secs": 2.0, "min": 10, "max": 12 });
        let two = serde_json::json!({ "pairs": 10, "secs": 2.0, "min": 6, "max": 11 });
        let found = Found(vec![one, two]);
        assert!((found.rate() - 20.0).abs() < 1e-9);
        assert!((found.unfairness() - 2.0).abs() < 1e-9);
        assert!(found.sum("requests").is_nan());
    }
}
