//! What happened in a run: each call's start and end, each hold, each step of the store that gave something out, and
//! each fault, in the order in which they happened.

use std::fmt;
use std::time::Duration;

/// Numbers calls, holds and nodes.
pub type Id = u32;

/// All that happened in one run.
pub type History = Vec<Event>;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, since the run began.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A client's call began.
    Called {
        /// The call.
        call: Id,
        /// Where.
        node: Id,
        /// The resource, if it is about one.
        resource: String,
        /// The hold that it ends, if it is a release.
        hold: Option<Id>,
        /// What was called, for people.
        what: String,
        /// How long it may take, while its node runs.
        within: Duration,
        /// Whether nothing is in its way, so that it must succeed.
        must: bool,
    },
    /// It ended.
    Ended {
        /// The call.
        call: Id,
        /// How.
        how: How,
    },
    /// A guard came to its caller.
    Held {
        /// The hold.
        hold: Id,
        /// Where.
        node: Id,
        /// What of.
        resource: String,
        /// Its fence; of a shared one, the number of its grant.
        fence: u64,
        /// How much of the capacity it takes.
        weight: u32,
        /// The capacity.
        capacity: u32,
        /// How long it outlives its holder's last sign of life.
        ttl: Duration,
        /// How long it may be held in all.
        max_hold: Option<Duration>,
        /// It came together with others: its turn may have begun before.
        together: bool,
    },
    /// Its node looked at the guard.
    Looked {
        /// The hold.
        hold: Id,
        /// What the guard said.
        held: bool,
    },
    /// Its holder ended it.
    GaveUp {
        /// The hold.
        hold: Id,
    },
    /// The store made a request the holder of a block of fences.
    Minted {
        /// What of.
        resource: String,
        /// The request's number.
        seq: u64,
        /// The client whose request it was.
        client: String,
        /// The first fence of its block.
        first: u64,
        /// The last one.
        end: u64,
        /// How much of the resource it takes; 0 for all.
        weight: u32,
        /// The highest fence or store time that its client said it had seen.
        seen: u64,
        /// The store's wall time.
        wall: u64,
        /// The greater of the store's wall time and of what its client had seen, plus one: what alone keeps the order
        /// where the store knew nothing.
        base: u64,
        /// The highest fence of the resource that the store knew of before; 0 if none.
        last: u64,
    },
    /// The store heard from a request that waits.
    Waits {
        /// What for.
        resource: String,
        /// The client whose request it is.
        client: String,
        /// The request's number.
        seq: u64,
    },
    /// A request waits no more: it holds, was silent at its turn, or is gone.
    WaitsNot {
        /// What for.
        resource: String,
        /// The client whose request it was.
        client: String,
        /// The request's number.
        seq: u64,
    },
    /// A node's client connected.
    Joined {
        /// Which.
        node: Id,
        /// Under which id.
        client: String,
    },
    /// The store was told that a holder is to go.
    Revoked {
        /// What of.
        resource: String,
        /// The first fence of its block.
        first: u64,
        /// How long it may go on once it has heard.
        grace: Duration,
    },
    /// The store wrote a register.
    Wrote {
        /// Which.
        register: String,
        /// Under which fence.
        fence: u64,
    },
    /// A step of the store broke a rule.
    Broke {
        /// The rule.
        rule: &'static str,
        /// How.
        text: String,
    },
    /// A step of the store, if those are asked for.
    Stepped {
        /// The resource.
        resource: String,
        /// What was asked, and answered.
        text: String,
    },
    /// Something went wrong, or stopped doing so.
    Fault(Fault),
    /// Something was found after all had ended.
    Left {
        /// What.
        what: String,
    },
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The node stands still.
    Paused(Id),
    /// It runs again.
    Resumed(Id),
    /// It is gone, with all that ran on it.
    Killed(Id),
    /// It was told to stop.
    ShutDown(Id),
    /// The store lost all its data.
    DataLost,
    /// The clock that leases expire on stepped by so many µs.
    LeaseClock(i64),
    /// The wall clock did.
    WallClock(i64),
    /// Anything else; no promise depends on it.
    Other(String),
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Well.
    Done,
    /// Someone else has it.
    Busy,
    /// It is not known what became of it.
    Unavailable,
    /// The lease was lost.
    Lost,
    /// The store refused it.
    Refused,
    /// Its coordinator was shut down.
    ShutDown,
    /// Its caller went away.
    Cancelled,
    /// In a way that the caller cannot have meant.
    Unexpected(String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Done => "done",
            How::Busy => "busy",
            How::Unavailable => "unavailable: unknown whether it was done",
            How::Lost => "lost",
            How::Refused => "refused",
            How::ShutDown => "shut down",
            How::Cancelled => "cancelled",
            How::Unexpected(text) => text,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Paused(node) => write!(f, "node {node} stands still"),
            Fault::Resumed(node) => write!(f, "node {node} runs again"),
            Fault::Killed(node) => write!(f, "node {node} is killed"),
            Fault::ShutDown(node) => write!(f, "node {node} shuts down"),
            Fault::DataLost => f.write_str("the store loses its data"),
            Fault::LeaseClock(us) => write!(f, "the store's lease clock steps by {us} us"),
            Fault::WallClock(us) => write!(f, "the store's wall clock steps by {us} us"),
            Fault::Other(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:11.6} s  ", self.at.as_secs_f64())?;
        match &self.what {
            What::Called {
                call,
                node,
                resource,
                what,
                ..
            } => write!(f, "node {node}   {what} {resource}  [call {call}]"),
            What::Ended { call, how } => write!(f, "         [call {call}] {how}"),
            What::Held {
                hold,
                node,
                resource,
                fence,
                ..
            } => write!(
                f,
                "node {node}   holds {resource}, fence {fence}  [hold {hold}]"
            ),
            What::Looked { hold, held } => {
                let says = if *held { "held" } else { "lost" };
                write!(f, "         [hold {hold}] its guard says {says}")
            }
            What::GaveUp { hold } => write!(f, "         [hold {hold}] is given up"),
            What::Minted {
                resource,
                client,
                seq,
                first,
                end,
                base,
                last,
                ..
            } => {
                write!(
                    f,
                    "store    grants {resource} to {}.{seq}, fences {first}..={end} (base {base}, knew {last})",
                    short(client)
                )
            }
            What::Waits {
                resource,
                client,
                seq,
            } => write!(
                f,
                "store    hears that {}.{seq} waits for {resource}",
                short(client)
            ),
            What::WaitsNot {
                resource,
                client,
                seq,
            } => write!(
                f,
                "store    has {}.{seq} wait for {resource} no more",
                short(client)
            ),
            What::Joined { node, client } => write!(f, "node {node}   is client {}", short(client)),
            What::Revoked {
                resource,
                first,
                grace,
            } => write!(
                f,
                "store    revokes {resource}, fences from {first}, within {grace:?}"
            ),
            What::Wrote { register, fence } => {
                write!(f, "store    writes {register}, fence {fence}")
            }
            What::Stepped { resource, text } => write!(f, "store      {resource}: {text}"),
            What::Broke { rule, text } => write!(f, "store    breaks a rule: {rule}: {text}"),
            What::Fault(fault) => write!(f, "-------- {fault}"),
            What::Left { what } => write!(f, "left     {what}"),
        }
    }
}

/// A client's id as people can tell it from others.
fn short(client: &str) -> &str {
    client.get(..6).unwrap_or(client)
}
