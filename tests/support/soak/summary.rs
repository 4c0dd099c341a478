//! What is printed.

use std::fmt;
use std::time::Duration;

use crate::conductor::{Counts, Store};
use crate::judge::{Book, Judge};
use crate::record::Overlap;

/// One line while it runs.
pub(crate) fn progress(judge: &Judge, nanos: u64) {
    let book = judge.book();
    let seconds = Duration::from_nanos(nanos).as_secs();
    println!(
        "{:>3}:{:02}  turns {}  refused {}  losses {}",
        seconds / 60,
        seconds % 60,
        book.turns(),
        book.refused(),
        book.losses()
    );
}

/// How it went.
pub(crate) struct Summary<'a> {
    pub(crate) store: Store,
    pub(crate) minutes: f64,
    pub(crate) book: &'a Book,
    pub(crate) counts: Vec<Counts>,
    pub(crate) overlaps: Vec<Overlap>,
    pub(crate) hangs: Vec<String>,
}

impl Summary<'_> {
    pub(crate) fn is_good(&self) -> bool {
        let is_clean = self.overlaps.is_empty() && self.hangs.is_empty();
        is_clean && self.book.wrong.is_empty() && self.book.turns() > 0
    }

    fn worst<T: fmt::Display>(f: &mut fmt::Formatter<'_>, what: &str, all: &[T]) -> fmt::Result {
        // What goes wrong once goes wrong a thousand times.
        const SHOWN: usize = 20;
        for one in all.iter().take(SHOWN) {
            writeln!(f, "{what}: {one}")?;
        }
        if all.len() > SHOWN {
            writeln!(f, "{what}: and {} more", all.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nworker    turns  refused  losses    busy  unavailable  cancelled  stops  kills  cuts  losses by cause"
        )?;
        for (number, (tally, counts)) in self.book.tallies.iter().zip(&self.counts).enumerate() {
            let causes = tally.losses.iter();
            let causes: Vec<_> = causes.map(|(cause, n)| format!("{cause} {n}")).collect();
            writeln!(
                f,
                "w{}      {:>7}  {:>7}  {:>6}  {:>6}  {:>11}  {:>9}  {:>5}  {:>5}  {:>4}  {}",
                number + 1,
                tally.turns,
                tally.refused,
                tally.losses.values().sum::<u64>(),
                tally.busy,
                tally.unavailable,
                tally.cancelled,
                counts.stops,
                counts.kills,
                counts.cuts,
                causes.join(", ")
            )?;
        }
        writeln!(
            f,
            "\nlock      turns  longest time nobody got it though somebody waited"
        )?;
        for (lock, turns, longest) in self.book.waits.by_lock() {
            let seconds = Duration::from_nanos(longest).as_secs_f64();
            writeln!(f, "{lock:<7} {turns:>7}  {seconds:.2} s")?;
        }
        writeln!(f)?;
        Self::worst(f, "overlap", &self.overlaps)?;
        Self::worst(f, "hang", &self.hangs)?;
        Self::worst(f, "error", &self.book.wrong)?;
        let restarts: u64 = self.counts.iter().map(|counts| counts.kills).sum();
        writeln!(
            f,
            "soak: store={} minutes={} turns={} refused={} losses={} restarts={restarts} overlaps={} hangs={}",
            self.store.as_str(),
            self.minutes,
            self.book.turns(),
            self.book.refused(),
            self.book.losses(),
            self.overlaps.len(),
            self.hangs.len()
        )
    }
}
