//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::exit::BUSY;
use crate::jobs::JobsArgs;
use crate::place::{Place, duration};

/// Leases for processes: run a command under a lock or a permit, let one of several lead, look who holds what.
///
/// A lease is the right to hold something for a while; it ends by itself if its holder dies. Each carries a fence, a number
/// greater than every earlier one: what is written under the lease can be refused if a newer holder has written.
#[derive(Debug, Parser)]
#[command(name = "leasehold", version, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command while holding a lock
    Lock(LockArgs),
    /// Run a command while holding one of so many permits
    Semaphore(SemaphoreArgs),
    /// Campaign, and run a command while leading; or watch who leads
    Elect(ElectArgs),
    /// Show who holds what, who waits, and for how long
    Inspect(InspectArgs),
    /// What jobs there are and what became of them; pause, resume, trigger, backfill
    Jobs(JobsArgs),
    /// Measure a store: round trips, locks, and what many tasks get of one
    Bench(BenchArgs),
}

impl Command {
    /// What a conflict ends with.
    pub(crate) fn conflict_code(&self) -> u8 {
        match self {
            Command::Lock(LockArgs { under, .. })
            | Command::Semaphore(SemaphoreArgs { under, .. })
            | Command::Elect(ElectArgs { under, .. }) => under.conflict_exit_code,
            _ => BUSY,
        }
    }
}

const GETS: &str = "\
What the command gets:
  LEASEHOLD_FENCE  the fence of this grant: send it along with what is written
  LEASEHOLD_NAME   the whole name of what is held";

const ENDS: &str = "\
How the command ends: it runs in a process group of its own, and signals (TERM, INT, HUP, QUIT,
USR1, USR2, WINCH) are forwarded to all of it. If the store does not answer any more, or the lease
is revoked, the group gets TERM when a third of the TTL is left and KILL when a tenth is left: it
is dead before the lease can pass on, also if leasehold itself is killed or stopped. What a command
leaves running in its group is stopped when it ends; a process that left the group (setsid, a
daemon) is not. A command under a lease cannot be suspended (^Z): the lease would go on.

Exit codes:
  the command's own, or 128 + the number of the signal that ended it
  75       someone else has it, and the wait is over (--conflict-exit-code sets another)
  69       the store could not be reached, or did not answer
  76       the lease was lost, about to be lost, or revoked; the command was stopped
  78       the store cannot be used as it is set up, or there is no folder for the default store
  2        wrong arguments, names or TTLs
  74       something else failed here, such as starting a helper process
  126 127  the command could not be run, or was not found
  128 + n  signal n came before the command was started";

/// Run a command while holding a lock
///
/// NAME is `class/id` or a plain name: `invoice/7` is what a program locks with `mutexes("invoice")` and id 7; `demo` is
/// short for `cli/demo`. With --shared it is what a program reads with `rw_locks("invoice")` and id 7; without, what one
/// writes. So commands that share run at once, and exclude those that do not.
#[derive(Debug, Args)]
#[command(
    override_usage = "leasehold lock NAME [OPTIONS] -- COMMAND...",
    after_long_help = format!(
        "{GETS}\n\n{ENDS}\n\nWith --shared the command gets no fence, but:\n  \
         LEASEHOLD_GRANT_ID  which names this grant in logs, and guards no write\n\nExamples:\n  \
         leasehold lock backup -- /usr/local/bin/backup --full\n  \
         leasehold lock deploy --no-wait -- make deploy; [ $? = 75 ] && echo 'someone else does it'\n  \
         leasehold lock invoice/7 --store redis://cache --namespace billing --wait 5s -- ./repair 7\n  \
         leasehold lock demo -- sh -c 'echo $LEASEHOLD_FENCE'\n  \
         leasehold lock data --shared -- ./report    # with others that share, while nobody has `lock data`"
    )
)]
pub(crate) struct LockArgs {
    /// What to lock: `class/id`, or a plain name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Share it: any number of commands with --shared run at once, and one without it runs alone. Both wait in one queue,
    /// and neither starves
    #[arg(long)]
    pub(crate) shared: bool,

    /// How long the lock outlives a holder that dies; it is renewed while the command runs, however long that is
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration)]
    pub(crate) ttl: Duration,

    #[command(flatten)]
    pub(crate) under: Under,

    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Run a command while holding one of so many permits
///
/// At most so many commands run at once, over all machines that use the store. NAME is a plain name or `class/id`: `stripe`
/// is what a program has as `semaphore("stripe", ..)`, `db/eu-1` what it has as `semaphores("db", ..)` and id eu-1. Who
/// waits is served in turn, whether for one permit or for many.
///
/// All who use a semaphore should say the same number. While they don't, the smallest counts, unless a program has resized
/// it or announced another number with a revision: then that one does.
#[derive(Debug, Args)]
#[command(
    override_usage = "leasehold semaphore NAME --permits N [OPTIONS] -- COMMAND...",
    after_long_help = format!("\
What the command gets:
  LEASEHOLD_PERMITS   how many permits it runs under
  LEASEHOLD_GRANT_ID  which names this grant in logs, and guards no write: permits have no fence
  LEASEHOLD_NAME      the whole name of what is held

{ENDS}

Examples:
  leasehold semaphore reports --permits 5 -- ./report eu
  leasehold semaphore gpu/0 --permits 8 --take 4 --store redis://cache -- ./train
  leasehold semaphore stripe --permits 20 --no-wait -- ./charge; [ $? = 75 ] && echo 'all taken'
  find . -name '*.raw' | xargs -P 99 -n 1 leasehold semaphore convert --permits 3 -- ./convert")
)]
pub(crate) struct SemaphoreArgs {
    /// The semaphore: a plain name, or `class/id`
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// How many permits there are, for all who use it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) permits: u32,

    /// How many of them the command needs: all at once, or none
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) take: u32,

    /// How long a permit outlives a holder that dies; it is renewed while the command runs, however long that is
    #[arg(long, value_name = "DUR", default_value = "30s", value_parser = duration)]
    pub(crate) ttl: Duration,

    #[command(flatten)]
    pub(crate) under: Under,

    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Campaign, and run a command while leading; or watch who leads
///
/// NAME is the election's: programs that call `election("janitor")` and `leasehold elect janitor` campaign against each
/// other. The command runs once: when it ends, leadership is resigned and leasehold ends with its code; when leadership is
/// lost, the command is stopped and leasehold ends with 76. It does not campaign again: let a supervisor start it again.
///
/// With --observe nothing is campaigned for: each change of the leader is a line on standard output, the leader of now the
/// first one, until a signal comes.
#[derive(Debug, Args)]
#[command(
    override_usage = "leasehold elect NAME [OPTIONS] -- COMMAND...\n       leasehold elect NAME --observe [--json]",
    after_long_help = format!(
        "{GETS}\n\n{ENDS}\n\nExamples:\n  \
         leasehold elect janitor -- ./janitor\n  \
         while :; do leasehold elect janitor --store redis://cache -- ./janitor; sleep 1; done\n  \
         leasehold elect janitor --no-wait -- ./janitor    # 75 if another leads\n  \
         leasehold elect janitor --observe                 # `led TERM WHO`, `vacant`, `unknown WHY`"
    )
)]
pub(crate) struct ElectArgs {
    /// The election
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// How long leadership outlives a leader that dies; it is renewed while the command runs
    #[arg(long, value_name = "DUR", default_value = "15s", value_parser = duration)]
    pub(crate) ttl: Duration,

    #[command(flatten)]
    pub(crate) under: Under,

    /// Don't campaign: say who leads, and each change of it
    #[arg(long, conflicts_with_all = ["command", "wait", "no_wait"])]
    pub(crate) observe: bool,

    /// With --observe: each line is a JSON document
    #[arg(long, requires = "observe", conflicts_with = "command")]
    pub(crate) json: bool,

    /// The command, and its arguments
    #[arg(
        last = true,
        required_unless_present = "observe",
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

/// What running a command under a lease takes.
#[derive(Debug, Args)]
pub(crate) struct Under {
    #[command(flatten)]
    pub(crate) place: Place,

    /// How long to stand in the queue [default: until it is granted, also if the store goes away and comes back]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) wait: Option<Duration>,

    /// Don't wait: if someone has it, end with the conflict's exit code
    #[arg(long, conflicts_with = "wait")]
    pub(crate) no_wait: bool,

    /// A note for people, shown beside host and process id
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,

    /// What to end with if someone else has it
    #[arg(long, value_name = "CODE", default_value_t = BUSY)]
    pub(crate) conflict_exit_code: u8,
}

/// Show who holds what, who waits, and for how long
///
/// Without NAME all that is held or waited for in the namespace; with it the lock, the semaphore and the election of that
/// name. NAME may also be a whole name as it is listed here (`~election/janitor`).
#[derive(Debug, Args)]
#[command(after_long_help = "\
Times are the store's. A holder that LASTS 0.0s is gone: its lease passes on when someone asks. A
waiter that is not live was not heard from lately, and is passed over. A process is one holder of a
semaphore, however many permits its tasks have (`has 2 of 5`).

Examples:
  leasehold inspect
  leasehold inspect invoice/7 --store redis://cache --namespace billing
  leasehold inspect --json | jq '.resources[] | select(.waiters != [])'")]
pub(crate) struct InspectArgs {
    /// A lock, a semaphore, an election, or a whole name [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,

    #[command(flatten)]
    pub(crate) place: Place,

    /// At most this many resources
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,

    /// One JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
