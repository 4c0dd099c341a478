//! What a seed plays: which jobs, how they change from release to release, what goes wrong, and for how long.

use std::time::Duration;

use leasehold_core::Env;
use leasehold_core::store::Faults;

use super::history::JobPlan;
use super::jobs;
use super::world::FAIR;
use crate::plan::one_of;

/// A run's settings, drawn from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) storm: Duration,
    pub(crate) grace: Duration,
    pub(crate) run_ttl: Duration,
    pub(crate) leader_ttl: Duration,
    pub(crate) drain: Duration,
    pub(crate) drift_ppm: i32,
    pub(crate) weather: Faults,
    pub(crate) perils: Vec<Peril>,
    pub(crate) jobs: Vec<JobPlan>,
    /// By how much the store's clock is ahead when the run begins, in µs: some begin shortly before clocks change.
    pub(crate) begins_us: i64,
    pub(crate) releases: usize,
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
    Restart,
    Deploy,
    CrashLoop,
    Ask,
    DeleteLease,
    DataLoss,
    RollBack,
    WallClock,
    LeaseClock,
}

const COMMON: [Peril; 10] = [
    Peril::Pause,
    Peril::Cut,
    Peril::Outage,
    Peril::Stop,
    Peril::Weather,
    Peril::Kill,
    Peril::Restart,
    Peril::Deploy,
    Peril::CrashLoop,
    Peril::Ask,
];

const RARE: [Peril; 5] = [
    Peril::DeleteLease,
    Peril::DataLoss,
    Peril::RollBack,
    Peril::WallClock,
    Peril::LeaseClock,
];

/// What kind of run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Nothing goes wrong.
    Calm,
    /// The program is deployed again and again.
    Deploys,
    /// Clocks drift and step.
    Clocks,
    /// Answers get lost, above all, and requests come again.
    Answers,
    /// Anything.
    Storm,
}

/// When a simulation's wall clock begins: 2025-01-01 00:00 UTC, in seconds since 1970.
const SIMULATED_START: i64 = 1_735_689_600;
/// Zones, and when their clocks change: forth and back by an hour, at midnight, and by half an hour.
const CHANGES: [(&str, i64); 6] = [
    ("Europe/Berlin", 1_743_296_400),
    ("Europe/Berlin", 1_761_440_400),
    ("America/New_York", 1_741_503_600),
    ("America/New_York", 1_762_063_200),
    ("Africa/Cairo", 1_745_532_000),
    ("Australia/Lord_Howe", 1_743_865_200),
];
/// A network that delivers everything, late.
const SLOW: Faults = Faults {
    delay_before: Duration::from_millis(150),
    delay_after: Duration::from_millis(150),
    ..FAIR
};
/// What a node's clock and the store's may differ by, so that no guard is wrong.
const DRIFT_PPM: i32 = 4000;

impl Plan {
    pub(crate) fn of(env: &Env) -> Self {
        let mood = match env.random(12) {
            0 => Mood::Calm,
            1 | 2 => Mood::Deploys,
            3 | 4 => Mood::Clocks,
            5 | 6 => Mood::Answers,
            _ => Mood::Storm,
        };
        let releases = 2 + usize::from(env.random(2) == 0);
        let change = one_of(env, &CHANGES).filter(|_| env.random(3) == 0);
        let begins_s = change.map_or(0, |(_, at)| {
            at - SIMULATED_START - 20 - env.random(60).cast_signed()
        });
        let plan = Self {
            begins_us: begins_s * 1_000_000,
            nodes: 3,
            storm: Duration::from_secs(30 + env.random(60)),
            grace: Duration::from_secs(one_of(env, &[2, 5]).unwrap_or(5)),
            run_ttl: Duration::from_secs(one_of(env, &[3, 6, 10]).unwrap_or(6)),
            leader_ttl: Duration::from_secs(one_of(env, &[3, 15]).unwrap_or(15)),
            drain: Duration::from_secs(2),
            drift_ppm: one_of(env, &[0, 45]).unwrap_or(0),
            weather: FAIR,
            perils: Vec::new(),
            jobs: jobs::of(env, releases, change.map(|(zone, _)| zone)),
            releases,
        };
        match mood {
            Mood::Calm => plan,
            Mood::Deploys => Self {
                // A version comes into force once a node has lived with it for 30 s.
                storm: plan.storm + Duration::from_secs(20),
                perils: vec![
                    Peril::Deploy,
                    Peril::Deploy,
                    Peril::CrashLoop,
                    Peril::Restart,
                    // What people ask for keeps ticks of the schedule from starting, which another one then takes over.
                    Peril::Ask,
                    Peril::Ask,
                ],
                ..plan
            },
            Mood::Clocks => Self {
                // Looks that take long, so that a clock steps in the middle of one.
                weather: one_of(env, &[FAIR, SLOW, SLOW]).unwrap_or(FAIR),
                perils: vec![
                    Peril::WallClock,
                    Peril::Stop,
                    Peril::Stop,
                    Peril::Pause,
                    Peril::Cut,
                ],
                drift_ppm: DRIFT_PPM,
                ..plan
            },
            Mood::Answers => Self {
                weather: Faults {
                    lost_requests: 50,
                    lost_replies: 400,
                    late_copies: 500,
                    late_by: Duration::from_secs(20),
                    ..Faults::mild()
                },
                perils: vec![Peril::Ask, Peril::Ask, Peril::Cut, Peril::Kill],
                ..plan
            },
            Mood::Storm => plan.with_storm(env),
        }
    }

    fn with_storm(self, env: &Env) -> Self {
        let weathers = [FAIR, FAIR, Faults::mild(), Faults::wild()];
        let weather = one_of(env, &weathers).unwrap_or(FAIR);
        let common = COMMON.into_iter().filter(|_| env.random(2) == 0);
        let rare = RARE.into_iter().filter(|_| env.random(5) == 0);
        Self {
            weather,
            perils: common.chain(rare).collect(),
            ..self
        }
    }
}
