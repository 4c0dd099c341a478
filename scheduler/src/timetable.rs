//! When each job is to be looked at: pure. Starts are on the store's clock, which may be set; other looks on this
//! machine's, which may not. What is due is found without a look at what is not.

use std::collections::BTreeSet;

use leasehold_core::Moment;

/// Of all jobs, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Timetable {
    /// By the store's wall time (µs).
    starts: BTreeSet<(u64, usize)>,
    looks: BTreeSet<(Moment, usize)>,
    /// Where each job stands in the two.
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    start_us: Option<u64>,
    look: Option<Moment>,
}

/// A job that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) job: usize,
    /// The start that it waited for; `None` if it is to be looked at for another reason.
    pub(crate) start_us: Option<u64>,
    /// When else it was to be looked at.
    pub(crate) look: Option<Moment>,
}

impl Timetable {
    /// Has a job wait for its start, and for an instant, whichever comes first; or for neither, while it is looked at.
    pub(crate) fn set(&mut self, job: usize, start_us: Option<u64>, look: Option<Moment>) {
        self.take(job);
        if self.places.len() <= job {
            self.places.resize(job + 1, Place::default());
        }
        self.places[job] = Place { start_us, look };
        if let Some(start_us) = start_us {
            self.starts.insert((start_us, job));
        }
        if let Some(look) = look {
            self.looks.insert((look, job));
        }
    }

    /// Has a job looked at then at the latest.
    pub(crate) fn look_by(&mut self, job: usize, at: Moment) {
        let place = self.take(job);
        let look = place.look.map_or(at, |look| look.min(at));
        self.set(job, place.start_us, Some(look));
    }

    fn take(&mut self, job: usize) -> Place {
        let place = self.places.get_mut(job).map(std::mem::take);
        let place = place.unwrap_or_default();
        if let Some(start_us) = place.start_us {
            self.starts.remove(&(start_us, job));
        }
        if let Some(look) = place.look {
            self.looks.remove(&(look, job));
        }
        place
    }

    /// Takes the next job out that is due: the earliest start first.
    pub(crate) fn take_due(&mut self, now: Moment, store_us: u64) -> Option<Due> {
        let start = self.starts.first().filter(|(at, _)| *at <= store_us);
        let look = self.looks.first().filter(|(at, _)| *at <= now);
        let (job, by_start) = match (start, look) {
            (Some((_, job)), _) => (*job, true),
            (None, Some((_, job))) => (*job, false),
            (None, None) => return None,
        };
        let Place { start_us, look } = self.take(job);
        let start_us = start_us.filter(|_| by_start);
        Some(Due {
            job,
            start_us,
            look,
        })
    }

    /// The next start, and the next look for another reason.
    pub(crate) fn next(&self) -> (Option<u64>, Option<Moment>) {
        let start = self.starts.first().map(|(at, _)| *at);
        let look = self.looks.first().map(|(at, _)| *at);
        (start, look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    fn due(table: &mut Timetable, now: u64, store_us: u64) -> Vec<usize> {
        std::iter::from_fn(|| table.take_due(at(now), store_us).map(|due| due.job)).collect()
    }

    #[test]
    fn what_is_due_on_either_clock_is_taken_once_and_the_rest_stays() {
        let mut table = Timetable::default();
        table.set(3, Some(70), Some(at(9)));
        table.set(1, Some(50), Some(at(9)));
        table.set(0, None, Some(at(4)));
        table.set(2, None, None);
        assert_eq!(table.next(), (Some(50), Some(at(4))));
        assert!(due(&mut table, 3, 49).is_empty());
        assert_eq!(
            due(&mut table, 4, 70),
            [1, 3, 0],
            "the earliest start first"
        );
        assert_eq!(table.next(), (None, None));
        assert!(due(&mut table, 1000, 1000).is_empty());
    }

    #[test]
    fn a_job_that_is_to_be_looked_at_sooner_keeps_its_start() {
        let mut table = Timetable::default();
        table.set(0, Some(70), Some(at(9)));
        table.look_by(0, at(12));
        assert_eq!(table.next(), (Some(70), Some(at(9))));
        table.look_by(0, at(5));
        assert_eq!(table.next(), (Some(70), Some(at(5))));
    }

    #[test]
    fn a_job_is_taken_for_the_reason_that_came_and_keeps_the_other() {
        let mut table = Timetable::default();
        table.set(0, Some(70), Some(at(9)));
        let (job, look) = (0, Some(at(9)));
        let start_us = Some(70);
        assert_eq!(
            table.take_due(at(0), 70),
            Some(Due {
                job,
                start_us,
                look
            })
        );
        table.set(0, Some(70), Some(at(9)));
        let start_us = None;
        assert_eq!(
            table.take_due(at(9), 0),
            Some(Due {
                job,
                start_us,
                look
            })
        );
        assert_eq!(table.take_due(at(9), 70), None);
    }

    #[test]
    fn what_is_set_anew_waits_only_for_that() {
        let mut table = Timetable::default();
        table.set(0, Some(70), Some(at(9)));
        table.set(0, Some(80), None);
        assert!(due(&mut table, 100, 79).is_empty());
        assert_eq!(due(&mut table, 0, 80), [0]);
        // A clock that is set back: it waits again.
        table.set(0, Some(90), None);
        assert!(due(&mut table, 0, 10).is_empty());
    }
}
