//! Words that are fine by themselves, and cannot be meant together.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_cron::Zone;

use crate::words::duration_text;
use crate::{Misfire, OnCrash, Overlap, Spec, SpecError};

/// From where the distance of ticks is measured, 2026-01-01, and how many: a year of a daily job's, with the changes of
/// its clocks.
const FROM: i64 = 1_767_225_600;
const TICKS: usize = 400;

pub(crate) fn contradictions(
    spec: &Spec,
    zone: &Zone,
    said: &BTreeMap<&str, &str>,
) -> Vec<SpecError> {
    let mut problems = Vec::new();
    let mut refuse = |word: &str, problem: String| problems.push(SpecError::new(word, problem));
    if said.contains_key("dst") && *zone == Zone::UTC {
        let problem = "`dst` says what to do when clocks change, and those of UTC never do: name a zone, as in \
                       `tz = \"Europe/Berlin\"`";
        refuse("dst", problem.into());
    }
    if spec.timeout == Some(Duration::ZERO) {
        let problem = "a `timeout` of nothing lets nothing run: leave it out for none";
        refuse("timeout", problem.into());
    }
    if said.contains_key("backoff") && spec.retries == 0 && spec.on_crash == OnCrash::Skip {
        let problem = "a `backoff` without `retries` or `on_crash = \"retry\"` does nothing";
        refuse("backoff", problem.into());
    }
    if matches!(spec.misfire, Misfire::RunAll { .. }) && spec.overlap == Overlap::CancelRunning {
        let problem = "`misfire = \"run_all\"` wants each tick to run, `overlap = \"cancel_running\"` only the latest: \
                       choose `run_once`, or another `overlap`";
        refuse("misfire", problem.into());
    }
    if !spec.jitter.is_zero()
        && let Some(gap) = shortest_gap(spec)
        && spec.jitter >= gap
    {
        let problem = format!(
            "a `jitter` of {} reaches the next tick, which is {} later: choose a shorter one",
            duration_text(spec.jitter),
            duration_text(gap)
        );
        refuse("jitter", problem);
    }
    problems
}

/// Between two ticks, of the next ones.
fn shortest_gap(spec: &Spec) -> Option<Duration> {
    let schedule = spec.schedule.as_ref()?;
    let ticks: Vec<i64> =
        std::iter::successors(schedule.next_after(FROM), |tick| schedule.next_after(*tick))
            .take(TICKS)
            .collect();
    let gaps = ticks.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.min()
        .map(|gap| Duration::from_secs(gap.unsigned_abs()))
}
