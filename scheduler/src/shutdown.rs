//! When to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Resolves on SIGTERM or Ctrl-C: give it to `run_until`, so that a deploy drains. The signals are caught from the call
/// on, not only once the future is polled.
///
/// ```no_run
/// # async fn f(builder: leasehold_scheduler::Builder) -> Result<(), leasehold_scheduler::Error> {
/// builder.run_until(leasehold_scheduler::shutdown_signal()).await
/// # }
/// ```
///
/// # Panics
/// Outside a tokio runtime with I/O enabled.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send {
    let term = listen(SignalKind::terminate());
    let interrupt = listen(SignalKind::interrupt());
    async move {
        tokio::select! {
            biased;
            () = received(term) => {}
            () = received(interrupt) => {}
        }
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::warn!(%error, ?kind, "cannot listen to a signal"))
        .ok()
}

async fn received(signal: Option<Signal>) {
    match signal {
        Some(mut signal) => {
            signal.recv().await;
        }
        // The process can still be stopped the hard way; nothing is promised less by that.
        None => std::future::pending().await,
    }
}
