//! How much happened.

use std::fmt;

/// What was counted, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally(Vec<(&'static str, u64)>);

impl Tally {
    pub(crate) fn of<const N: usize>(counts: [(&'static str, u64); N]) -> Self {
        Self(counts.to_vec())
    }

    /// How often that happened.
    pub fn of_name(&self, name: &str) -> u64 {
        let found = self.0.iter().find(|(counted, _)| *counted == name);
        found.map_or(0, |(_, count)| *count)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            match self.0.iter_mut().find(|(counted, _)| counted == name) {
                Some((_, sum)) => *sum += count,
                None => self.0.push((name, *count)),
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, count)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {name}")?;
        }
        Ok(())
    }
}
