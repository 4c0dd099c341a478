//! A node's gate: while it is shut nothing of that node runs, as after SIGSTOP.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Shared by all that runs on one simulated node.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// Whom to wake when it opens, in the order they came.
    parked: Vec<Waker>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_shut(&self) -> bool {
        self.state().shut
    }

    pub(super) fn shut(&self) {
        self.state().shut = true;
    }

    pub(super) fn open(&self) {
        let parked = {
            let mut state = self.state();
            state.shut = false;
            std::mem::take(&mut state.parked)
        };
        parked.into_iter().for_each(Waker::wake);
    }

    /// Whether the caller must wait for [`open`](Self::open), which will wake it.
    fn parks(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        if !state.shut {
            return false;
        }
        if !(state.parked.iter()).any(|waker| waker.will_wake(context.waker())) {
            state.parked.push(context.waker().clone());
        }
        true
    }

    /// `future`, which is not polled while the gate is shut. What it waits for goes on meanwhile: its timers fire late.
    pub(super) async fn hold<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            if self.parks(context) {
                return Poll::Pending;
            }
            future.as_mut().poll(context)
        })
        .await
    }
}
