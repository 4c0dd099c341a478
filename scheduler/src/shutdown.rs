//! When to stop.

/// Resolves on SIGTERM or Ctrl-C: give it to `run_until`, so that a deploy drains.
///
/// ```no_run
/// # async fn f(builder: leasehold_scheduler::Builder) -> Result<(), leasehold_scheduler::Error> {
/// builder.run_until(leasehold_scheduler::shutdown_signal()).await
/// # }
/// ```
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = match signal(SignalKind::terminate()) {
        Ok(term) => term,
        Err(error) => {
            // The process can still be stopped the hard way; nothing is promised less by that.
            tracing::warn!(%error, "cannot listen to SIGTERM");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        biased;
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
