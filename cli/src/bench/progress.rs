//! The bar on a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// It is moved at most this often, so that it does not disturb what is measured.
const STEPS: u64 = 50;

#[derive(Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    each: u64,
}

impl Progress {
    /// Shown on standard error if that is a terminal and people are to read the result.
    pub(super) fn new(steps: u64, json: bool) -> Self {
        let bar = if json || !std::io::stderr().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(steps)
        };
        // The template is a constant: one that is wrong leaves the library's own.
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent:>3} %") {
            bar.set_style(style);
        }
        Self {
            bar,
            each: (steps / STEPS).max(1),
        }
    }

    /// So many are done.
    pub(super) fn at(&self, done: u64) {
        if done.is_multiple_of(self.each) {
            self.bar.set_position(done);
        }
    }

    /// How much there is between two moves.
    pub(super) fn step(&self) -> u64 {
        self.each
    }

    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}
