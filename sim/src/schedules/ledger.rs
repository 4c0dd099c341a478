//! What a write to a job's ledger says, read from its stored form.

use serde_json::Value;

use super::history::{Entry, Seen};

/// The class of the registers.
const CLASS: &str = "~ledger";

/// The job whose ledger this register is.
pub(super) fn job_of(register: &str) -> Option<&str> {
    register.strip_prefix(CLASS)?.strip_prefix('/')
}

/// Reads it; `None` if it has a form that the simulation does not know.
pub(super) fn read(bytes: &[u8]) -> Option<Seen> {
    let ledger: Value = serde_json::from_slice(bytes).ok()?;
    let running = ledger.get("running")?.as_array()?.iter();
    Some(Seen {
        schedule: ledger.get("expression")?.as_str()?.to_owned(),
        cursor: ledger.get("cursor")?.as_i64()?,
        running: running.map(entry).collect::<Option<_>>()?,
    })
}

fn entry(run: &Value) -> Option<Entry> {
    Some(Entry {
        tick: run.get("tick")?.as_i64()?,
        attempt: u32::try_from(run.get("attempt")?.as_u64()?).ok()?,
        fence: run.get("fence")?.as_u64()?,
    })
}
