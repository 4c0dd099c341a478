//! Compares what was due with what ran, by the rows of the jobs, and with what became of it, by the history.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use anyhow::Context;
use leasehold::scheduler::{Outcome, TickRecord};

/// A start, as its job wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) fence: u64,
    /// From the nominal time, on the store's clock.
    pub(crate) late_us: i64,
}

/// All rows, by job and tick.
#[derive(Debug, Default)]
pub(crate) struct Rows(BTreeMap<(usize, i64), Vec<Row>>);

impl Rows {
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let mut rows = Self::default();
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with("rows-")) {
                rows.add(&std::fs::read_to_string(path)?)?;
            }
        }
        Ok(rows)
    }

    fn add(&mut self, text: &str) -> anyhow::Result<()> {
        // A line that was cut off by the end of its process started nothing that could be known.
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            let numbers: Option<Vec<i64>> = line.split(' ').map(|word| word.parse().ok()).collect();
            let numbers = numbers.with_context(|| format!("no row: {line:?}"))?;
            let [job, tick, fence, late_us] = numbers[..] else {
                anyhow::bail!("no row: {line:?}");
            };
            let row = Row {
                fence: u64::try_from(fence)?,
                late_us,
            };
            self.0
                .entry((usize::try_from(job)?, tick))
                .or_default()
                .push(row);
        }
        Ok(())
    }
}

/// How it went.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) ticks: u64,
    /// Ticks by what became of them.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// Ticks that started more than once, or have more than one record.
    pub(crate) doubled: Vec<String>,
    /// Ticks without a record, or whose record is not that of their row.
    pub(crate) unaccounted: Vec<String>,
    /// How late the starts were, in order.
    pub(crate) late_us: Vec<i64>,
}

impl Verdict {
    /// Adds a job that was due at each second of `window`.
    pub(crate) fn add(
        &mut self,
        job: usize,
        window: RangeInclusive<i64>,
        rows: &Rows,
        records: &[TickRecord],
    ) {
        for tick in window {
            self.ticks += 1;
            let about = (records.iter()).filter(|r| !r.late && r.start <= tick && tick <= r.end);
            let found: Vec<_> = about.collect();
            let started = rows.0.get(&(job, tick)).map_or(&[][..], Vec::as_slice);
            let what = || format!("job {job}, tick {tick}: rows {started:?}, records {found:?}");
            if started.len() > 1 || found.len() > 1 {
                self.doubled.push(what());
            }
            match (found.first(), started.first()) {
                (None, _) => self.unaccounted.push(what()),
                (Some(record), Some(row)) if record.fence != Some(row.fence) => {
                    self.unaccounted.push(what());
                }
                (Some(record), None) if record.outcome == Outcome::Ran => {
                    self.unaccounted.push(what());
                }
                (Some(record), _) => {
                    *self.outcomes.entry(record.outcome.as_str()).or_default() += 1;
                }
            }
            self.late_us.extend(started.iter().map(|row| row.late_us));
        }
        self.late_us.sort_unstable();
    }

    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome.as_str()).copied().unwrap_or(0)
    }

    /// In ms; of no starts none is late.
    #[allow(clippy::cast_precision_loss, reason = "a delay is far below 2^53 µs")]
    pub(crate) fn late_ms(&self, percent: usize) -> f64 {
        let last = self.late_us.len().saturating_sub(1);
        let at = (self.late_us.len() * percent / 100).min(last);
        self.late_us
            .get(at)
            .map_or(0.0, |late| *late as f64 / 1000.0)
    }

    pub(crate) fn is_accounted_for(&self) -> bool {
        self.doubled.is_empty() && self.unaccounted.is_empty() && self.ticks > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(start: i64, end: i64, outcome: &str, fence: Option<u64>) -> TickRecord {
        let attempt = u32::from(fence.is_some());
        let json = serde_json::json!({
            "start": start, "end": end, "attempt": attempt, "outcome": outcome, "fence": fence
        });
        serde_json::from_value(json).unwrap()
    }

    fn verdict(rows: &str, records: &[TickRecord]) -> Verdict {
        let mut read = Rows::default();
        read.add(rows).unwrap();
        let mut verdict = Verdict::default();
        verdict.add(0, 10..=11, &read, records);
        verdict
    }

    #[test]
    fn a_tick_with_one_row_and_its_record_is_accounted_for() {
        let records = [
            record(10, 10, "ran", Some(7)),
            record(11, 12, "missed", None),
        ];
        let good = verdict("0 10 7 1500\n0 9 6 1\n1 10 3 3\n0 11 8", &records);
        assert!(good.is_accounted_for(), "{good:?}");
        assert_eq!(
            (good.count(Outcome::Ran), good.count(Outcome::Missed)),
            (1, 1)
        );
        assert_eq!((good.late_us.len(), good.late_ms(99)), (1, 1.5));
    }

    #[test]
    fn what_is_doubled_or_lost_is_found() {
        let ran = || record(10, 11, "ran", Some(7));
        let both = "0 10 7 1\n0 11 7 1\n";
        assert!(verdict(both, &[ran()]).is_accounted_for());
        for (rows, records) in [
            ("0 10 7 1\n0 10 8 1\n0 11 7 1\n", vec![ran()]),
            (both, vec![ran(), record(11, 11, "missed", None)]),
            (both, vec![record(10, 10, "ran", Some(7))]),
            ("0 10 7 1\n", vec![ran()]),
            ("0 10 7 1\n0 11 8 1\n", vec![ran()]),
        ] {
            assert!(
                !verdict(rows, &records).is_accounted_for(),
                "{rows} {records:?}"
            );
        }
        let nothing = Verdict::default();
        assert!(!nothing.is_accounted_for());
    }
}
