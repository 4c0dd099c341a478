//! That each planted bug is caught, as a test. `cargo xtask sim --planted` shows which promise each of them breaks.

#![cfg(feature = "planted-bugs")]

use leasehold_core::planted::Bug;
use leasehold_sim::hunt;

#[test]
fn every_planted_bug_is_caught() {
    let caught = hunt(Bug::ALL, 300, |_| {});
    let survived: Vec<_> = (caught.iter())
        .filter(|row| row.by.is_none())
        .map(|row| row.bug)
        .collect();
    assert!(survived.is_empty(), "{survived:?}");
    assert!(caught.len() > 20);
}
