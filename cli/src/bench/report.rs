//! What a benchmark found: fields in an order, as a line of JSON or a table.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

pub(super) struct Report {
    fields: Vec<(&'static str, Value)>,
}

impl Report {
    pub(super) fn new(what: &'static str, store: &str) -> Self {
        Self {
            fields: vec![("bench", what.into()), ("store", store.into())],
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// One line. A map of the library's would sort the fields.
    pub(super) fn line(&self) -> String {
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| format!("{}:{value}", Value::from(*name)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    pub(super) fn table(&self) -> String {
        let width = self
            .fields
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.fields {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            // A `String` takes all that is written.
            let _ = writeln!(text, "{name:width$}  {value}");
        }
        text
    }
}

/// Times of which some are asked for: a share of them took this long or less.
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The `percent`th percentile (nearest rank); zero of none.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

/// With three digits behind the point.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

pub(super) fn micros(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e6)
}

pub(super) fn millis(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times = Times::new((1..=200).rev().map(Duration::from_millis).collect());
        assert_eq!(times.percentile(50), Duration::from_millis(100));
        assert_eq!(times.percentile(99), Duration::from_millis(198));
        assert_eq!(Times::new(Vec::new()).percentile(99), Duration::ZERO);
        let one = Times::new(vec![Duration::from_millis(7)]);
        assert_eq!(one.percentile(1), Duration::from_millis(7));
    }

    #[test]
    fn a_line_keeps_the_order_of_its_fields() {
        let report = Report::new("solo", "memory://")
            .with("ops", 3)
            .with("a", 1.5);
        assert_eq!(
            report.line(),
            r#"{"bench":"solo","store":"memory://","ops":3,"a":1.5}"#
        );
    }
}
