//! The table in `docs/PERFORMANCE.md`. What people wrote around it stays.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use super::rows::Row;
use super::runs::Runs;
use crate::run::{capture, root};

pub(super) const PATH: &str = "docs/PERFORMANCE.md";
const BEGIN: &str = "<!-- written by `cargo xtask bench` -->\n";
const END: &str = "<!-- until here -->\n";

pub(super) fn write(rows: &[Row], runs: &Runs<'_>) -> Result<()> {
    let rustc = capture(Command::new("rustc").arg("--version"))?;
    let cores = available_parallelism()?;
    let server = runs.server.info("redis_version");
    let setting = format!(
        "redis-server {server} and the clients on one machine with {cores} cores; {}, release profile.\n\n",
        rustc.trim()
    );
    let path = root().join(PATH);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PATH}"))?;
    let page = replaced(&page, &(setting + &table(rows)))
        .with_context(|| format!("{PATH} has lost its lines {BEGIN:?} and {END:?}"))?;
    fs::write(&path, page).with_context(|| format!("cannot write {PATH}"))
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from("| what | must be | is | met | command |\n|---|---|---|---|---|\n");
    for row in rows {
        let Row {
            what,
            must_be,
            is,
            is_met,
            command,
        } = row;
        let met = match is_met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "-",
        };
        writeln!(text, "| {what} | {must_be} | {is} | {met} | `{command}` |")
            .expect("a String takes text");
    }
    text
}

/// The page with `text` between the two lines.
fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_lines_is_written() {
        let page = format!("# Title\n{BEGIN}old\n{END}prose\n");
        let new = replaced(&page, "new\n").expect("it has both lines");
        assert_eq!(new, format!("# Title\n{BEGIN}new\n{END}prose\n"));
        assert!(replaced("# Title\n", "new").is_none());
    }
}
