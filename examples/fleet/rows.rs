//! What the handlers write: one line a run, appended whole. Nothing here asks the scheduler.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

/// A run, as its handler saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) tick: i64,
    pub(crate) node: String,
    pub(crate) fence: u64,
    pub(crate) term: u64,
    pub(crate) delay_ms: u64,
}

pub(crate) async fn append(path: &Path, row: &Row) -> std::io::Result<()> {
    let line = format!("{}\n", serde_json::to_string(row)?);
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .await?;
    // One write of one line: lines of several processes never mix.
    file.write_all(line.as_bytes()).await?;
    file.flush().await
}

pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    // A line that is being written has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let rows = whole.lines().map(serde_json::from_str);
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The account of all rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Nominal ticks from the first row to the last.
    ticks: usize,
    runs: usize,
    duplicates: usize,
    missed: usize,
    /// Changes of the leader's term from tick to tick.
    failovers: usize,
    fences_rise: bool,
}

impl Verdict {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| (row.tick, row.fence));
        let distinct: BTreeSet<i64> = rows.iter().map(|row| row.tick).collect();
        let ticks = match (distinct.first(), distinct.last()) {
            (Some(first), Some(last)) => usize::try_from(last - first + 1).unwrap_or(usize::MAX),
            _ => 0,
        };
        let pairs = || rows.windows(2);
        Self {
            ticks,
            runs: rows.len(),
            duplicates: rows.len() - distinct.len(),
            missed: ticks - distinct.len(),
            failovers: pairs().filter(|pair| pair[0].term != pair[1].term).count(),
            fences_rise: pairs().all(|pair| pair[0].fence < pair[1].fence),
        }
    }

    /// Every tick ran once, in order of their fences, and one leader followed another once.
    pub(crate) fn is_good(&self) -> bool {
        self.ticks > 0
            && self.runs == self.ticks
            && self.duplicates == 0
            && self.missed == 0
            && self.failovers == 1
            && self.fences_rise
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ticks,
            runs,
            duplicates,
            missed,
            failovers,
            ..
        } = self;
        write!(
            f,
            "fleet: ticks={ticks} runs={runs} duplicates={duplicates} missed={missed} failovers={failovers}"
        )
    }
}
