//! The specification.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_cron::Schedule;

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
    /// `schedule`: when it is due, in its zone; `None` (written `-`) is never by itself, only when triggered.
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
    pub const WORDS: [&'static str; 9] = [
        "schedule", "misfire", "overlap", "jitter", "timeout", "retries", "backoff", "on_crash",
        "only_on",
    ];

    /// Reads a specification from its words, in any order. What is not said has its default; `schedule` has none.
    ///
    /// # Errors
    /// [`SpecError`] with the word that is wrong: unknown, unreadable, or at odds with another one.
    pub fn from_words<'a>(
        words: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SpecError> {
        let mut spec = Self::default();
        let mut said = BTreeMap::new();
        for (word, text) in words {
            if said.insert(word, text).is_some() {
                return Err(SpecError::new(word, format!("`{word}` is given twice")));
            }
            spec.set(word, text)
                .map_err(|problem| SpecError::new(word, problem))?;
        }
        if !said.contains_key("schedule") {
            return Err(SpecError::new(
                "schedule",
                "a job has a `schedule`; `-` is never by itself",
            ));
        }
        check::contradictions(&spec, &said)?;
        Ok(spec)
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
        let schedule = schedule.map_or_else(|| OFF.to_owned(), ToString::to_string);
        let mut words = BTreeMap::from([("schedule", schedule)]);
        let mut say = |differs: bool, word: &'static str, text: String| {
            if differs {
                words.insert(word, text);
            }
        };
        say(
            self.misfire != default.misfire,
            "misfire",
            self.misfire.to_string(),
        );
        say(
            self.overlap != default.overlap,
            "overlap",
            self.overlap.to_string(),
        );
        say(
            self.jitter != default.jitter,
            "jitter",
            duration_text(self.jitter),
        );
        if let Some(timeout) = self.timeout {
            say(true, "timeout", duration_text(timeout));
        }
        say(
            self.retries != default.retries,
            "retries",
            self.retries.to_string(),
        );
        say(
            self.backoff != default.backoff,
            "backoff",
            duration_text(self.backoff),
        );
        say(
            self.on_crash != default.on_crash,
            "on_crash",
            self.on_crash.to_string(),
        );
        say(!self.only_on.is_empty(), "only_on", self.only_on.join(", "));
        words
    }

    /// Attempts at a tick, the first one included, if `crashes` of them ended with their node.
    pub fn attempts(&self, crashed: bool) -> u32 {
        let crash = u32::from(crashed && self.on_crash == OnCrash::Retry);
        1 + self.retries.max(crash)
    }

    /// The pause after the `attempt`th attempt, counted from 1.
    pub fn pause_after(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        (self.backoff * 2_u32.pow(doublings)).min(LONGEST_BACKOFF.max(self.backoff))
    }
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
