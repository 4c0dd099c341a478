//! The jobs that a binary must have, written down where a review sees it.

use std::collections::BTreeSet;
use std::fmt;

use crate::{Error, Job};

/// The names of the jobs that a scheduler must have: all of them, and no others.
///
/// A list, `["billing::nightly", "reports::weekly"]`, or the text of a file with a name a line, in which `#` at the start
/// of a line or after white space begins a comment.
///
/// A test in the service keeps such a file true, and prints what belongs into it:
///
/// ```
/// use leasehold_scheduler::{BoxError, Job, Manifest};
///
/// let jobs = [Job::new("billing::nightly", "0 2 * * *", |_| async { Ok::<(), BoxError>(()) })];
/// # let text = "# Finance looks at these.\nbilling::nightly\n";
/// # /*
/// let text = include_str!("jobs.txt");
/// # */
/// assert_eq!(Manifest::from(text), Manifest::of(&jobs), "jobs.txt should be:\n{}", Manifest::of(&jobs));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest(BTreeSet<String>);

impl Manifest {
    /// That of these jobs.
    pub fn of(jobs: &[Job]) -> Self {
        Self(jobs.iter().map(|job| job.name().to_owned()).collect())
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Refuses other jobs than those it names.
    pub(crate) fn check(&self, jobs: &[Job]) -> Result<(), Error> {
        let names: BTreeSet<&str> = jobs.iter().map(Job::name).collect();
        let mut missing = Vec::new();
        let mut renamed = Vec::new();
        for name in self.0.iter().filter(|name| !names.contains(name.as_str())) {
            let now = jobs
                .iter()
                .find(|job| job.aliases().any(|alias| alias == name));
            match now {
                Some(job) => renamed.push((name.clone(), job.name().to_owned())),
                None => missing.push(name.clone()),
            }
        }
        let is_listed =
            |name: &str| self.0.contains(name) || renamed.iter().any(|(_, now)| now == name);
        let unlisted: Vec<String> = (names.iter())
            .filter(|name| !is_listed(name))
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() && unlisted.is_empty() && renamed.is_empty() {
            return Ok(());
        }
        Err(Error::Manifest {
            missing,
            unlisted,
            renamed,
        })
    }
}

/// As a file has it: a name a line, sorted.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| writeln!(f, "{name}"))
    }
}

impl From<&str> for Manifest {
    /// The text of a file.
    fn from(text: &str) -> Self {
        let names = text.lines().map(|line| without_comment(line).trim());
        Self(
            names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Manifest {
    fn from(names: [S; N]) -> Self {
        names.into_iter().collect()
    }
}

impl From<&[&str]> for Manifest {
    fn from(names: &[&str]) -> Self {
        names.iter().copied().collect()
    }
}

impl<S: Into<String>> FromIterator<S> for Manifest {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

fn without_comment(line: &str) -> &str {
    let begins = |at: &usize| {
        line[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    };
    let comment = line.match_indices('#').map(|(at, _)| at).find(begins);
    &line[..comment.unwrap_or(line.len())]
}

/// What [`Error::Manifest`] says.
pub(crate) fn difference(
    missing: &[String],
    unlisted: &[String],
    renamed: &[(String, String)],
) -> String {
    let missing = (missing.iter()).map(|name| {
        format!(
            "`{name}` is missing: add its function to `jobs![..]`, or take it out of the manifest"
        )
    });
    let unlisted = (unlisted.iter()).map(|name| {
        format!("`{name}` is not in the manifest: add it there, or take it out of `jobs![..]`")
    });
    let renamed = (renamed.iter())
        .map(|(name, now)| format!("`{name}` is called `{now}` now: write that in the manifest"));
    missing
        .chain(unlisted)
        .chain(renamed)
        .fold(String::new(), |text, line| text + "\n  " + &line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxError;

    fn job(name: &str) -> Job {
        Job::new(name, "@daily", |_| async { Ok::<(), BoxError>(()) })
    }

    #[test]
    fn a_file_has_a_name_a_line_and_comments() {
        let text =
            "# Jobs\n\nbilling::nightly # finance\r\n\treports::weekly\t#\n  c#sharp\n#gone\n";
        assert_eq!(
            Manifest::from(text),
            Manifest::from(["c#sharp", "billing::nightly", "reports::weekly"])
        );
        assert_eq!(Manifest::from(""), Manifest::default());
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let jobs = [job("b"), job("a::b c"), job("c#")];
        let manifest = Manifest::of(&jobs);
        assert_eq!(manifest.to_string(), "a::b c\nb\nc#\n");
        assert_eq!(Manifest::from(manifest.to_string().as_str()), manifest);
        assert_eq!(jobs.iter().map(Job::name).collect::<Manifest>(), manifest);
    }
}
