//! Leap or not, and the weekday it begins with: years of one kind have the same dates on the same weekdays, and there
//! are only fourteen kinds.

use super::calendar::{day_of, is_leap};

/// Kinds of years, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Kinds(u16);

impl Kinds {
    pub(super) const ALL: Self = Self((1 << 14) - 1);

    /// Those that none of `years` is of.
    pub(crate) fn other_than(years: impl Iterator<Item = u16>) -> Self {
        let mut among = Self::default();
        for year in years {
            among.insert(year);
        }
        Self(Self::ALL.0 & !among.0)
    }

    pub(super) fn contains(self, year: u16) -> bool {
        self.0 & bit(year) != 0
    }

    pub(super) fn insert(&mut self, year: u16) {
        self.0 |= bit(year);
    }

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The kind of a year, as a bit: it repeats every 400 years.
fn bit(year: u16) -> u16 {
    const BITS: [u16; 400] = {
        let mut bits = [0; 400];
        let mut year = 2_000;
        while year < 2_400 {
            let leap = if is_leap(year) { 7 } else { 0 };
            bits[year as usize - 2_000] = 1 << (leap + day_of(year) % 7);
            year += 1;
        }
        bits
    };
    BITS[usize::from(year % 400)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn years_of_one_kind_are_alike_and_there_are_fourteen() {
        let mut kinds = BTreeMap::new();
        for year in 1970..=9999 {
            let looks = (is_leap(year), day_of(year).rem_euclid(7));
            assert_eq!(*kinds.entry(bit(year)).or_insert(looks), looks, "{year}");
        }
        assert_eq!(kinds.keys().sum::<u16>(), Kinds::ALL.0);
    }
}
