//! What happens to the workers: drawn from the seed.

use std::time::Duration;

use serde::Serialize;

/// What befalls one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Trouble {
    /// SIGSTOP, and SIGCONT after this long.
    Stop(Duration),
    /// SIGKILL, and a new process after this long.
    Kill(Duration),
    /// Its connections are cut; new ones are possible at once.
    Cut,
    /// Its connections carry nothing for this long, new ones neither, and nobody says so.
    BlackHole(Duration),
    /// The connections it has carry nothing any more for this long; new ones do.
    Freeze(Duration),
    /// What it asks for is done, and the replies are lost, for this long.
    LostReplies(Duration),
    /// All it sends and receives comes late by `by`, for this long.
    Delay { by: Duration, lasts: Duration },
}

/// The schedule.
#[derive(Debug)]
pub(crate) struct Troubles {
    rng: fastrand::Rng,
    ttl: Duration,
    has_network: bool,
}

impl Troubles {
    pub(crate) fn new(seed: u64, ttl: Duration, has_network: bool) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            rng,
            ttl,
            has_network,
        }
    }

    /// How long until the next.
    pub(crate) fn pause(&mut self) -> Duration {
        self.between(0.3, 2.2)
    }

    /// Whom the next one befalls: half of them those that hold a lock, where it hurts.
    pub(crate) fn pick(&mut self, all: usize, holders: &[usize]) -> usize {
        let (aims, any) = (self.rng.bool(), self.rng.usize(0..all));
        match holders.len() {
            holding @ 1.. if aims => holders[any % holding],
            _ => any,
        }
    }

    pub(crate) fn next(&mut self) -> Trouble {
        let kinds = if self.has_network { 13 } else { 6 };
        match self.rng.u32(0..kinds) {
            // Shorter than a lease lasts: nothing may be lost of it.
            0 | 1 => Trouble::Stop(self.between(0.05, 0.6)),
            // Its holder wakes when the lock has just passed on.
            2 | 3 => Trouble::Stop(self.between(0.9, 1.6)),
            4 => Trouble::Stop(self.between(1.6, 4.0)),
            5 => Trouble::Kill(self.between(0.0, 2.0)),
            6 | 7 => Trouble::Cut,
            8 | 9 => Trouble::BlackHole(self.between(0.3, 4.0)),
            10 => Trouble::Freeze(self.between(0.3, 4.0)),
            11 => Trouble::LostReplies(self.between(0.05, 2.0)),
            _ => Trouble::Delay {
                by: self.between(0.005, 0.25),
                lasts: self.between(1.0, 4.0),
            },
        }
    }

    /// In TTLs.
    fn between(&mut self, shortest: f64, longest: f64) -> Duration {
        self.ttl
            .mul_f64(shortest + self.rng.f64() * (longest - shortest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule() {
        let draw = |seed| {
            let mut troubles = Troubles::new(seed, Duration::from_secs(1), true);
            let drawn = (0..50).map(|_| (troubles.pause(), troubles.pick(4, &[]), troubles.next()));
            drawn.collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
