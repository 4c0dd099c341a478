//! Handlers that do real work: files, sockets, databases.

use std::sync::Arc;

use crate::Job;
use crate::handler::Handler;

/// The job, during whose runs virtual time stands still.
pub(super) fn holding_time(mut job: Job) -> Job {
    let handler = Arc::clone(&job.handler);
    let holding: Arc<Handler> = Arc::new(move |ctx| {
        let body = handler(ctx);
        Box::pin(async move {
            let _held = TimeHeld::new();
            body.await
        })
    });
    job.handler = holding;
    job
}

/// While there is one, the runtime does not move its paused clock.
struct TimeHeld {
    _end: std::sync::mpsc::Sender<()>,
}

impl TimeHeld {
    fn new() -> Self {
        let (end, ended) = std::sync::mpsc::channel();
        // tokio leaves its clock alone while a blocking task is under way; this one ends when `end` is dropped.
        drop(tokio::task::spawn_blocking(move || ended.recv()));
        Self { _end: end }
    }
}
