//! The specification.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use leasehold_cron::{Dst, Schedule, Zone};

use crate::words::{duration, duration_text};
use crate::{Misfire, OnCrash, Overlap, SpecError, check};

/// Stands for a schedule: the job is never due by itself.
const OFF: &str = "-";
/// The first pause before another attempt; each further one is twice as long.
const BACKOFF: Duration = Duration::from_secs(10);
/// The most attempts beyond the first.
const MOST_RETRIES: u32 = 100;
/// Pauses between attempts grow no longer than this.
const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);

/// When a job is due, and what to do when things go wrong. Two are equal if they say the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Spec {
    /// `schedule`, `tz` and `dst`: when it is due, by the clocks of its zone; `None` (written `-`, whatever the zone) is
    /// never by itself, only when triggered.
    pub schedule: Option<Schedule>,
    /// `misfire`: what to do with ticks that no node could start in time.
    pub misfire: Misfire,
    /// `overlap`: what to do with a tick while a run is under way.
    pub overlap: Overlap,
    /// `jitter`: each tick starts up to this much later, always the same for the same job and tick.
    pub jitter: Duration,
    /// `timeout`: a run is cancelled after this, and its outcome is `timed_out`.
    pub timeout: Option<Duration>,
    /// `retries`: how often a tick that failed is tried again.
    pub retries: u32,
    /// `backoff`: the pause before the first of them (default 10 s). It doubles each time, up to an hour.
    pub backoff: Duration,
    /// `on_crash`: what to do with a run whose node went away.
    pub on_crash: OnCrash,
    /// `only_on`: the labels that a node must have to run it, sorted.
    pub only_on: Vec<String>,
}

impl Default for Spec {
    /// Never due, and nothing special.
    fn default() -> Self {
        Self {
            schedule: None,
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            jitter: Duration::ZERO,
            timeout: None,
            retries: 0,
            backoff: BACKOFF,
            on_crash: OnCrash::default(),
            only_on: Vec::new(),
        }
    }
}

impl Spec {
    /// The words that there are.
    pub const WORDS: [&'static str; 11] = [
        "schedule", "tz", "dst", "misfire", "overlap", "jitter", "timeout", "retries", "backoff",
        "on_crash", "only_on",
    ];

    /// Reads a specification from its words, in any order. What is not said has its default; `schedule` has none.
    ///
    /// # Errors
    /// [`SpecError`] with the word that is wrong: unknown, unreadable, or at odds with another one. If several are, the
    /// first of what [`check`](Self::check) says.
    pub fn from_words<'a>(
        words: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SpecError> {
        Self::check(words).map_err(|mut problems| problems.swap_remove(0))
    }

    /// As [`from_words`](Self::from_words), with all that is wrong.
    ///
    /// ```
    /// use leasehold_spec::Spec;
    ///
    /// let problems = Spec::check([("schedule", "61 * * * *"), ("jitter", "5")]).unwrap_err();
    /// assert_eq!(problems.len(), 2);
    /// assert_eq!((problems[0].word.as_str(), problems[1].word.as_str()), ("schedule", "jitter"));
    /// ```
    ///
    /// # Errors
    /// At least one, in the order of the words. Whether words are at odds is told once each of them can be read.
    pub fn check<'a>(
        words: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Vec<SpecError>> {
        let mut spec = Self::default();
        let (mut zone, mut dst) = (Zone::UTC, Dst::default());
        let mut said = BTreeMap::new();
        let mut problems = Vec::new();
        for (word, text) in words {
            let read = match (said.insert(word, text), word) {
                (Some(_), _) => Err(format!("`{word}` is given twice")),
                (None, "tz") => set(&mut zone, text),
                (None, "dst") => set(&mut dst, text),
                (None, _) => spec.set(word, text),
            };
            problems.extend(read.err().map(|problem| SpecError::new(word, problem)));
        }
        if !said.contains_key("schedule") {
            let problem =
                "a job has a `schedule`: a cron expression, or `-` if it is never due by itself";
            problems.push(SpecError::new("schedule", problem));
        }
        let schedule = spec.schedule.take();
        spec.schedule = schedule.map(|schedule| schedule.in_zone(zone.clone()).dst(dst));
        if problems.is_empty() {
            problems = check::contradictions(&spec, &zone, &said);
        }
        if problems.is_empty() {
            Ok(spec)
        } else {
            Err(problems)
        }
    }

    fn set(&mut self, word: &str, text: &str) -> Result<(), String> {
        match word {
            "schedule" => self.schedule = parse_schedule(text)?,
            "misfire" => self.misfire = text.parse()?,
            "overlap" => self.overlap = text.parse()?,
            "jitter" => self.jitter = duration(text)?,
            "timeout" => self.timeout = Some(duration(text)?),
            "retries" => {
                let number = text.parse().ok().filter(|n| *n <= MOST_RETRIES);
                self.retries = number.ok_or_else(|| {
                    format!("`{text}` is no number of retries from 0 to {MOST_RETRIES}")
                })?;
            }
            "backoff" => self.backoff = duration(text)?,
            "on_crash" => self.on_crash = text.parse()?,
            "only_on" => self.only_on = labels(text)?,
            _ => {
                return Err(format!(
                    "unknown word `{word}`: there are {}",
                    Self::WORDS.join(", ")
                ));
            }
        }
        Ok(())
    }

    /// What it says beyond the defaults, by word; [`from_words`](Self::from_words) reads it back.
    pub fn words(&self) -> BTreeMap<&'static str, String> {
        let default = Self::default();
        let schedule = self.schedule.as_ref();
        let zone = schedule
            .map(Schedule::zone)
            .filter(|zone| **zone != Zone::UTC);
        let dst = zone.and(schedule).map(Schedule::dst_policy);
        let words = [
            (
                "schedule",
                Some(schedule.map_or_else(|| OFF.to_owned(), ToString::to_string)),
            ),
            ("tz", zone.map(ToString::to_string)),
            (
                "dst",
                dst.filter(|dst| *dst != Dst::default())
                    .map(|dst| dst.to_string()),
            ),
            (
                "misfire",
                (self.misfire != default.misfire).then(|| self.misfire.to_string()),
            ),
            (
                "overlap",
                (self.overlap != default.overlap).then(|| self.overlap.to_string()),
            ),
            (
                "jitter",
                (self.jitter != default.jitter).then(|| duration_text(self.jitter)),
            ),
            ("timeout", self.timeout.map(duration_text)),
            (
                "retries",
                (self.retries != default.retries).then(|| self.retries.to_string()),
            ),
            (
                "backoff",
                (self.backoff != default.backoff).then(|| duration_text(self.backoff)),
            ),
            (
                "on_crash",
                (self.on_crash != default.on_crash).then(|| self.on_crash.to_string()),
            ),
            (
                "only_on",
                (!self.only_on.is_empty()).then(|| self.only_on.join(", ")),
            ),
        ];
        words
            .into_iter()
            .filter_map(|(word, text)| Some((word, text?)))
            .collect()
    }

    /// Attempts at a tick, the first one included, if `crashes` of them ended with their node.
    pub fn attempts(&self, crashed: bool) -> u32 {
        let crash = u32::from(crashed && self.on_crash == OnCrash::Retry);
        1 + self.retries.max(crash)
    }

    /// The pause after the `attempt`th attempt, counted from 1.
    pub fn pause_after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        let pause = self.backoff.saturating_mul(2_u32.pow(doublings));
        pause.min(LONGEST_BACKOFF.max(self.backoff))
    }
}

/// As the attribute says it: `"0 2 * * *", tz = "Europe/Berlin", retries = 3`.
impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words();
        for (place, word) in Self::WORDS
            .iter()
            .filter(|word| words.contains_key(*word))
            .enumerate()
        {
            let text = &words[word];
            match (place, *word) {
                (0, _) => write!(f, "\"{text}\"")?,
                (_, "retries") => write!(f, ", {word} = {text}")?,
                _ => write!(f, ", {word} = \"{text}\"")?,
            }
        }
        Ok(())
    }
}

/// Reads a value into its place.
fn set<T: FromStr<Err: ToString>>(place: &mut T, text: &str) -> Result<(), String> {
    *place = text.parse().map_err(|error: T::Err| error.to_string())?;
    Ok(())
}

fn parse_schedule(text: &str) -> Result<Option<Schedule>, String> {
    if text.trim() == OFF {
        return Ok(None);
    }
    Schedule::parse(text)
        .map(Some)
        .map_err(|error| error.to_string())
}

fn labels(text: &str) -> Result<Vec<String>, String> {
    let mut labels: Vec<String> = text
        .split(',')
        .map(|label| label.trim().to_owned())
        .collect();
    if labels
        .iter()
        .any(|label| label.is_empty() || label.chars().any(char::is_control))
    {
        return Err(format!(
            "`{text}` is no list of labels: write them like `gpu, eu-west`"
        ));
    }
    labels.sort_unstable();
    labels.dedup();
    Ok(labels)
}
