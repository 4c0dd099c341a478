//! What is to be done.

use std::process::ExitCode;
use std::time::Duration;

use leasehold::scheduler::{Backfilled, Outcome, Progress, Resume, Spec, Zone};
use serde_json::{Value, json};

use super::Asked;
use super::args::{BackfillArgs, DefineArgs, PauseArgs, ResumeArgs, TriggerArgs};
use super::look::as_json;
use super::table::table;
use crate::exit::Failure;
use crate::out;

/// How often a run is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(200);
/// The run did not end well.
const NOT_WELL: u8 = 1;

impl Asked {
    pub(super) async fn pause(&self, args: &PauseArgs) -> Result<ExitCode, Failure> {
        let (is_new, paused, what) = if let Some(name) = &args.which.name {
            let is_new = self.jobs.pause(name, &args.reason).await?;
            (is_new, self.jobs.paused(name).await?, format!("`{name}`"))
        } else {
            let is_new = self.jobs.pause_all(&args.reason).await?;
            (is_new, self.jobs.paused_all().await?, "every job".into())
        };
        let before = paused.as_ref().filter(|_| !is_new);
        let text = match before {
            None => format!("{what} is paused"),
            Some(paused) => format!(
                "{what} was paused before, by {}: that stays as it is",
                paused.by
            ),
        };
        self.told(&json!({ "is_new": is_new, "paused": paused }), &text)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn resume(&self, args: &ResumeArgs) -> Result<ExitCode, Failure> {
        let (how, ticks) = if args.where_it_stopped {
            (Resume::WhereItStopped, "run now")
        } else {
            (Resume::FromNow, "are recorded as paused")
        };
        let what = if let Some(name) = &args.which.name {
            self.jobs.resume(name, how).await?;
            format!("`{name}`")
        } else {
            self.jobs.resume_all(how).await?;
            "every job that was not paused by itself".into()
        };
        let text = format!("{what} is resumed; the ticks that came due meanwhile {ticks}");
        self.told(&json!({ "how": how }), &text)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn define(&self, args: &DefineArgs) -> Result<ExitCode, Failure> {
        let usage = |text: String| Failure::Usage(text);
        let mut words = vec![("schedule", args.schedule.as_str())];
        for said in &args.set {
            let word = said.split_once('=');
            words.push(word.ok_or_else(|| {
                usage(format!(
                    "`{said}` sets nothing: write it like `misfire=run_once`"
                ))
            })?);
        }
        let spec = Spec::from_words(words);
        let spec = spec.map_err(|error| usage(format!("{}: {error}", error.word)))?;
        let payload: Value = match &args.payload {
            None => Value::Null,
            Some(text) => serde_json::from_str(text)
                .map_err(|error| usage(format!("the payload is no JSON document: {error}")))?,
        };
        let is_new = (self.jobs)
            .define(&args.name, &args.kind, &spec, payload)
            .await?;
        let nodes = self.jobs.show(&args.name).await?.nodes.len();
        let how = if is_new { "defined" } else { "so already" };
        let text = match nodes {
            0 => format!(
                "no live node has its kind `{}`: it waits for one",
                args.kind
            ),
            1 => "1 live node has its kind".to_owned(),
            _ => format!("{nodes} live nodes have its kind"),
        };
        let text = format!("`{}` is {how}; {text}", args.name);
        self.told(&json!({ "is_new": is_new, "nodes": nodes }), &text)?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn undefine(&self, name: &str) -> Result<ExitCode, Failure> {
        self.jobs.undefine(name).await?;
        self.told(
            &json!({}),
            &format!("`{name}` is due no more; its history stays"),
        )?;
        Ok(ExitCode::SUCCESS)
    }

    pub(super) async fn trigger(&self, args: &TriggerArgs) -> Result<ExitCode, Failure> {
        let (id, is_new) = match &args.id {
            Some(id) => (id.clone(), self.jobs.trigger_as(&args.name, id).await?),
            None => (self.jobs.trigger(&args.name).await?, true),
        };
        let Some(wait) = args.wait else {
            if self.json {
                out::line(json!({ "id": id, "is_new": is_new }))?;
            } else {
                out::line(id)?;
            }
            if !is_new {
                eprintln!(
                    "leasehold: `{}` was triggered with this id before",
                    args.name
                );
            }
            return Ok(ExitCode::SUCCESS);
        };
        if !self.json {
            out::line(&id)?;
        }
        let ended = self.end_of(&args.name, &id, wait).await?;
        if self.json {
            let records: Vec<_> = ended.ended.iter().map(as_json).collect();
            let is_over = ended.is_over();
            let document =
                json!({ "id": id, "is_new": is_new, "is_over": is_over, "ended": records });
            out::line(document)?;
        }
        if !ended.is_over() {
            let state = if ended.running.is_empty() {
                "has not started"
            } else {
                "is running"
            };
            let wait = humantime::format_duration(wait);
            let text = format!(
                "run {id} of `{}` {state} after {wait}, and goes on",
                args.name
            );
            return Err(Failure::Busy(text));
        }
        let last = ended.ended.iter().rfind(|record| !record.late);
        match last.map(|record| (record.outcome, record)) {
            Some((Outcome::Ran, _)) => Ok(ExitCode::SUCCESS),
            Some((outcome, record)) => {
                let error = record.error.as_deref().unwrap_or("no error was noted");
                eprintln!(
                    "leasehold: the run of `{}` ended with {outcome}: {error}",
                    args.name
                );
                Ok(ExitCode::from(NOT_WELL))
            }
            None => {
                eprintln!(
                    "leasehold: what became of the run of `{}` is not known any more",
                    args.name
                );
                Ok(ExitCode::from(NOT_WELL))
            }
        }
    }

    /// What became of a run that was asked for, once it is over or the wait is.
    async fn end_of(&self, name: &str, id: &str, wait: Duration) -> Result<Progress, Failure> {
        let deadline = self.env.now() + wait;
        loop {
            let progress = self.jobs.progress(name, id).await?;
            if progress.is_over() || self.env.now() >= deadline {
                return Ok(progress);
            }
            self.env.sleep(LOOK).await;
        }
    }

    pub(super) async fn backfill(&self, args: &BackfillArgs) -> Result<ExitCode, Failure> {
        let job = self.jobs.show(&args.name).await?;
        let (from, to) = (Self::read(&job, &args.from)?, Self::read(&job, &args.to)?);
        let done = if args.dry_run {
            self.jobs.plan_backfill(&args.name, from..=to).await?
        } else {
            self.jobs.backfill(&args.name, from..=to).await?
        };
        if self.json {
            out::line(json!(done))?;
            return Ok(ExitCode::SUCCESS);
        }
        out::print(said_of(
            &done,
            &self.shown_in(&job.summary.zone),
            args.dry_run,
        ))?;
        if !(args.dry_run || done.accepted.is_empty()) {
            eprintln!("leasehold: history has these runs by the id {}", done.id);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What becomes of which ticks, a kind a line.
fn said_of(done: &Backfilled, zone: &Zone, dry_run: bool) -> String {
    let kinds = [
        (if dry_run { "would run" } else { "to run" }, &done.accepted),
        ("ran before", &done.ran),
        ("under way", &done.under_way),
        ("not over yet", &done.not_over),
        ("record dropped", &done.forgotten),
    ];
    let row = |(kind, ticks): (&str, &Vec<i64>)| {
        let (first, last) = (zone.show(*ticks.first()?), zone.show(*ticks.last()?));
        Some([kind.to_owned(), ticks.len().to_string(), first, last])
    };
    let rows: Vec<_> = kinds.into_iter().filter_map(row).collect();
    if rows.is_empty() {
        return "the schedule has no tick in this range\n".into();
    }
    table(["WHAT", "TICKS", "FROM", "TO"], rows)
}
