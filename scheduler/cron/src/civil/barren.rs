//! Years in which nothing is due, noted while one tick is searched for: so that an expression whose next match is far
//! away, or never comes, is not looked for year by year.

use super::kinds::Kinds;

/// The kinds of years in which nothing is due.
#[derive(Clone, Debug)]
pub(crate) struct Barren {
    /// No date matches, or no such year is asked for, which is so in all years of the kind.
    dateless: Kinds,
    /// Clocks never show a matching time, which is so in all years by the zone's last rule.
    skipped: Kinds,
    /// The first year by that rule.
    ruled_from: u16,
    /// The year of the latest match that was tried, and whether all of that year's are.
    tried: Option<(u16, bool)>,
}

impl Barren {
    pub(crate) fn new(absent: Kinds, ruled_from: u16) -> Self {
        Self {
            dateless: absent,
            skipped: Kinds::default(),
            ruled_from,
            tried: None,
        }
    }

    /// The search goes on from a match in `year`, since nothing before it (in its direction) is due.
    pub(crate) fn tries(&mut self, year: u16) {
        match self.tried {
            Some((tried, _)) if tried == year => {}
            Some((tried, whole)) => {
                if whole && tried >= self.ruled_from {
                    self.skipped.insert(tried);
                }
                // It was come to from another year.
                self.tried = Some((year, true));
            }
            None => self.tried = Some((year, false)),
        }
    }

    pub(super) fn note_dateless(&mut self, year: u16) {
        self.dateless.insert(year);
    }

    pub(super) fn has(&self, year: u16) -> bool {
        self.kinds(year).contains(year)
    }

    /// Whether nothing is due in any year at or after `year`.
    pub(super) fn is_all_from(&self, year: u16) -> bool {
        self.kinds(year) == Kinds::ALL
    }

    /// The first year by the zone's last rule, which are the last of `is_all_from`.
    pub(super) fn first_of_all(&self) -> u16 {
        if self.dateless == Kinds::ALL {
            0
        } else {
            self.ruled_from
        }
    }

    fn kinds(&self, year: u16) -> Kinds {
        if year >= self.ruled_from {
            self.dateless.or(self.skipped)
        } else {
            self.dateless
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_barren_only_once_all_of_it_was_tried() {
        let mut barren = Barren::new(Kinds::default(), 2000);
        barren.tries(2026);
        barren.tries(2027);
        assert!(!barren.has(2026), "the search began within it");
        barren.tries(2027);
        barren.tries(2028);
        assert!(
            barren.has(2027) && barren.has(2038),
            "both begin on a Friday"
        );
        assert!(!barren.has(1999), "it is not by the last rule");
        assert!(!barren.has(2028));
    }
}
