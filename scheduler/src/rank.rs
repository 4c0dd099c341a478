//! Who claims first: rendezvous hashing (Thaler and Ravishankar, 1998) over the live members that have the job.

use std::time::Duration;

use leasehold_core::NodeId;
use leasehold_core::name::fnv1a_64;

/// How many nodes are before `me` for this start.
pub(crate) fn rank(me: NodeId, members: &[NodeId], job: &str, start_ms: u64) -> u32 {
    let weight = |node: NodeId| {
        let hash = fnv1a_64(format!("{node} {job} {start_ms}").as_bytes());
        // FNV's high bits depend little on the last bytes; a round of mixing spreads them (splitmix64's finaliser).
        let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (hash ^ (hash >> 31), node)
    };
    let mine = weight(me);
    let before = members.iter().filter(|node| weight(**node) > mine).count();
    u32::try_from(before).unwrap_or(u32::MAX)
}

/// How long the next in rank waits for the one before: a few round trips.
pub(crate) fn delta(round_trip: Duration) -> Duration {
    (round_trip * 4).clamp(Duration::from_millis(50), Duration::from_millis(250))
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_core::Env;

    #[tokio::test(start_paused = true)]
    async fn every_tick_has_one_first_and_the_firsts_are_spread() {
        let env = Env::simulated(3);
        let nodes: Vec<_> = (0..4).map(|_| NodeId::new(env.uuid())).collect();
        let mut firsts = [0; 4];
        for tick in 0..1000 {
            let mut ranks: Vec<_> = nodes
                .iter()
                .map(|n| rank(*n, &nodes, "job", tick))
                .collect();
            firsts[ranks.iter().position(|rank| *rank == 0).unwrap()] += 1;
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2, 3]);
        }
        assert!(firsts.iter().all(|n| (200..300).contains(n)), "{firsts:?}");
    }

    #[test]
    fn delta_is_a_few_round_trips_within_bounds() {
        let millis = Duration::from_millis;
        assert_eq!(delta(millis(1)), millis(50));
        assert_eq!(delta(millis(30)), millis(120));
        assert_eq!(delta(millis(500)), millis(250));
    }
}
