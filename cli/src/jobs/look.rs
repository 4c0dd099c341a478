//! What there is, and what became of it.

use std::process::ExitCode;

use leasehold::scheduler::{JobDetails, JobSummary, NodeOfJob, Paused, TickRecord, Via, Why, Zone};
use serde_json::{Value, json};

use super::Asked;
use super::args::{HistoryArgs, NextArgs, WhyArgs};
use super::table::{long, or_dash, table};
use crate::exit::Failure;
use crate::out;

const TAKEN_OUT: &str = "is taken out of the store";

impl Asked {
    pub(super) async fn ls(&self) -> Result<ExitCode, Failure> {
        let jobs = self.jobs.list().await?;
        if self.json {
            out::line(json!({ "jobs": jobs }))?;
        } else if jobs.is_empty() {
            eprintln!("leasehold: no job is known: it is once a node has started that has it");
        } else {
            let headings = [
                "NAME", "SCHEDULE", "NEXT", "LAST", "RUNS", "PENDING", "STATE",
            ];
            let rows = jobs.iter().map(|job| self.row(job)).collect();
            out::print(table(headings, rows))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn row(&self, job: &JobSummary) -> [String; 7] {
        let zone = self.shown_in(&job.zone);
        let state = match (&job.problem, &job.paused) {
            (Some(problem), _) => problem.clone(),
            (None, _) if job.taken_out => TAKEN_OUT.into(),
            (None, Some(paused)) => said_of(paused, &zone),
            (None, None) => "-".into(),
        };
        let last = (job.last).map(|last| format!("{} {}", last.outcome, zone.show(last.tick)));
        [
            job.name.clone(),
            or_dash(Some(job.describes.clone())),
            or_dash(job.next.map(|next| zone.show(next))),
            or_dash(last),
            job.running.to_string(),
            job.pending.to_string(),
            state,
        ]
    }

    pub(super) async fn show(&self, name: &str) -> Result<ExitCode, Failure> {
        let job = self.jobs.show(name).await?;
        if self.json {
            out::line(json!(job))?;
        } else {
            out::print(page(&job, &self.shown_in(&job.summary.zone)))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn next(&self, args: &NextArgs) -> Result<ExitCode, Failure> {
        let job = self.jobs.show(&args.name).await?;
        let next = self.jobs.next(&args.name, args.n).await?;
        if self.json {
            out::line(json!({ "job": job.summary.name, "next": next }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let zone = self.shown_in(&job.summary.zone);
        let lines = next.iter().map(|tick| zone.show(*tick) + "\n");
        out::print(lines.collect::<String>())?;
        if next.is_empty() {
            let why = match &job.summary {
                summary if summary.taken_out => TAKEN_OUT,
                summary if summary.schedule.is_some() => "has no more ticks",
                _ => "runs only when it is asked for",
            };
            eprintln!("leasehold: `{}` {why}", args.name);
        }
        if let Some(paused) = &job.summary.paused {
            eprintln!("leasehold: `{}` is {}", args.name, said_of(paused, &zone));
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn history(&self, args: &HistoryArgs) -> Result<ExitCode, Failure> {
        let job = self.jobs.show(&args.name).await?;
        let mut records = self.jobs.history(&args.name).await?;
        let is_wanted = |record: &TickRecord| {
            (args.outcome.as_ref()).is_none_or(|outcome| outcome == record.outcome.as_str())
        };
        records.retain(is_wanted);
        records.drain(..records.len().saturating_sub(args.n));
        if self.json {
            let records: Vec<_> = records.iter().map(as_json).collect();
            out::line(json!({ "job": job.summary.name, "records": records }))?;
        } else if records.is_empty() {
            eprintln!(
                "leasehold: nothing of the kind is recorded of `{}`",
                args.name
            );
        } else {
            let zone = self.shown_in(&job.summary.zone);
            let headings = [
                "TICK", "OUTCOME", "ATTEMPT", "VIA", "DELAY", "TOOK", "NODE", "ERROR",
            ];
            let rows = records.iter();
            let rows = rows
                .map(|record| cells(record, &zone, &job.nodes))
                .collect();
            out::print(table(headings, rows))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn why(&self, args: &WhyArgs) -> Result<ExitCode, Failure> {
        let job = self.jobs.show(&args.name).await?;
        let at = Self::read(&job, &args.at)?;
        let mut why: Why = self.jobs.why(&args.name, at).await?;
        if self.utc {
            why.zone = Zone::UTC;
        }
        if self.json {
            let mut document = json!(why);
            document["text"] = why.to_string().into();
            for records in ["records", "earlier"] {
                let records = document["because"].get_mut(records);
                let records = records.and_then(Value::as_array_mut);
                records.into_iter().flatten().for_each(complete);
            }
            out::line(document)?;
        } else {
            out::line(why)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A record with all that it always has: the store leaves out what is as usual.
pub(super) fn as_json(record: &TickRecord) -> Value {
    let mut document = json!(record);
    complete(&mut document);
    document
}

fn complete(record: &mut Value) {
    let usual = [
        ("via", json!(Via::Schedule)),
        ("retry", false.into()),
        ("late", false.into()),
        ("moved_by_dst", false.into()),
    ];
    if let Some(fields) = record.as_object_mut() {
        for (field, value) in usual {
            fields.entry(field).or_insert(value);
        }
    }
}

fn said_of(paused: &Paused, zone: &Zone) -> String {
    let whole = if paused.all { ", with all jobs," } else { "" };
    let reason = if paused.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", paused.reason)
    };
    let since = zone.show(paused.since);
    format!("paused{whole} since {since} by {}{reason}", paused.by)
}

fn cells(record: &TickRecord, zone: &Zone, nodes: &[NodeOfJob]) -> [String; 8] {
    let node = record.node.map(|node| {
        let known = nodes.iter().find(|known| known.node == node);
        known.map_or_else(|| node.to_string(), |known| known.label.clone())
    });
    let tick = if record.start == record.end {
        zone.show(record.end)
    } else {
        format!("{} .. {}", zone.show(record.start), zone.show(record.end))
    };
    let marks = match (record.retry, record.late) {
        (true, _) => ", retry",
        (_, true) => ", late",
        _ => "",
    };
    let asked = match &record.id {
        Some(id) => format!("{} {id}", record.via),
        None => record.via.to_string(),
    };
    let delay = record.delay_ms.filter(|_| record.via == Via::Schedule);
    [
        tick,
        record.outcome.to_string(),
        match record.attempt {
            0 => "-".into(),
            attempt => format!("{attempt}{marks}"),
        },
        asked,
        or_dash(delay.map(long)),
        or_dash(record.took_ms.map(long)),
        or_dash(node),
        or_dash(record.error.clone()),
    ]
}

/// All of a job, a fact a line.
fn page(job: &JobDetails, zone: &Zone) -> String {
    let summary = &job.summary;
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut say = |what: &str, text: String| rows.push([what.to_owned(), text]);
    say("name", summary.name.clone());
    if summary.id != summary.name {
        say("first name", summary.id.clone());
    }
    if let Some(kind) = &job.kind {
        let state = if summary.taken_out {
            "taken out of the store"
        } else {
            "defined in the store"
        };
        say("kind", format!("{kind}, {state}"));
        if !job.payload.is_null() {
            say("payload", job.payload.to_string());
        }
    }
    say("due", or_dash(Some(summary.describes.clone())));
    for (word, text) in &job.words {
        say(word, text.clone());
    }
    if let Some(coming) = job.coming.as_ref().filter(|_| !summary.taken_out) {
        let words = coming
            .words
            .iter()
            .map(|(word, text)| format!("{word}={text}"));
        let words = words.collect::<Vec<_>>().join(" ");
        let mut text = format!("{}, {words}", coming.kind);
        if !coming.payload.is_null() {
            text = format!("{text}, with {}", coming.payload);
        }
        say("to be", text);
    }
    if let Some(problem) = &summary.problem {
        say("problem", problem.clone());
    }
    say("version", job.version.clone());
    say(
        "in force since",
        or_dash(job.since.map(|since| zone.show(since))),
    );
    if let Some(paused) = &summary.paused {
        say("state", said_of(paused, zone));
    }
    say("next", or_dash(summary.next.map(|next| zone.show(next))));
    let last = summary
        .last
        .map(|last| format!("{} {}", last.outcome, zone.show(last.tick)));
    say("last", or_dash(last));
    let success = job.succeeded.map(|(tick, _)| zone.show(tick));
    say("last success", or_dash(success));
    for run in &job.running {
        let node = run.label.clone().unwrap_or_else(|| run.node.to_string());
        let (tick, since) = (zone.show(run.tick), zone.show(run.since));
        let (attempt, via, fence) = (run.attempt, run.via, run.fence);
        let text =
            format!("{tick}, attempt {attempt}, {via}, since {since} on {node}, fence {fence}");
        say("running", text);
    }
    for run in &job.pending {
        let (tick, from) = (zone.show(run.tick), zone.show(run.not_before));
        say(
            "pending",
            format!(
                "{tick}, attempt {}, {}, not before {from}",
                run.attempt, run.via
            ),
        );
    }
    for node in &job.nodes {
        let may = if node.may_run {
            ""
        } else {
            ", without the labels"
        };
        say("node", format!("{}{may}", node.label));
    }
    // The facts alone.
    let text = table(["", ""], rows);
    text.split_once('\n')
        .map_or(String::new(), |(_, facts)| facts.to_owned())
}
