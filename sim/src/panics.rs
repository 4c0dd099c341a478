//! Panics of a run's tasks: a background task that panics is awaited by nobody, and must not go unnoticed.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs `work`, and answers what panicked on this thread meanwhile.
pub(crate) fn gathered<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let other = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_ours = PANICS.with_borrow_mut(|panics| {
                let panics = panics.as_mut();
                panics.map(|panics| panics.push(info.to_string())).is_some()
            });
            if !is_ours {
                other(info);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
    let output = work();
    (output, PANICS.take().unwrap_or_default())
}
