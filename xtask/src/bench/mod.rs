//! `cargo xtask bench`: measures, and writes the table of `docs/PERFORMANCE.md`.
//!
//! On one server of its own, in one run. What is compared is measured in turn (ours, floor, ours, floor, ..) and the
//! median of the rounds counts: absolute times jump, ratios of neighbours less so. Shows the benches of what runs in
//! process, too.

mod page;
mod rows;
mod runs;

use std::process::ExitCode;

use anyhow::{Result, bail};
use leasehold_testkit::RedisServer;

use crate::prerequisites;
use crate::run::{cargo, show, step};
use rows::Row;
use runs::Runs;

type Measure = fn(&Runs<'_>) -> Result<Vec<Row>>;

const MEASURES: [(&str, Measure); 12] = [
    ("solo", rows::solo),
    ("keys", rows::keys),
    ("fight", rows::fight),
    ("fight, 5 ms hold", rows::fight_holding),
    ("permits, 5 ms hold", rows::permits),
    ("strict", rows::strict),
    ("server time", rows::server_time),
    ("100,000 leases", rows::hold),
    ("a crowd", rows::crowded),
    ("a hot limit", rows::limit),
    ("memory", rows::memory),
    ("sqlite", rows::sqlite),
];

pub(crate) fn run() -> Result<ExitCode> {
    step("prerequisites", prerequisites::ensure)?;
    let built = step("build", || {
        show(cargo().args(["build", "--release", "--package", "leasehold-cli"]))
    })?;
    if !built.success() {
        bail!("leasehold does not build");
    }
    let server = RedisServer::start();
    let runs = Runs::new(&server)?;
    let mut rows = Vec::new();
    for (title, measure) in MEASURES {
        let found = step(title, || measure(&runs))?;
        for row in &found {
            eprintln!("    {}: {} (must be {})", row.what, row.is, row.must_be);
        }
        rows.extend(found);
    }
    let in_process = step("in process", || {
        show(cargo().args([
            "bench",
            "--package",
            "leasehold-core",
            "--bench",
            "in_process",
        ]))
    })?;
    if !in_process.success() {
        bail!("the benches of what runs in process fail");
    }
    page::write(&rows, &runs)?;
    eprintln!("\nWritten to {}.", page::PATH);
    Ok(ExitCode::SUCCESS)
}
