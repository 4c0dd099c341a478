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
    /// Whether some of what tasks do is to read and write what others read, too.
    pub(crate) reads: bool,
    pub(crate) storm: Duration,
    pub(crate) weather: Faults,
    pub(crate) perils: Vec<Peril>,
    /// By how many millionths the nodes' clocks may run fast or slow.
    pub(crate) drift_ppm: i32,
    /// How long a task rests between two turns, at most.
    pub(crate) rest: Duration,
    /// How long a task holds what it got, at most.
    pub(crate) longest_hold: Duration,
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

const RARE: [Peril; 3] = [Peril::DataLoss, Peril::WallClock, Peril::LeaseClock];

/// What kind of run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Nothing goes wrong.
    Calm,
    /// Only the store's wall clock steps, and clients are quiet: what is known below a record keeps the order.
    Clock,
    /// The nodes' clocks run at different speeds, and leases are held for long.
    Drift,
    /// Anything.
    Storm,
}

impl Plan {
    pub(crate) fn of(env: &Env) -> Self {
        let mood = match env.random(10) {
            0 => Mood::Calm,
            1 => Mood::Clock,
            2 | 3 => Mood::Drift,
            _ => Mood::Storm,
        };
        let plan = Self {
            nodes: 3 + small(env, 3),
            tasks: 1 + small(env, 8),
            resources: 1 + env.random(3),
            reads: matches!(mood, Mood::Calm | Mood::Storm),
            storm: Duration::from_secs(20 + env.random(40)),
            weather: Faults::none(),
            perils: Vec::new(),
            drift_ppm: one_of(env, &[0, SMALL_DRIFT_PPM]).unwrap_or(0),
            rest: one_of(env, &[3, 100, 1000].map(Duration::from_millis)).unwrap_or_default(),
            longest_hold: Duration::from_secs(5),
            leaves: env.random(2) == 0,
        };
        match mood {
            Mood::Calm => plan,
            Mood::Clock => Self {
                tasks: 1,
                resources: 1,
                rest: Duration::from_secs(6),
                perils: vec![Peril::WallClock],
                ..plan
            },
            Mood::Drift => Self {
                // With long TTLs among them, and who takes over is there at once.
                resources: 3,
                tasks: plan.tasks + 4,
                rest: Duration::from_millis(3),
                storm: plan.storm + Duration::from_secs(40),
                // A push is dated by bounds of up to 30 s ago: that does not allow for so much.
                weather: Faults {
                    lost_pushes: 1000,
                    ..Faults::none()
                },
                perils: vec![Peril::Cut],
                drift_ppm: LARGE_DRIFT_PPM,
                longest_hold: Duration::from_secs(20),
                ..plan
            },
            Mood::Storm => plan.with_storm(env),
        }
    }

    fn with_storm(self, env: &Env) -> Self {
        let weathers = [Faults::none(), Faults::mild(), Faults::wild()];
        let mut weather = one_of(env, &weathers).unwrap_or_default();
        if env.random(5) == 0 {
            weather.refusals = 20;
        }
        let common = COMMON.into_iter().filter(|_| env.random(2) == 0);
        let rare = RARE.into_iter().filter(|_| env.random(6) == 0);
        Self {
            weather,
            perils: common.chain(rare).collect(),
            ..self
        }
    }
}

/// What two clocks' speeds may differ by, for pushes to be dated.
const SMALL_DRIFT_PPM: i32 = 45;
/// What a guard's margin allows for, nearly.
const LARGE_DRIFT_PPM: i32 = 8000;

fn small(env: &Env, bound: u64) -> u32 {
    u32::try_from(env.random(bound)).unwrap_or(0)
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
