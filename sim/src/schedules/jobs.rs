//! Which jobs a seed has, and how they change from release to release.

use std::time::Duration;

use leasehold_core::Env;
use leasehold_scheduler::Spec;

use super::history::{JobPlan, Words};
use crate::plan::one_of;

const SCHEDULES: [&str; 5] = [
    "*/2 * * * * *",
    "*/3 * * * * *",
    "1/4 * * * * *",
    "*/5 * * * * *",
    "0,1,2,30,31 * * * * *",
];

/// Policies that a job may have beside its schedule, one of each row.
const POLICIES: [&[(&str, &str)]; 6] = [
    &[
        ("misfire", "run_once"),
        ("misfire", "run_all(30s, 5)"),
        ("misfire", "run_all(10s)"),
    ],
    &[
        ("overlap", "queue_one"),
        ("overlap", "queue_all(3)"),
        ("overlap", "cancel_running"),
        ("overlap", "allow(2)"),
    ],
    &[("jitter", "500ms"), ("jitter", "900ms")],
    &[("timeout", "1s"), ("timeout", "2s")],
    &[("retries", "1"), ("retries", "3")],
    &[("on_crash", "retry")],
];

struct Drawing<'a> {
    env: &'a Env,
    releases: usize,
}

/// Schedules whose ticks lie around a change of the clocks.
const AROUND_CHANGES: [&str; 6] = [
    "*/20 * * * * *",
    "0,20,40 0,1,2,59 * * * *",
    "0,30 0-4 0,1,2,3 * * *",
    "0 */1 * * * *",
    "10 59 0,1,2,23 * * *",
    "0 0,30 0,1,2,3 * * *",
];

/// The jobs of a run; if it begins shortly before the clocks of a zone change, some live there.
pub(super) fn of(env: &Env, releases: usize, zone: Option<&str>) -> Vec<JobPlan> {
    let ms = Duration::from_millis;
    let drawing = Drawing { env, releases };
    let changed = (0..releases).map(|_| Some(drawing.maybe_rare())).collect();
    let mut jobs = vec![
        drawing.job("quick", drawing.same(), &[ms(0), ms(0), ms(30)]),
        drawing.job("slow", drawing.same(), &[ms(300), ms(1500), ms(2500)]),
        drawing.job("changes", changed, &[ms(0), ms(200), ms(3000)]),
    ];
    if let Some(zone) = zone {
        let zoned = vec![Some(drawing.zoned(zone)); releases];
        jobs.push(drawing.job("zoned", zoned, &[ms(0), ms(200)]));
        let changed = (0..releases).map(|_| Some(drawing.zoned(zone))).collect();
        jobs.push(drawing.job("moves", changed, &[ms(0), ms(200)]));
    }
    if env.random(2) == 0 {
        let releases = drawing.same();
        jobs.push(drawing.job("long", releases, &[ms(3000), ms(12_000)]));
    }
    if env.random(2) == 0 {
        // Older nodes do not know it.
        let mut from_second = drawing.same();
        from_second[0] = None;
        jobs.push(drawing.job("newer", from_second, &[ms(0), ms(500)]));
    }
    if env.random(3) == 0 {
        let mut only_first = vec![None; releases];
        only_first[0] = Some(drawing.words());
        jobs.push(drawing.job("older", only_first, &[ms(0), ms(500)]));
    }
    jobs
}

impl Drawing<'_> {
    fn job(&self, name: &str, releases: Vec<Option<Words>>, takes: &[Duration]) -> JobPlan {
        let retries = |words: &Words| words.contains_key("retries");
        let is_tried_again = releases.iter().flatten().any(retries);
        let fails: &[u32] = if is_tried_again { &[300] } else { &[0, 100] };
        let releases = releases.into_iter().map(|words| words.map(as_stored));
        JobPlan {
            name: name.to_owned(),
            takes: takes.to_vec(),
            fails: one_of(self.env, fails).unwrap_or(0),
            panics: one_of(self.env, &[0, 0, 50]).unwrap_or(0),
            releases: releases.collect(),
        }
    }

    fn same(&self) -> Vec<Option<Words>> {
        vec![Some(self.words()); self.releases]
    }

    /// Some are not due for months: nothing but a deploy has anybody look at them.
    fn maybe_rare(&self) -> Words {
        if self.env.random(4) == 0 {
            return Words::from([("schedule".to_owned(), "0 3 1 7 *".to_owned())]);
        }
        self.words()
    }

    fn zoned(&self, zone: &str) -> Words {
        let schedule = one_of(self.env, &AROUND_CHANGES).unwrap_or(AROUND_CHANGES[0]);
        let dst = one_of(self.env, &["", "skip", "both"]).filter(|dst| !dst.is_empty());
        let said = [("schedule", schedule), ("tz", zone)].into_iter();
        let said = said.chain(dst.map(|dst| ("dst", dst)));
        said.map(|(word, said)| (word.to_owned(), said.to_owned()))
            .collect()
    }

    fn words(&self) -> Words {
        let schedule = one_of(self.env, &SCHEDULES).unwrap_or(SCHEDULES[0]);
        let mut words = Words::from([("schedule".to_owned(), schedule.to_owned())]);
        for row in POLICIES {
            if self.env.random(4) == 0
                && let Some((word, said)) = one_of(self.env, row)
            {
                words.insert(word.to_owned(), said.to_owned());
            }
        }
        let said = |word: &str, start: &str| {
            words
                .get(word)
                .is_some_and(|said: &String| said.starts_with(start))
        };
        if said("overlap", "cancel") && said("misfire", "run_all") {
            // Each tick, and only the latest: that cannot be meant.
            words.remove("misfire");
        }
        if words.contains_key("retries") || words.contains_key("on_crash") {
            words.insert("backoff".to_owned(), "1s".to_owned());
        }
        words
    }
}

/// In the form in which a ledger has them.
fn as_stored(words: Words) -> Words {
    let said = words.iter().map(|(word, said)| (&**word, &**said));
    let Ok(spec) = Spec::from_words(said) else {
        return words;
    };
    let words = spec.words().into_iter();
    words.map(|(word, said)| (word.to_owned(), said)).collect()
}
