//! What is had before a call: asked for in `poll_ready`, used in `call`.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What one clone of a service has, or asks for. Dropped, it gives back.
pub(super) struct Ahead<T, E>(
    // Never locked: it makes the service `Sync`, as axum wants it, though no request under way is.
    Mutex<State<T, E>>,
);

enum State<T, E> {
    None,
    Asked(Boxed<Result<T, E>>),
    Had(T),
}

impl<T, E> Ahead<T, E> {
    pub(super) fn none() -> Self {
        Self(Mutex::new(State::None))
    }

    fn state(&mut self) -> &mut State<T, E> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has one, that is still good.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_good: impl Fn(&T) -> bool,
        ask: impl Fn() -> Boxed<Result<T, E>>,
    ) -> Poll<Result<(), E>> {
        let state = self.state();
        loop {
            match state {
                State::Had(had) if is_good(had) => return Poll::Ready(Ok(())),
                State::None | State::Had(_) => *state = State::Asked(ask()),
                State::Asked(asked) => {
                    let answer = ready!(asked.as_mut().poll(cx));
                    match answer {
                        Ok(had) => *state = State::Had(had),
                        Err(error) => {
                            *state = State::None;
                            return Poll::Ready(Err(error));
                        }
                    }
                }
            }
        }
    }

    /// Takes it, if there is one that is still good.
    pub(super) fn take(&mut self, is_good: impl Fn(&T) -> bool) -> Option<T> {
        match std::mem::replace(self.state(), State::None) {
            State::Had(had) if is_good(&had) => Some(had),
            _ => None,
        }
    }
}
