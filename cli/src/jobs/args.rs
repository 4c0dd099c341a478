//! The command line of `leasehold jobs`.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::place::{Place, duration};

/// What jobs there are and what became of them; pause, resume, trigger, backfill
///
/// They are those of programs with a scheduler in the same namespace. The program itself is not needed: its nodes do what
/// is asked for within two seconds.
#[derive(Debug, Args)]
#[command(after_long_help = "\
NAME is a job's name, or its first name if it was renamed. A time is `2026-03-29 02:30` by the
clocks of the job's zone, `2026-03-29T02:30:00+01:00`, or `@1774747800` in seconds since 1970. A
date alone is its midnight. A time that clocks skip is the first instant after the gap, and one
that they repeat is the first of the two.

Exit codes:
  0        done
  1        with `trigger --wait`: the run did not end well
  66       there is no such job
  2        wrong arguments, names, times or ranges; there is nothing to resume; or the job was
           taken out of the store
  75       the job has so many runs to come that it takes no more now; or the wait is over
  69       the store could not be reached, or did not answer
  78       the store, or what a newer version wrote to it, cannot be used

Examples:
  leasehold jobs ls
  leasehold jobs why nightly --at '2026-03-29 02:30'
  leasehold jobs pause --all --reason 'database migration'
  leasehold jobs resume --all --where-it-stopped
  leasehold jobs trigger nightly --wait
  leasehold jobs define acme --kind report --schedule '0 7 * * *' --payload '\"acme\"'
  leasehold jobs backfill nightly --from 2026-03-01 --to 2026-03-08 --dry-run
  leasehold jobs history nightly --outcome failed --json | jq '.records[].error'")]
pub(crate) struct JobsArgs {
    #[command(subcommand)]
    pub(crate) command: JobsCommand,

    #[command(flatten)]
    pub(crate) place: Place,

    /// One JSON document instead of text; its times are in seconds since 1970
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Show times in UTC instead of the job's zone
    #[arg(long, global = true)]
    pub(crate) utc: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List the jobs that the fleet has or had
    Ls,
    /// Show all of a job but its history
    Show(Named),
    /// Show the next ticks of a job
    Next(NextArgs),
    /// Let no tick run until it is resumed; what is asked for runs all the same
    Pause(PauseArgs),
    /// Let ticks run again
    Resume(ResumeArgs),
    /// Have a job run once, now, whatever its schedule says
    Trigger(TriggerArgs),
    /// Have past ticks run that did not run well
    Backfill(BackfillArgs),
    /// Define a job in the store, or change it, while the fleet runs
    Define(DefineArgs),
    /// Take a job that was defined in the store out of it
    Undefine(Named),
    /// Show what became of the latest ticks of a job
    History(HistoryArgs),
    /// Say why a job did or did not run at a time
    Why(WhyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  leasehold jobs next nightly -n 10")]
pub(crate) struct NextArgs {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// How many
    #[arg(short, value_name = "N", default_value_t = 5, value_parser = at_least_one)]
    pub(crate) n: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "write a whole number from 1".into())
}

/// A job, or all of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// All jobs of the namespace, also those that are added later
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A pause outlasts deploys. Runs under way go on. What was paused before stays as it is.

Examples:
  leasehold jobs pause nightly --reason 'the report is wrong'
  leasehold jobs pause --all --reason 'database migration'")]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Why, for people
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ticks that came due meanwhile are recorded as paused, unless --where-it-stopped lets them run. A job
that was paused by itself stays so when all are resumed.

Examples:
  leasehold jobs resume nightly
  leasehold jobs resume --all --where-it-stopped")]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Let the ticks that came due meanwhile run, one after the other, oldest first
    #[arg(long)]
    pub(crate) where_it_stopped: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints the run's id. If a run of the job is under way it starts afterwards, unless the job's overlap
policy allows both. A paused job runs, too.

Examples:
  leasehold jobs trigger nightly
  leasehold jobs trigger nightly --wait=10m && echo 'it ran'
  leasehold jobs trigger nightly --id \"deploy-$VERSION\"    # sent twice, it runs once")]
pub(crate) struct TriggerArgs {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The run's id: a job that was triggered with it lately is not triggered again [default: a new one]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,

    /// Wait for its end, its further attempts included, for so long if that is said (`--wait=10m`); the exit code is 0 only
    /// if it ran well
    #[arg(
        long,
        value_name = "DUR",
        value_parser = duration,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "10years"
    )]
    pub(crate) wait: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ticks that ran well, that are under way, or that the schedule itself is still to see to are left
out, and so are those so long ago that their records were dropped. The others run one after the
other, oldest first, while the schedule goes on; at most 1000 can wait at a time.

Examples:
  leasehold jobs backfill nightly --from 2026-03-01 --to 2026-03-08 --dry-run
  leasehold jobs backfill hourly --from '2026-03-29 00:00' --to '2026-03-29 06:00'")]
pub(crate) struct BackfillArgs {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The first time that may be a tick of it, as `2026-03-01 06:00` by the clocks of its zone
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,

    /// The last time that may be a tick of it; a date alone is its midnight
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,

    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The job is run by nodes whose program has a handler for its kind, with the payload. Jobs that
programs define themselves cannot be changed.

Examples:
  leasehold jobs define 'report for acme' --kind report --schedule '0 7 * * *' \\
      --set tz=Europe/Berlin --set misfire=run_once --payload '{\"customer\": \"acme\"}'
  leasehold jobs undefine 'report for acme'")]
pub(crate) struct DefineArgs {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Which handler of the nodes runs it
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: String,

    /// When it is due: a cron expression, or `-` for only when it is triggered
    #[arg(long, value_name = "CRON", allow_hyphen_values = true)]
    pub(crate) schedule: String,

    /// A policy, such as `misfire=run_once` or `tz=Europe/Berlin`; may be given several times
    #[arg(long, value_name = "WORD=VALUE")]
    pub(crate) set: Vec<String>,

    /// A JSON document for its handler
    #[arg(long, value_name = "JSON")]
    pub(crate) payload: Option<String>,
}

/// The outcomes that there are.
const OUTCOMES: [&str; 8] = [
    "ran",
    "failed",
    "timed_out",
    "skipped_overlap",
    "missed",
    "paused",
    "lost_lease",
    "unknown",
];

#[derive(Debug, Args)]
#[command(after_help = "\
The latest is the last. A line may stand for all ticks of a range that nobody ran; an attempt that
another one followed is marked with `retry`.

Examples:
  leasehold jobs history nightly
  leasehold jobs history nightly -n 100 --outcome failed")]
pub(crate) struct HistoryArgs {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// At most this many records
    #[arg(short, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    pub(crate) n: usize,

    /// Only those with this outcome
    #[arg(long, value_name = "OUTCOME", value_parser = OUTCOMES)]
    pub(crate) outcome: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  leasehold jobs why nightly --at '2026-03-29 02:30'
  leasehold jobs why nightly --at @1774747800 --json")]
pub(crate) struct WhyArgs {
    /// The job
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// When it should have run, or is to run, as `2026-03-29 02:30` by the clocks of its zone
    #[arg(long, value_name = "TIME")]
    pub(crate) at: String,
}
