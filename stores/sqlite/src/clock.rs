//! The store's time: this machine's.

use std::io;

use leasehold_core::name::fnv1a_64;
use leasehold_core::protocol::Now;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// This machine's clocks, in this boot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: u64,
}

impl Clock {
    /// Reads which boot this is.
    pub(crate) fn of_this_boot() -> io::Result<Self> {
        let boot_id = std::fs::read_to_string(BOOT_ID)
            .map_err(|e| io::Error::new(e.kind(), format!("{BOOT_ID}: {e}")))?;
        // 53 bits, like every number that leasehold stores; zero is for clocks that outlive their machine.
        let epoch = fnv1a_64(boot_id.trim().as_bytes()) & ((1 << 53) - 1);
        Ok(Self {
            epoch: epoch.max(1),
        })
    }

    pub(crate) fn now(self) -> Now {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (seconds, nanos) = (boot.tv_sec.cast_unsigned(), boot.tv_nsec.cast_unsigned());
        Now {
            lease_us: seconds * 1_000_000 + nanos / 1000,
            wall_us: wall_clock_us(),
            epoch: self.epoch,
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this machine is the store: its wall clock is the store's"
)]
fn wall_clock_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_the_boot_and_fits_53_bits() {
        let (one, two) = (
            Clock::of_this_boot().expect("Linux says"),
            Clock::of_this_boot().expect("Linux says"),
        );
        assert_eq!(one.now().epoch, two.now().epoch);
        assert!((1..1 << 53).contains(&one.now().epoch));
        assert!(one.now().lease_us <= two.now().lease_us);
    }
}
