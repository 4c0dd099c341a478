//! How values are written.

use std::time::Duration;

/// The most ticks or runs that a policy may ask for.
const MOST: u32 = 1000;

/// Reads a duration: `30s`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let read = humantime::parse_duration(text);
    read.map_err(|_| format!("`{text}` is no duration: write it like `30s`, `10m` or `1h 30m`"))
}

/// A duration as the words have it, which reads back as the same: `1m 30s`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(leasehold_spec::duration_text(Duration::from_millis(90_500)), "1m 30s 500ms");
/// ```
pub fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

pub(crate) fn cap(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|cap| (1..=MOST).contains(cap));
    number.ok_or_else(|| format!("`{text}` is no number from 1 to {MOST}"))
}

/// A policy with arguments: `run_all(1h, 20)`.
pub(crate) struct Call<'a> {
    text: &'a str,
    pub(crate) name: &'a str,
    pub(crate) arguments: Vec<&'a str>,
}

impl<'a> Call<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else {
            let (name, arguments) = (text, Vec::new());
            return Ok(Self {
                text,
                name,
                arguments,
            });
        };
        let inside = rest.strip_suffix(')');
        let inside = inside.ok_or_else(|| format!("`{text}` lacks the closing parenthesis"))?;
        Ok(Self {
            text,
            name: name.trim_end(),
            arguments: inside.split(',').map(str::trim).collect(),
        })
    }

    pub(crate) fn without_arguments<T>(&self, value: T) -> Result<T, String> {
        if self.arguments.is_empty() {
            return Ok(value);
        }
        Err(format!(
            "`{}` takes no arguments: `{}`",
            self.name, self.text
        ))
    }

    pub(crate) fn one_cap(&self, default: u32) -> Result<u32, String> {
        match self.arguments[..] {
            [] => Ok(default),
            [one] => cap(one),
            _ => Err(format!("`{}` takes one number: `{}`", self.name, self.text)),
        }
    }
}
