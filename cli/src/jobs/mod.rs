//! `leasehold jobs`

mod args;
mod ask;
mod look;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use leasehold::Jobs;
use leasehold::scheduler::{JobDetails, Zone};
use serde_json::Value;

pub(crate) use args::JobsArgs;
use args::JobsCommand;

use crate::exit::Failure;
use crate::{out, place};

pub(crate) async fn run(args: &JobsArgs) -> Result<ExitCode, Failure> {
    let user = ["USER", "LOGNAME"].map(|name| std::env::var(name).ok());
    let user = user.into_iter().flatten().next();
    let who = user.map_or_else(|| "jobs".into(), |user| format!("jobs, {user}"));
    let builder = args.place.shared()?.label(place::label(Some(&who)));
    let coord = builder.connect().await?;
    let asked = Asked {
        jobs: Jobs::new(&coord),
        env: coord.env().clone(),
        json: args.json,
        utc: args.utc,
    };
    let done = match &args.command {
        JobsCommand::Ls => asked.ls().await,
        JobsCommand::Show(args) => asked.show(&args.name).await,
        JobsCommand::Next(args) => asked.next(args).await,
        JobsCommand::Pause(args) => asked.pause(args).await,
        JobsCommand::Resume(args) => asked.resume(args).await,
        JobsCommand::Trigger(args) => asked.trigger(args).await,
        JobsCommand::Backfill(args) => asked.backfill(args).await,
        JobsCommand::Define(args) => asked.define(args).await,
        JobsCommand::Undefine(args) => asked.undefine(&args.name).await,
        JobsCommand::History(args) => asked.history(args).await,
        JobsCommand::Why(args) => asked.why(args).await,
    };
    coord.shutdown(Duration::ZERO).await;
    done
}

/// What is asked, of which jobs, and how the answer is to look.
struct Asked {
    jobs: Jobs,
    env: leasehold::Env,
    json: bool,
    utc: bool,
}

impl Asked {
    /// By whose clocks a job's times are shown.
    fn shown_in(&self, zone: &str) -> Zone {
        if self.utc {
            return Zone::UTC;
        }
        // One that a newer version knows, maybe.
        zone.parse().unwrap_or(Zone::UTC)
    }

    /// Reads times by the clocks of a job's zone.
    fn read(details: &JobDetails, text: &str) -> Result<i64, Failure> {
        let zone: Zone = details.summary.zone.parse().unwrap_or(Zone::UTC);
        zone.read(text)
            .map_err(|error| Failure::Usage(error.to_string()))
    }

    /// What was done: a document, or a line for people that is no data.
    fn told(&self, document: &Value, text: &str) -> Result<(), Failure> {
        if self.json {
            return out::line(document);
        }
        eprintln!("leasehold: {text}");
        Ok(())
    }
}
