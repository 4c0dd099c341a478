//! What a write to a job's ledger says, read from its stored form.

use std::collections::BTreeMap;

use serde_json::Value;

use super::history::{Entry, Id, Seen, Words};

/// The class of the registers.
const CLASS: &str = "~ledger";

/// The job whose ledger this register is.
pub(super) fn job_of(register: &str) -> Option<&str> {
    register.strip_prefix(CLASS)?.strip_prefix('/')
}

/// Reads it, with the numbers of the nodes; `None` if it has a form that the simulation does not know.
pub(super) fn read(bytes: &[u8], nodes: &BTreeMap<String, Id>) -> Option<Seen> {
    let ledger: Value = serde_json::from_slice(bytes).ok()?;
    let running = ledger.get("running")?.as_array()?.iter();
    let versions = ledger.get("versions")?;
    let pending = ledger.get("pending").and_then(Value::as_array);
    let tick = |pending: &Value| pending.get("tick")?.as_i64();
    Some(Seen {
        spec: words(ledger.get("spec")?)?,
        order: versions.get("order")?.as_u64()?,
        known: (versions.get("known")?.as_array()?.iter())
            .filter_map(|known| Some((known.get("order")?.as_u64()?, words(known.get("words")?)?)))
            .collect(),
        cursor: ledger.get("cursor")?.as_i64()?,
        running: running
            .map(|run| entry(run, nodes))
            .collect::<Option<_>>()?,
        pending: pending
            .into_iter()
            .flatten()
            .map(tick)
            .collect::<Option<_>>()?,
        paused: ledger.get("paused").is_some(),
    })
}

fn words(spec: &Value) -> Option<Words> {
    let words = spec.as_object()?.iter();
    words
        .map(|(word, said)| Some((word.clone(), said.as_str()?.to_owned())))
        .collect()
}

fn entry(run: &Value, nodes: &BTreeMap<String, Id>) -> Option<Entry> {
    Some(Entry {
        tick: run.get("tick")?.as_i64()?,
        attempt: u32::try_from(run.get("attempt")?.as_u64()?).ok()?,
        fence: run.get("fence")?.as_u64()?,
        asked: run.get("via").is_some(),
        lease: run.get("lease")?.as_str()?.to_owned(),
        node: nodes.get(run.get("node")?.as_str()?).copied(),
    })
}
