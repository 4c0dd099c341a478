//! `lock`, `semaphore` and `elect`: get the lease, run the command under it, give it back.

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use leasehold::core::Class;
use leasehold::{Coordinator, Error, Fence, Hold, MutexGuard, ReadGuard, ResourceName};

use crate::args::{ElectArgs, LockArgs, SemaphoreArgs, Under};
use crate::exit::Failure;
use crate::wrap::{Signals, What, Wrapped};
use crate::{name, observe, place};

/// A shorter one leaves no time to stop a command in.
const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// "Until it is granted" stands in the queue this long, and then again.
const ROUND: Duration = Duration::from_hours(24);
/// Two renewals fit into what is left when the first is due.
const REQUESTS_IN_A_TTL: u32 = 6;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a process that is done waits for a store's last answer.
const FAREWELL: Duration = Duration::from_millis(500);

/// `leasehold lock`
pub(crate) async fn lock(args: LockArgs) -> Result<ExitCode, Failure> {
    let LockArgs {
        name,
        shared,
        ttl,
        under,
        command,
    } = args;
    let (class, id) = name::split(&name)?;
    let whole = class.resource(id).map_err(Error::from)?;
    let mut signals = Signals::listen().map_err(|e| Failure::Io("cannot listen for signals", e))?;
    let coord = connect(&under, ttl, &mut signals).await?;
    let locked = ask(&under, async |wait| {
        Locked::acquire(&coord, class.clone(), id, ttl, shared, wait).await
    });
    let guard = match signals.or(Box::pin(locked)).await {
        Ok(guard) => guard,
        Err(failure) => return Err(give_up(&coord, failure).await),
    };
    let what = What {
        fence: guard.fence(),
        permits: None,
    };
    let ended = wrapped(&coord, guard.hold(), what, ttl, &command, &mut signals).await;
    let ended = give_back(ended, &whole, guard.release()).await;
    wind_down(&coord).await;
    ended
}

/// `leasehold semaphore`
pub(crate) async fn semaphore(args: SemaphoreArgs) -> Result<ExitCode, Failure> {
    let SemaphoreArgs {
        name,
        permits,
        take,
        ttl,
        under,
        command,
    } = args;
    let (class, id) = name::split_semaphore(&name)?;
    let whole = class.resource(id).map_err(Error::from)?;
    let mut signals = Signals::listen().map_err(|e| Failure::Io("cannot listen for signals", e))?;
    let coord = connect(&under, ttl, &mut signals).await?;
    let semaphores = coord.semaphores_of(class, permits)?.ttl(ttl);
    // As with a lock: the command's own end is the permit's.
    let semaphores = semaphores.max_hold(Duration::MAX);
    let granted = ask(&under, async |wait| match wait {
        Some(wait) => semaphores.clone().wait(wait).acquire_many(id, take).await,
        None => semaphores.try_acquire_many(id, take).await,
    });
    let permit = match signals.or(Box::pin(granted)).await {
        Ok(permit) => permit,
        Err(failure) => return Err(give_up(&coord, failure).await),
    };
    let what = What {
        fence: None,
        permits: Some(permit.permits()),
    };
    let ended = wrapped(&coord, &permit, what, ttl, &command, &mut signals).await;
    let ended = give_back(ended, &whole, permit.release()).await;
    wind_down(&coord).await;
    ended
}

/// A lock of either kind.
enum Locked {
    Exclusive(MutexGuard),
    Shared(ReadGuard),
}

impl Locked {
    async fn acquire(
        coord: &Coordinator,
        class: Class,
        id: &str,
        ttl: Duration,
        shared: bool,
        wait: Option<Duration>,
    ) -> Result<Self, Error> {
        // The command may take as long as it takes: its own end is the lock's.
        let longest = Duration::MAX;
        if shared {
            let locks = coord.rw_locks_of(class).ttl(ttl).max_hold(longest);
            return Ok(Self::Shared(match wait {
                Some(wait) => locks.read_timeout(id, wait).await?,
                None => locks.try_read(id).await?,
            }));
        }
        let mutexes = coord.mutexes_of(class).ttl(ttl).max_hold(longest);
        Ok(Self::Exclusive(match wait {
            Some(wait) => mutexes.lock_timeout(id, wait).await?,
            None => mutexes.try_lock(id).await?,
        }))
    }

    fn hold(&self) -> &Hold {
        match self {
            Self::Exclusive(guard) => guard,
            Self::Shared(guard) => guard,
        }
    }

    fn fence(&self) -> Option<Fence> {
        match self {
            Self::Exclusive(guard) => Some(guard.fence()),
            Self::Shared(_) => None,
        }
    }

    async fn release(self) -> Result<(), Error> {
        match self {
            Self::Exclusive(guard) => guard.release().await,
            Self::Shared(guard) => guard.release().await,
        }
    }
}

/// `leasehold elect`
pub(crate) async fn elect(args: ElectArgs) -> Result<ExitCode, Failure> {
    if args.observe {
        return observe::run(&args).await;
    }
    let ElectArgs {
        name,
        ttl,
        under,
        command,
        ..
    } = args;
    let whole = name::of_election(&name)?;
    let mut signals = Signals::listen().map_err(|e| Failure::Io("cannot listen for signals", e))?;
    let coord = connect(&under, ttl, &mut signals).await?;
    let election = coord.election(&name)?.ttl(ttl);
    let elected = async {
        match under.wait {
            _ if under.no_wait => Ok(election.try_lead().await?),
            None => Ok(election.campaign().await?),
            Some(wait) => match coord.env().timeout(wait, election.campaign()).await {
                Ok(elected) => Ok(elected?),
                Err(_) => Err(match election.leader().await? {
                    Some(leader) => Failure::Busy(format!(
                        "`{name}` is led by {} for {:.1?}; wait longer, or do without",
                        leader.label, leader.leads_for
                    )),
                    None => Failure::Busy(format!("`{name}` had no leader for us within {wait:?}")),
                }),
            },
        }
    };
    let leadership = match signals.or(Box::pin(elected)).await {
        Ok(leadership) => leadership,
        Err(failure) => return Err(give_up(&coord, failure).await),
    };
    let what = What {
        fence: Some(leadership.term()),
        permits: None,
    };
    let ended = wrapped(&coord, &leadership, what, ttl, &command, &mut signals).await;
    let ended = give_back(ended, &whole, leadership.resign()).await;
    wind_down(&coord).await;
    ended
}

async fn connect(
    under: &Under,
    ttl: Duration,
    signals: &mut Signals,
) -> Result<Coordinator, Failure> {
    if ttl < SHORTEST_TTL {
        let text = format!(
            "a TTL of {ttl:?} leaves no time to stop a command in: choose one of {SHORTEST_TTL:?} or more"
        );
        return Err(Failure::Usage(text));
    }
    let builder = under.place.shared()?;
    let connecting = builder
        .label(place::label(under.label.as_deref()))
        .request_timeout(REQUEST_TIMEOUT.min(ttl / REQUESTS_IN_A_TTL))
        .connect();
    let coord = signals.or(connecting).await?;
    coord.check_ttl(ttl)?;
    Ok(coord)
}

/// Asks as the options say: not waiting (`None`), for so long, or until it is granted.
async fn ask<T>(
    under: &Under,
    asking: impl AsyncFn(Option<Duration>) -> Result<T, Error>,
) -> Result<T, Error> {
    if under.no_wait {
        return asking(None).await;
    }
    loop {
        match asking(Some(under.wait.unwrap_or(ROUND))).await {
            Err(Error::Busy(_)) if under.wait.is_none() => {}
            result => return result,
        }
    }
}

/// Leaves the queue before it ends.
async fn give_up(coord: &Coordinator, failure: Failure) -> Failure {
    wind_down(coord).await;
    failure
}

/// Lets the background finish what it can. A store that does not answer is not waited for: leases end by themselves.
pub(crate) async fn wind_down(coord: &Coordinator) {
    let ended = coord
        .env()
        .timeout(FAREWELL, coord.shutdown(Duration::ZERO));
    if ended.await.is_err() {
        eprintln!(
            "leasehold: the store does not answer: what is not released there ends with its TTL"
        );
    }
}

async fn wrapped(
    coord: &Coordinator,
    lease: &Hold,
    what: What,
    ttl: Duration,
    command: &[OsString],
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let wrapped = Wrapped {
        lease,
        what,
        env: coord.env(),
        ttl,
        name: lease.name().as_str(),
    };
    wrapped.run(command, signals).await
}

/// Releases what the command ran under, unless it was stopped because the store does not answer.
async fn give_back(
    ended: Result<ExitCode, Failure>,
    name: &ResourceName,
    release: impl Future<Output = Result<(), Error>>,
) -> Result<ExitCode, Failure> {
    if let Err(Failure::Lost { .. } | Failure::RunningOut { .. }) = ended {
        return ended;
    }
    match (ended, release.await) {
        (Ok(_), Err(Error::Lost(lost))) => Err(Failure::Lost {
            name: name.to_string(),
            cause: lost.cause,
        }),
        (Ok(code), Err(error)) => {
            eprintln!(
                "leasehold: `{name}` was held until the command had ended, but not released: {error}"
            );
            Ok(code)
        }
        (ended, _) => ended,
    }
}

impl Signals {
    /// `work`, unless a signal comes first.
    pub(crate) async fn or<T, E>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        tokio::select! {
            biased;
            signal = self.fatal() => Err(Failure::Interrupted(signal)),
            done = work => Ok(done?),
        }
    }
}
