//! What a seed plays: how many nodes, what goes wrong, and for how long.

use std::time::Duration;

use leasehold_core::Env;
use leasehold_core::store::Faults;

/// A run's settings, drawn from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) nodes: u32,
    pub(crate) tasks: u32,
    pub(crate) resources: u64,
    pub(crate) storm: Duration,
    pub(crate) weather: Faults,
    pub(crate) perils: Vec<Peril>,
    /// By how many millionths the nodes' clocks may run fast or slow.
    pub(crate) drift_ppm: i32,
    /// How long a task rests between two turns, at most.
    pub(crate) rest: Duration,
    /// Whether the clients go before the end, or stay.
    pub(crate) leaves: bool,
}

/// What the storm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peril {
    Pause,
    Cut,
    Outage,
    Stop,
    Weather,
    Kill,
    ShutDown,
    DataLoss,
    WallClock,
    LeaseClock,
}

const COMMON: [Peril; 7] = [
    Peril::Pause,
    Peril::Cut,
    Peril::Outage,
    Peril::Stop,
    Peril::Weather,
    Peril::Kill,
    Peril::ShutDown,
];

impl Plan {
    pub(crate) fn of(env: &Env) -> Self {
        let calm = env.random(10) == 0;
        let mut weather = match env.random(3) {
            _ if calm => Faults::none(),
            0 => Faults::none(),
            1 => Faults::mild(),
            _ => Faults::wild(),
        };
        if !calm && env.random(5) == 0 {
            weather.refusals = 20;
        }
        let mut perils: Vec<_> = (COMMON.into_iter())
            .filter(|_| env.random(2) == 0)
            .collect();
        for rare in [Peril::DataLoss, Peril::WallClock, Peril::LeaseClock] {
            if env.random(6) == 0 {
                perils.push(rare);
            }
        }
        if calm {
            perils.clear();
        } else if env.random(12) == 0 {
            (weather, perils) = (Faults::none(), vec![Peril::WallClock]);
        }
        // The margin allows for a hundredth. A push is dated by bounds of up to 30 s ago, which allows for less.
        let drift_ppm = match env.random(3) {
            0 => 0,
            1 => 45,
            _ => {
                weather.lost_pushes = 1000;
                perils.retain(|peril| *peril != Peril::Weather);
                8000
            }
        };
        Self {
            nodes: 3 + u32::try_from(env.random(3)).unwrap_or(0),
            tasks: 1 + u32::try_from(env.random(8)).unwrap_or(0),
            resources: 1 + env.random(3),
            storm: Duration::from_secs(20 + env.random(40)),
            weather,
            perils,
            drift_ppm,
            rest: Duration::from_millis(
                [3, 100, 1000][usize::try_from(env.random(3)).unwrap_or(0)],
            ),
            leaves: env.random(2) == 0,
        }
    }
}

/// Picks one, as chance will have it.
pub(crate) fn one_of<T: Copy>(env: &Env, choices: &[T]) -> Option<T> {
    let at = env.random(choices.len() as u64);
    choices.get(usize::try_from(at).ok()?).copied()
}

/// A time of up to `longest`.
pub(crate) fn up_to(env: &Env, longest: Duration) -> Duration {
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(env.random(micros.saturating_add(1)))
}
