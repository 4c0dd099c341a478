//! The errors of limiters. "Limited" and "unavailable" are different failures and never share a variant.

use std::time::Duration;

use leasehold_core::protocol::QuotaError;

use crate::Limited;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It may not be done now. The store works.
    #[error(
        "limiter `{class}`: limited, it would pass in {:.1?}; retry then, or allow a longer wait",
        limited.retry_after
    )]
    Limited {
        /// The limiter.
        class: String,
        /// When it would pass.
        limited: Limited,
    },
    /// Nobody can say whether it may be done.
    #[error("limiter `{class}` cannot decide: {why}")]
    Unavailable {
        /// The limiter.
        class: String,
        /// Why not.
        #[source]
        why: Unavailable,
    },
    /// It costs more than ever passes at once.
    #[error(
        "limiter `{class}`: a cost of {cost} can never pass, its burst is {burst}: ask for less at a time, or raise the burst"
    )]
    TooCostly {
        /// The limiter.
        class: String,
        /// What was asked for.
        cost: u64,
        /// How many units pass at once at most.
        burst: u64,
    },
    /// Nothing was asked for.
    #[error("limiter `{class}`: a cost of 0 limits nothing: ask for at least 1, or do not ask")]
    NoCost {
        /// The limiter.
        class: String,
    },
    /// There is no such quota.
    #[error("limiter `{class}`: {error}")]
    Quota {
        /// The limiter.
        class: String,
        /// What is wrong with it.
        error: QuotaError,
    },
    /// Nobody waits that long.
    #[error("limiter `{class}`: nobody can wait in turn for {wait:?}: choose at most {longest:?}")]
    LongestWait {
        /// The limiter.
        class: String,
        /// What was asked for.
        wait: Duration,
        /// What can be had.
        longest: Duration,
    },
    /// Keys that cannot be charged in one step.
    #[error(
        "`{name}` and `{first}` do not live together: take the keys of all limiters of one coordinator, and of one group \
         (`limiter.group(tag)`)"
    )]
    Apart {
        /// One of them.
        name: String,
        /// The first one.
        first: String,
    },
    /// A key that would be charged twice in one step.
    #[error("`{name}` was added twice: add its costs up")]
    Twice {
        /// The key.
        name: String,
    },
    /// Another quota was announced meanwhile, or before.
    #[error(
        "limiter `{class}`: a quota of revision {revision} is in force already: look at it, and announce one of a higher revision"
    )]
    Superseded {
        /// The limiter.
        class: String,
        /// The revision in force.
        revision: u64,
    },
    /// Nothing would be left of the burst.
    #[error(
        "limiter `{class}`: shares that last {lasting:?} keep {kept_back} units of the burst back, and it has {burst}: raise the \
         burst above that, shorten `lasting`, or declare an `overshoot`"
    )]
    Shares {
        /// The limiter.
        class: String,
        /// How long shares last.
        lasting: Duration,
        /// What passes meanwhile at the rate.
        kept_back: u64,
        /// The burst.
        burst: u64,
    },
    /// A request to the store needs time.
    #[error("limiter `{class}`: a decision cannot be made in no time: give `budget` at least 1 ms")]
    NoBudget {
        /// The limiter.
        class: String,
    },
    /// A name that no store would take, or another failure of the client or the store that is no outage.
    #[error(transparent)]
    Core(leasehold_core::Error),
}

/// Why a limiter cannot decide.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The store did not answer within the limiter's budget, or refused. The request may have been charged.
    #[error("{0}")]
    Store(leasehold_core::Error),
    /// The store failed so often that it is not asked at present.
    #[error(
        "the store failed {failures} times in a row and is not asked at present; it is looked at again each {pause:?}"
    )]
    BreakerOpen {
        /// How often.
        failures: u32,
        /// How often it is looked at.
        pause: Duration,
    },
    /// The store is away, and this node's share of the quota is too small for what was asked.
    #[error(
        "the store is away, and of this node's share of the quota at most {burst} pass at once, of which {cost} were asked for"
    )]
    ShareTooSmall {
        /// What was asked for.
        cost: u64,
        /// The burst of the share.
        burst: u64,
    },
    /// No units came that could still be used.
    #[error(
        "no share came within {budget:?} that was young enough to be used; shares last {lasting:?}: is the store further away \
         than that?"
    )]
    TooLate {
        /// How long a decision may take.
        budget: Duration,
        /// How long shares last.
        lasting: Duration,
    },
    /// The store is away, and more keys are in use than are counted here.
    #[error("the store is away, and {keys} other keys are counted here already")]
    TooManyKeys {
        /// How many are counted.
        keys: usize,
    },
}

impl Error {
    /// Whether it may not be done now.
    pub fn is_limited(&self) -> bool {
        matches!(self, Error::Limited { .. })
    }

    /// Whether nobody can say.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Unavailable { .. })
    }

    /// A failure of the client or the store, by what it is.
    pub(crate) fn of(class: &str, error: leasehold_core::Error) -> Self {
        if is_outage(&error) {
            let why = Unavailable::Store(error);
            let class = class.to_owned();
            return Error::Unavailable { class, why };
        }
        Error::Core(error)
    }
}

/// Whether the store can't decide: it was not reached, was too slow, or refused (as when it is out of memory).
pub(crate) fn is_outage(error: &leasehold_core::Error) -> bool {
    use leasehold_core::Error as E;
    matches!(error, E::Unavailable { .. } | E::Store(_))
}

impl From<leasehold_core::NameError> for Error {
    fn from(error: leasehold_core::NameError) -> Self {
        Error::Core(error.into())
    }
}
