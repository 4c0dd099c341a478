//! The times of a day in English.

use super::shape::{Shape, joined, list, ordinal};
use crate::sets::Sets;

/// Up to this many times of the day are always listed.
const ALWAYS_LISTED: usize = 4;
/// Up to this many are if nothing shorter is true.
const LISTED: usize = 12;

pub(super) struct Times {
    pub(super) text: String,
    /// Whether it speaks of times of the day, after which it is not clear that each day is meant.
    pub(super) names_clock_times: bool,
}

/// The values of one field, and how many it could have.
struct Unit {
    values: Vec<u16>,
    shape: Shape,
    name: &'static str,
    size: u16,
}

impl Unit {
    fn new(values: Vec<u16>, name: &'static str, size: u16) -> Self {
        Self {
            shape: Shape::of(&values),
            values,
            name,
            size,
        }
    }

    fn is_one(&self) -> bool {
        self.values.len() == 1
    }

    fn is_full(&self) -> bool {
        self.values.len() == usize::from(self.size)
    }

    fn is_run(&self) -> bool {
        self.values.is_sorted_by(|a, b| a + 1 == *b)
    }

    /// How far apart they are, if that is the same also from the last to the first of the next round.
    fn cycle(&self) -> Option<u16> {
        let [0, step, ..] = self.values[..] else {
            return None;
        };
        let is_even = self.values.is_sorted_by(|a, b| a + step == *b);
        (is_even && self.last() + step == self.size).then_some(step)
    }

    fn first(&self) -> u16 {
        self.values.first().copied().unwrap_or(0)
    }

    fn last(&self) -> u16 {
        self.values.last().copied().unwrap_or(0)
    }

    /// `every 15 minutes`.
    fn every(&self, step: u16) -> String {
        match step {
            1 => format!("every {}", self.name),
            _ => format!("every {step} {}s", self.name),
        }
    }

    /// What comes behind `of` or `at`: `minutes 1, 5 and 10 to 20`.
    fn named(&self) -> String {
        let name = self.name;
        match self.shape {
            _ if self.is_full() => format!("every {name}"),
            Shape::One(value) => format!("{name} {value}"),
            Shape::Steps { from, to, step } if self.values.len() > ALWAYS_LISTED => {
                format!("every {} {name} from {from} to {to}", ordinal(step))
            }
            _ => format!(
                "{name}s {}",
                list(&self.values, "and", |value| value.to_string())
            ),
        }
    }
}

pub(super) fn describe(sets: &Sets) -> Times {
    let seconds = Unit::new(sets.seconds.iter().collect(), "second", 60);
    let minutes = Unit::new(sets.minutes.iter().collect(), "minute", 60);
    let hours = Unit::new(sets.hours.iter().collect(), "hour", 24);
    let count = seconds.values.len() * minutes.values.len() * hours.values.len();
    let clock_times = |text| Times {
        text,
        names_clock_times: true,
    };
    if count <= ALWAYS_LISTED {
        return clock_times(listed(&seconds, &minutes, &hours));
    }
    if let Some(window) = window(&seconds, &minutes, &hours) {
        return clock_times(window);
    }
    if let Some(text) = all_day(&seconds, &minutes, &hours) {
        return Times {
            text,
            names_clock_times: false,
        };
    }
    if !hours.is_full() && (count <= LISTED || (seconds.is_one() && minutes.is_one())) {
        return clock_times(listed(&seconds, &minutes, &hours));
    }
    let mut parts = Vec::new();
    if !seconds.is_one() || seconds.first() != 0 {
        parts.push(seconds.named());
    }
    parts.push(minutes.named());
    parts.push(hours.named());
    let text = parts.join(" of ");
    Times {
        text: if text.starts_with("every") {
            text
        } else {
            format!("at {text}")
        },
        names_clock_times: !hours.is_full(),
    }
}

/// The same distance all day long: `every 15 minutes`.
fn all_day(seconds: &Unit, minutes: &Unit, hours: &Unit) -> Option<String> {
    let at_zero = |unit: &Unit| unit.is_one() && unit.first() == 0;
    if at_zero(seconds) && at_zero(minutes) {
        return Some(hours.every(hours.cycle().filter(|step| *step == 1)?));
    }
    if !hours.is_full() {
        return None;
    }
    if at_zero(seconds) {
        return Some(minutes.every(minutes.cycle()?));
    }
    let text = seconds.every(seconds.cycle()?);
    minutes.is_full().then_some(text)
}

/// The same distance from one time to another: `every 15 minutes from 09:00 to 17:45`.
fn window(seconds: &Unit, minutes: &Unit, hours: &Unit) -> Option<String> {
    if hours.is_full() {
        return None;
    }
    let (unit, step) = if !seconds.is_one() {
        let goes_on = (minutes.is_full() && hours.is_run()) || (hours.is_one() && minutes.is_run());
        let alone = minutes.is_one() && hours.is_one();
        (seconds, distance(seconds, goes_on, alone)?)
    } else if !minutes.is_one() {
        (minutes, distance(minutes, hours.is_run(), hours.is_one())?)
    } else {
        (hours, distance(hours, false, true)?)
    };
    let clock = clock(seconds);
    Some(format!(
        "{} from {} to {}",
        unit.every(step),
        clock(hours.first(), minutes.first(), seconds.first()),
        clock(hours.last(), minutes.last(), seconds.last())
    ))
}

/// How far apart the values are: over the bounds of the larger unit, if it goes on; at all, if that is alone.
fn distance(unit: &Unit, goes_on: bool, alone: bool) -> Option<u16> {
    match unit.shape {
        Shape::Run { .. } if alone => Some(1),
        Shape::Steps { step, .. } if alone => Some(step),
        _ if goes_on => unit.cycle(),
        _ => None,
    }
}

fn listed(seconds: &Unit, minutes: &Unit, hours: &Unit) -> String {
    let clock = clock(seconds);
    let mut times = Vec::new();
    for hour in &hours.values {
        for minute in &minutes.values {
            for second in &seconds.values {
                times.push(clock(*hour, *minute, *second));
            }
        }
    }
    format!("at {}", joined(&times, "and"))
}

/// Times of the day, with seconds if there are any.
fn clock(seconds: &Unit) -> impl Fn(u16, u16, u16) -> String {
    let with_seconds = seconds.last() > 0;
    move |hour, minute, second| {
        if with_seconds {
            format!("{hour:02}:{minute:02}:{second:02}")
        } else {
            format!("{hour:02}:{minute:02}")
        }
    }
}
