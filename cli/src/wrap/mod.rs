//! Running a command so that it ends before its lease can pass on.
//!
//! The command runs in a process group of its own. While its lease is renewed nothing happens. When a third of the TTL is
//! left (renewals come at a third of it, so that two have failed) the group gets TERM; when a tenth is left it gets KILL.
//! Both count on the guard's own deadline, which lies before the store's. A second process, the [`guard`], knows the
//! latest deadline and does the same when this one is killed, stopped or stuck.

mod group;
mod guard;
mod signals;
mod start;
mod terminal;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use leasehold::{Env, Fence, Hold};
use rustix::process::Signal;

use crate::exit::{Failure, of_signal};
use group::Group;
use guard::Guard;
pub(crate) use guard::{is_guard, run as guard};
pub(crate) use signals::Signals;
pub(crate) use start::{is_start, run as start};
use terminal::Terminal;

/// What remains of the TTL when the group gets TERM: a lease that is renewed keeps more than half of it.
const WARN: u32 = 3;
/// What remains of it when the group gets KILL: the time to die in.
const RESERVE: u32 = 10;
/// How often the guard hears of a new deadline, in a TTL.
const BEATS: u32 = 12;
/// How long what a command leaves behind has after TERM.
const LEFTOVERS: Duration = Duration::from_secs(5);
/// How often a process is looked at that is to start.
const SOON: Duration = Duration::from_millis(1);
/// How often a group is looked at that is to end.
const LOOK: Duration = Duration::from_millis(5);

/// A command's lease.
pub(crate) struct Wrapped<'a> {
    pub(crate) lease: &'a Hold,
    pub(crate) what: What,
    pub(crate) env: &'a Env,
    pub(crate) ttl: Duration,
    pub(crate) name: &'a str,
}

/// What it is a lease of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What {
    /// None if it is shared.
    pub(crate) fence: Option<Fence>,
    /// Of a semaphore.
    pub(crate) permits: Option<u32>,
}

/// Why the group was told to end, when its command had not.
enum Stopped {
    RunningOut,
    Revoked,
}

impl Wrapped<'_> {
    /// Runs the command, and returns when nothing of its group is left.
    pub(crate) async fn run(
        &self,
        command: &[OsString],
        signals: &mut Signals,
    ) -> Result<ExitCode, Failure> {
        self.claimed(signals).await?;
        let mut guard = Guard::start()?;
        guard.deadline(self.kill_at());
        let What { fence, permits } = self.what;
        let environment = [
            ("LEASEHOLD_NAME", Some(self.name.to_owned())),
            ("LEASEHOLD_FENCE", fence.map(|fence| fence.to_string())),
            (
                "LEASEHOLD_GRANT_ID",
                (fence.is_none()).then(|| self.lease.grant_id().to_string()),
            ),
            (
                "LEASEHOLD_PERMITS",
                permits.map(|permits| permits.to_string()),
            ),
        ];
        let mut group = Group::spawn(command, &environment)?;
        while group.is_starting()? {
            self.env.sleep(SOON).await;
        }
        guard.watch(group.id());
        group.signal(Signal::CONT);
        let (status, stopped) = self.until_it_ends(&mut group, &mut guard, signals).await?;
        let is_empty = self.end_leftovers(&group, &mut guard).await;
        // Only the guard may take the terminal back: it ignores what the system sends to those in the background.
        guard.dismiss().await;
        if !is_empty {
            eprintln!("leasehold: processes of the command could not be killed, and may still run");
        }
        let name = self.name.to_owned();
        if let Err(lost) = self.lease.check() {
            return Err(Failure::Lost {
                name,
                cause: lost.cause,
            });
        }
        match stopped {
            Some(Stopped::RunningOut) => Err(Failure::RunningOut { name }),
            Some(Stopped::Revoked) => Err(Failure::Revoked {
                name,
                reason: (self.lease.revocation()).map_or_else(String::new, |r| r.reason.clone()),
            }),
            None => Ok(code(status)),
        }
    }

    /// A lease that was handed over by another may have to be claimed first, which gives it its whole TTL.
    async fn claimed(&self, signals: &mut Signals) -> Result<(), Failure> {
        while self.lease.remaining() < self.ttl / 2 {
            if let Err(lost) = self.lease.check() {
                return Err(leasehold::Error::from(lost).into());
            }
            tokio::select! {
                biased;
                signal = signals.fatal() => return Err(Failure::Interrupted(signal)),
                () = self.env.sleep(LOOK) => {}
            }
        }
        Ok(())
    }

    /// When the group has to get KILL, as far as is known.
    fn kill_at(&self) -> leasehold::Moment {
        self.env.now() + self.lease.remaining().saturating_sub(self.reserve())
    }

    fn reserve(&self) -> Duration {
        self.ttl / RESERVE
    }

    async fn until_it_ends(
        &self,
        group: &mut Group,
        guard: &mut Guard,
        signals: &mut Signals,
    ) -> Result<(ExitStatus, Option<Stopped>), Failure> {
        let terminal = Terminal::open();
        let (mut stopped, mut is_killed) = (None, false);
        loop {
            guard.deadline(self.kill_at());
            let is_told = stopped.is_some();
            tokio::select! {
                biased;
                status = group.ended() => return Ok((status?, stopped)),
                () = self.too_late(), if !is_killed => {
                    group.signal(Signal::KILL);
                    is_killed = true;
                    stopped.get_or_insert(Stopped::RunningOut);
                }
                () = self.early_warning(), if !is_told => {
                    let text = "the store does not answer, and the lease runs out";
                    eprintln!("leasehold: stopping the command: {text}");
                    group.stop();
                    stopped = Some(Stopped::RunningOut);
                }
                revoked = self.lease.revoked(), if !is_told => {
                    eprintln!("leasehold: stopping the command: its lease was revoked: {}", revoked.reason);
                    group.stop();
                    stopped = Some(Stopped::Revoked);
                }
                signal = signals.next() => Self::pass_on(signal, group, guard, terminal.as_ref()),
                () = self.env.sleep(self.ttl / BEATS) => {}
            }
        }
    }

    /// Resolves when the group has to be dead soon, or at once if the lease is lost: another may hold it already.
    async fn too_late(&self) {
        tokio::select! {
            biased;
            _ = self.lease.lost() => {}
            () = self.lease.running_out(self.reserve()) => {}
        }
    }

    async fn early_warning(&self) {
        self.lease.running_out(self.ttl / WARN).await;
    }

    /// Gives a signal to the command, or deals with it here.
    fn pass_on(signal: Signal, group: &Group, guard: &mut Guard, terminal: Option<&Terminal>) {
        match signal {
            Signal::CHILD => {
                let Some(by) = group.stopped_by() else { return };
                match terminal {
                    // It wants to read or set the terminal, and we are the ones to give it.
                    Some(terminal) if by != Signal::TSTP && terminal.give(group.id()) => {
                        guard.take_back(terminal);
                        group.signal(Signal::CONT);
                    }
                    Some(_) if by == Signal::TSTP => {
                        eprintln!("leasehold: not suspended: the lease would go on");
                        group.signal(Signal::CONT);
                    }
                    _ => {}
                }
            }
            Signal::TSTP => eprintln!("leasehold: not suspended: the lease would go on"),
            signal => group.signal(signal),
        }
    }

    /// What the command left running in its group ends before the lease does. Whether nothing is left.
    async fn end_leftovers(&self, group: &Group, guard: &mut Guard) -> bool {
        if group.is_empty() {
            return true;
        }
        group.stop();
        let patience = LEFTOVERS.min(self.ttl / RESERVE * 2);
        let kill_at = self.kill_at().min(self.env.now() + patience);
        // After KILL only the system is between a process and its end; what waits for a broken device can stay.
        let give_up_at = kill_at + LEFTOVERS;
        let mut is_killed = false;
        while !group.is_empty() {
            let now = self.env.now();
            if now >= give_up_at {
                return false;
            }
            if !is_killed && (now >= kill_at || !self.lease.is_held()) {
                group.signal(Signal::KILL);
                is_killed = true;
            }
            guard.deadline(self.kill_at());
            self.env.sleep(LOOK).await;
        }
        true
    }
}

fn first_argument_is(word: &str) -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == word)
}

fn code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => of_signal(signal),
        (None, None) => u8::MAX,
    };
    ExitCode::from(code)
}
