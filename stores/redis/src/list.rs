//! Listing leases: a scan of the keys, then their records.

use leasehold_core::name::ResourceName;
use leasehold_core::protocol::{Op, Record, Reply};
use leasehold_core::store::{LeaseCall, Leases, ListQuery, Page, Stamped, StoreError};
use redis::Value;

use crate::connection::Connection;
use crate::error::malformed;
use crate::leases::on_server_clock;
use crate::record;
use crate::registers::server_time;

const LIST: &str = "list";
/// How many keys of the database one step looks at, about.
const STEP: usize = 1000;

impl Connection {
    /// One step of a scan. A page may well be empty: most keys are of other kinds, or of others.
    pub(crate) async fn list_page(&self, query: &ListQuery) -> Result<Stamped<Page>, StoreError> {
        let keys = &self.shared.keys;
        let mut scan = redis::pipe();
        scan.cmd("SCAN")
            .arg(query.after.as_deref().unwrap_or("0"))
            .arg("MATCH")
            .arg(keys.leases_matching(&query.prefix))
            .arg("COUNT")
            .arg(query.limit.clamp(1, STEP));
        let scanned = self.pipeline(LIST, &scan).await?.pop();
        let (next, found) = cursor_and_keys(scanned).ok_or_else(|| malformed(LIST))?;
        let mut read = redis::pipe();
        read.cmd("TIME");
        let mut names = Vec::with_capacity(found.len());
        for key in found {
            // What only looks like ours is not.
            if let Some(name) = keys.name_of_lease(&key) {
                read.cmd("GET").arg(key);
                names.push(name);
            }
        }
        let mut answers = self.pipeline(LIST, &read).await?.into_iter();
        let time = answers.next().as_ref().and_then(server_time);
        let now = on_server_clock(time.ok_or_else(|| malformed(LIST))?);
        let mut resources = Vec::with_capacity(names.len());
        for (name, answer) in names.into_iter().zip(answers) {
            match answer {
                Value::BulkString(bytes) if record::is_crowd(&bytes) => {
                    if let Some(record) = self.crowd(&name).await? {
                        resources.push((name, record));
                    }
                }
                Value::BulkString(bytes) => resources.push((name, record::decode(&bytes)?)),
                // It went since.
                Value::Nil => {}
                _ => return Err(malformed(LIST)),
            }
        }
        let value = Page { resources, next };
        Ok(Stamped { now, value })
    }

    /// The record of a crowd; its keys have to be read in one step. `None` if it went since.
    async fn crowd(&self, name: &ResourceName) -> Result<Option<Record>, StoreError> {
        let call = LeaseCall {
            name: name.clone(),
            op: Op::Inspect,
        };
        match self.execute(&[call]).await?.value.pop() {
            Some(Reply::Inspected(record)) => Ok(record),
            _ => Err(malformed(LIST)),
        }
    }
}

/// Where the scan goes on, unless it is over, and what this step found.
fn cursor_and_keys(answer: Option<Value>) -> Option<(Option<String>, Vec<String>)> {
    let text = |value: Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        _ => None,
    };
    let Some(Value::Array(parts)) = answer else {
        return None;
    };
    let [cursor, Value::Array(keys)] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let cursor = text(cursor)?;
    let keys = keys.into_iter().filter_map(text).collect();
    Some(((cursor != "0").then_some(cursor), keys))
}
