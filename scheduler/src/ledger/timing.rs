//! When ticks start: at their nominal time, or a little later.

use leasehold_core::name::fnv1a_64;
use leasehold_spec::Spec;

/// A job's ticks and their starts.
pub(crate) struct Timing<'a> {
    pub(crate) job: &'a str,
    pub(crate) spec: &'a Spec,
}

impl Timing<'_> {
    /// The first tick after `tick`.
    pub(crate) fn next(&self, tick: i64) -> Option<i64> {
        self.spec.schedule.as_ref()?.next_after(tick)
    }

    /// The last tick before `tick`.
    pub(crate) fn previous(&self, tick: i64) -> Option<i64> {
        self.spec.schedule.as_ref()?.previous_before(tick)
    }

    /// When `tick` starts, in ms since 1970: always the same for the same job and tick, and before the next tick.
    pub(crate) fn start_ms(&self, tick: i64) -> u64 {
        let nominal_ms = u64::try_from(tick).unwrap_or(0).saturating_mul(1000);
        let jitter_ms = u64::try_from(self.spec.jitter.as_millis()).unwrap_or(u64::MAX);
        if jitter_ms == 0 {
            return nominal_ms;
        }
        let gap = self.next(tick).map_or(i64::MAX, |next| next - tick);
        let gap_ms = u64::try_from(gap).unwrap_or(u64::MAX).saturating_mul(1000);
        let late_ms = chance(self.job, tick) % jitter_ms.min(gap_ms).max(1);
        nominal_ms.saturating_add(late_ms)
    }

    /// How many seconds before its start a tick may lie.
    pub(super) fn jitter_s(&self) -> i64 {
        i64::try_from(self.spec.jitter.as_secs()).unwrap_or(i64::MAX) + 1
    }

    /// Whether the clocks' change moved it.
    pub(crate) fn moved_by_dst(&self, tick: i64) -> bool {
        (self.spec.schedule.as_ref()).is_some_and(|schedule| schedule.moved_by_dst(tick))
    }
}

/// A number that job and tick determine.
fn chance(job: &str, tick: i64) -> u64 {
    let hash = fnv1a_64(format!("{job} {tick}").as_bytes());
    // FNV's bits depend unequally on the last bytes; a round of mixing spreads them (splitmix64's finaliser).
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
