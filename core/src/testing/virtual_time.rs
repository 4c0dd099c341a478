//! A runtime for a test that has none.

/// Runs `test` in a runtime of its own, in which time is paused: what `#[tokio::test(start_paused = true)]` does, for a
/// plain `#[test]` or another framework.
///
/// ```
/// use leasehold_core::testing::{TestFleet, in_virtual_time};
///
/// in_virtual_time(async {
///     let fleet = TestFleet::new(2).await;
///     fleet.advance(std::time::Duration::from_secs(3600)).await;
/// });
/// ```
///
/// # Panics
/// As `test`; and inside a runtime, or if the system has no resources for one.
pub fn in_virtual_time<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("resources for a runtime").block_on(test)
}
