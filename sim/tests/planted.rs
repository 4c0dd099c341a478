//! That each planted bug is caught, as a test. `cargo xtask sim --planted` shows which promise each of them breaks.

#![cfg(feature = "planted-bugs")]

use leasehold_sim::{Bug, hunt};

#[test]
fn every_planted_bug_is_caught() {
    let caught = hunt(&Bug::all().collect::<Vec<_>>(), 300, |_| {});
    let survived: Vec<_> = (caught.iter())
        .filter(|row| row.by.is_none())
        .map(|row| row.bug)
        .collect();
    assert!(survived.is_empty(), "{survived:?}");
    assert!(caught.len() > 70);
}
