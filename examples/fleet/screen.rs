//! What is printed: a line for each run and each event, and on a terminal a line of progress below.

use std::io::{IsTerminal, Write};

use crate::rows::Row;

pub(crate) struct Screen {
    live: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self {
            live: std::io::stdout().is_terminal(),
        }
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        if self.live {
            print!("\r\x1b[K");
        }
        println!("{text}");
    }

    pub(crate) fn header(&self) {
        self.line("tick (UTC)  node    delay    fence             leader's term");
    }

    pub(crate) fn run(&self, row: &Row) {
        let of_day = row.tick.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        self.line(&format!(
            "{hour:02}:{minute:02}:{second:02}    {:<6}  {:>3} ms   {}  {}",
            row.node, row.delay_ms, row.fence, row.term
        ));
    }

    pub(crate) fn event(&self, text: &str) {
        self.line(&format!("-- {text}"));
    }

    /// The line of progress; nothing where nobody watches.
    pub(crate) fn progress(&self, done: usize, of: usize, what: &str) {
        if self.live {
            let full = done.min(of) * 20 / of.max(1);
            let bar = format!("{}{}", "#".repeat(full), ".".repeat(20 - full));
            print!("\r\x1b[K[{bar}] {what}");
            // A terminal that went away shows nothing anyway.
            drop(std::io::stdout().flush());
        }
    }
}
