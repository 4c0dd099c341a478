//! The Lua scripts: put together once, with the protocol's own constants, and run by their hash.

use leasehold_core::protocol;
use redis::Cmd;

/// Beyond the time that a key can matter, so that an expiry of Redis is never what ends a lease.
pub(crate) const SLACK_MS: u64 = 60_000;
/// What a namespace says of itself is kept this long after the last heartbeat: 30 days.
const KEEP_NAMESPACE_MS: u64 = 30 * 24 * 3600 * 1000;
/// The layout of a namespace's own key.
pub(crate) const META_FORMAT: u64 = 1;
/// How a script says that a format is newer than it knows.
pub(crate) const TOO_NEW: &str = "LEASEHOLDTOONEW";

pub(crate) const OP_ACQUIRE: &str = "a";
pub(crate) const OP_RENEW: &str = "r";
pub(crate) const OP_RELEASE: &str = "x";
pub(crate) const OP_INSPECT: &str = "i";
pub(crate) const OP_REWEIGH: &str = "w";
pub(crate) const OP_REVOKE: &str = "k";

/// The first byte of a packed record: one holder, and nothing else to know.
pub(crate) const PACKED: u8 = b'u';
/// The same of one that was renewed since.
pub(crate) const PACKED_RENEWED: u8 = b'v';
/// Where, counted from 1, the client's own part of a packed record begins, in it the request id, and what is text.
const PACKED_OWN: u64 = 26;
const PACKED_RID: u64 = 42;
const PACKED_TEXT: u64 = 82;
/// The first byte of a record that is spread over several keys: what stands there is its head.
pub(crate) const CROWD: u8 = b'c';
/// How much longer than needed the parts of a crowd are kept, so that they are told so about once a minute.
const KEEP_AHEAD_US: u64 = 60_000_000;
/// The first word of a push: the version of its layout.
pub(crate) const PUSH_FORMAT: &str = "2";
pub(crate) const NOTICE_GRANTED: &str = "g";
pub(crate) const NOTICE_CONTENDED: &str = "c";
pub(crate) const NOTICE_REVOKED: &str = "k";

/// How many words the full script has for one acquire: the channels' prefix, and its own.
pub(crate) const LEASE_WORDS: u64 = 9;

pub(crate) const EXPECT_ANY: &str = "any";
pub(crate) const EXPECT_ABSENT: &str = "absent";

macro_rules! codes {
    ($($name:ident = $value:literal),+ $(,)?) => {
        $(pub(crate) const $name: u64 = $value;)+
        const CODES: &[(&str, u64)] = &[$((stringify!($name), $name)),+];
    };
}
codes! {
    REPLY_GRANTED = 0,
    REPLY_QUEUED = 1,
    REPLY_BUSY = 2,
    REPLY_RENEWED = 3,
    REPLY_RELEASED = 4,
    REPLY_NOT_HELD = 5,
    REPLY_CLOSED = 6,
    REPLY_STALE = 7,
    REPLY_INSPECTED = 8,
    REPLY_TOO_HEAVY = 9,
    REPLY_WEIGHED = 10,
    REPLY_REVOKED = 11,
    REPLY_WRITTEN = 0,
    REPLY_CONFLICT = 1,
    REPLY_FENCED = 2,
    WAS_HELD = 0,
    WAS_QUEUED = 1,
    WAS_ABSENT = 2,
}

/// The places of fields in the stored arrays, counted from 1: the order of the fields in Rust, which is the layout.
const FIELDS: &[&[&str]] = &[
    &["LAST", "EPOCH", "ENTRIES", "CLOSED"],
    &[
        "RID",
        "PHASE",
        "WEIGHT",
        "TTL_US",
        "WANT",
        "SEEN",
        "NOT_AFTER_US",
        "SINCE_US",
        "HEARD_US",
        "FIRST",
        "END",
        "GRANTED_US",
        "EXPIRES_US",
        "RENEWAL",
        "LABEL",
        "CAPACITY",
        "REVISION",
        "WEIGHED",
        "REVOKED_US",
        "GRACE_US",
        "REASON",
    ],
    &["RID", "UNTIL_US"],
    &[
        "REGISTER_VERSION",
        "REGISTER_FENCE",
        "REGISTER_EXPIRES_US",
        "REGISTER_VALUE",
    ],
    // The head of a crowd: Lua's own.
    &[
        "LAST",
        "EPOCH",
        "NEXT",
        "UNITS",
        "WHOLE",
        "HOLDERS",
        "FRESH",
        "PALE",
        "MUTE",
        "ENDED",
        "SIZE",
        "SIZE_REVISION",
        "SPEAKERS",
        "DUE_US",
        "JUDGED_US",
        "KEPT_US",
        "SETTLED",
    ],
];

fn constant(name: &str) -> Option<String> {
    let number = match name {
        "WAITING" => u8::from(protocol::Phase::Waiting).into(),
        "DORMANT" => u8::from(protocol::Phase::Dormant).into(),
        "GRANTED" => u8::from(protocol::Phase::Granted).into(),
        "HELD" => u8::from(protocol::Phase::Held).into(),
        "LIVENESS_US" => protocol::LIVENESS_US,
        "FRESH_US" => protocol::FRESH_US,
        "HEARTBEAT_US" => protocol::HEARTBEAT_US,
        "CLAIM_WINDOW_US" => protocol::CLAIM_WINDOW_US,
        "BLOCK_AHEAD_US" => protocol::BLOCK_AHEAD_US,
        "RANK_STEP_US" => protocol::RANK_STEP_US,
        "SLACK_MS" => SLACK_MS,
        "KEEP_NAMESPACE_MS" => KEEP_NAMESPACE_MS,
        "META_FORMAT" => META_FORMAT,
        // A uuid without hyphens.
        "NODE_CHARS" => 32,
        "MOST_UNITS" => u32::MAX.into(),
        "FORMAT" => return Some(char::from(protocol::FORMAT).into()),
        "FORMAT_BEFORE" => return Some(char::from(protocol::FORMAT_BEFORE).into()),
        "NEVER" => LARGEST,
        "LONGEST_WAIT_US" => protocol::LONGEST_WAIT_US,
        "CLOSED_SLACK_US" => protocol::CLOSED_SLACK_US,
        "LEASE_WORDS" => LEASE_WORDS,
        "KEEP_AHEAD_US" => KEEP_AHEAD_US,
        "CROWD" => return Some(char::from(CROWD).into()),
        "CROWD_LUA" => return Some(expand(include_str!("lua/crowd.lua"))),
        "PACKED" => return Some(char::from(PACKED).into()),
        "PACKED_RENEWED" => return Some(char::from(PACKED_RENEWED).into()),
        "PACKED_BYTE" => PACKED.into(),
        "RENEWED_BYTE" => PACKED_RENEWED.into(),
        "PACKED_OWN" => PACKED_OWN,
        "PACKED_RID" => PACKED_RID,
        "PACKED_TEXT" => PACKED_TEXT,
        "PUSH_FORMAT" => return Some(PUSH_FORMAT.into()),
        "NOTICE_GRANTED" => return Some(NOTICE_GRANTED.into()),
        "NOTICE_CONTENDED" => return Some(NOTICE_CONTENDED.into()),
        "NOTICE_REVOKED" => return Some(NOTICE_REVOKED.into()),
        "OP_REWEIGH" => return Some(OP_REWEIGH.into()),
        "OP_REVOKE" => return Some(OP_REVOKE.into()),
        "OP_INSPECT" => return Some(OP_INSPECT.into()),
        "REGISTER_FORMAT" => return Some(char::from(protocol::REGISTER_FORMAT).into()),
        "TOO_NEW" => return Some(TOO_NEW.into()),
        "OP_ACQUIRE" => return Some(OP_ACQUIRE.into()),
        "OP_RENEW" => return Some(OP_RENEW.into()),
        "OP_RELEASE" => return Some(OP_RELEASE.into()),
        "EXPECT_ANY" => return Some(EXPECT_ANY.into()),
        "EXPECT_ABSENT" => return Some(EXPECT_ABSENT.into()),
        _ => {
            let code = CODES.iter().find(|(code, _)| *code == name);
            let field = || {
                let places = FIELDS
                    .iter()
                    .find_map(|f| f.iter().position(|f| *f == name));
                places.map(|place| place as u64 + 1)
            };
            code.map(|(_, value)| *value).or_else(field)?
        }
    };
    Some(number.to_string())
}

/// Replaces each `$NAME`.
fn expand(lua: &str) -> String {
    let mut pieces = lua.split('$');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece
            .find(|c: char| !(c.is_ascii_uppercase() || c == '_'))
            .unwrap_or(piece.len());
        let (name, rest) = piece.split_at(end);
        // The scripts are part of this crate; a test puts every one together.
        text += &constant(name).unwrap_or_else(|| panic!("the scripts have no ${name}"));
        text += rest;
    }
    text
}

/// About as many bytes as the keys and words of one call have: a command that need not grow is not copied.
const WORDS_OF_A_CALL: usize = 256;

/// One script.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    hash: String,
}

/// Whether a script may run when the server is over its memory limit.
#[derive(Debug, Clone, Copy)]
enum OutOfMemory {
    Refuses,
    Runs,
}

impl Script {
    fn new(clock: &str, lua: &str, out_of_memory: OutOfMemory) -> Self {
        let flags = match out_of_memory {
            OutOfMemory::Refuses => "",
            OutOfMemory::Runs => " flags=allow-oom",
        };
        let text = expand(&format!("#!lua{flags}\n{clock}{lua}"));
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// Runs the script if the server has it, with room for the words of so many calls.
    pub(crate) fn by_hash(&self, calls: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(8 + 3 * calls, 64 + WORDS_OF_A_CALL * calls);
        cmd.arg("EVALSHA").arg(&self.hash);
        cmd
    }

    /// Runs the script, and leaves it there.
    pub(crate) fn by_text(&self) -> Cmd {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(&self.text);
        cmd
    }
}

/// When a record moves to keys of its own, and when it comes back: by how many entries and ended requests it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded {
    pub(crate) above: u32,
    /// Lower than the other, lest it move with every call.
    pub(crate) until: u32,
}

impl Crowded {
    /// A call on a record costs the server some 23 µs with 2 entries, 29 with 4, 35 with 6, 67 with 16; on a crowd 27,
    /// whatever its size. Moving costs as much as two calls more, and moving back one.
    pub(crate) const MEASURED: Self = Self { above: 6, until: 3 };
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Scripts {
    /// Lease calls, some of which may need new memory.
    pub(crate) leases: Script,
    /// The same, for calls that only keep or end what is there: they work on a full server too.
    pub(crate) leases_when_full: Script,
    /// One acquire, that mostly meets nothing, or what only it knows of.
    pub(crate) alone: Script,
    /// The same for one release or some renewals, on a full server too.
    pub(crate) alone_when_full: Script,
    /// Acquires and releases of several callers.
    pub(crate) together: Script,
    pub(crate) quota: Script,
    /// The same, for takes that take a lease too.
    pub(crate) quota_and_lease: Script,
    pub(crate) floor: Script,
    pub(crate) register: Script,
    pub(crate) beat: Script,
}

impl Scripts {
    /// On the server's clock.
    pub(crate) fn new(crowded: Crowded) -> Self {
        Self::with_clock(include_str!("lua/server_clock.lua"), crowded)
    }

    /// On a clock that a test sets with each call: the first three arguments.
    #[cfg(test)]
    pub(crate) fn on_a_test_clock(crowded: Crowded) -> Self {
        Self::with_clock(include_str!("tests/argument_clock.lua"), crowded)
    }

    fn with_clock(clock: &str, crowded: Crowded) -> Self {
        let Crowded { above, until } = crowded;
        let leases = include_str!("lua/leases.lua");
        let leases = format!("local crowded_above, crowded_until = {above}, {until}\n{leases}");
        let fast = include_str!("lua/fast.lua");
        let alone = [fast, include_str!("lua/fast_alone.lua"), &leases].concat();
        let together = [fast, include_str!("lua/fast_together.lua")].concat();
        let quota = include_str!("lua/quota.lua");
        let lease =
            format!("local function lease(KEYS, ARGV)\nlocal at = 0\n{leases}\nend\n{quota}");
        let quota = format!("local lease\n{quota}");
        let floor = include_str!("lua/floor.lua");
        let register = include_str!("lua/register.lua");
        let beat = include_str!("lua/beat.lua");
        Self {
            leases: Script::new(clock, &leases, OutOfMemory::Refuses),
            leases_when_full: Script::new(clock, &leases, OutOfMemory::Runs),
            alone: Script::new(clock, &alone, OutOfMemory::Refuses),
            alone_when_full: Script::new(clock, &alone, OutOfMemory::Runs),
            together: Script::new(clock, &together, OutOfMemory::Refuses),
            quota: Script::new(clock, &quota, OutOfMemory::Refuses),
            quota_and_lease: Script::new(clock, &lease, OutOfMemory::Refuses),
            floor: Script::new(clock, floor, OutOfMemory::Refuses),
            register: Script::new(clock, register, OutOfMemory::Refuses),
            beat: Script::new(clock, beat, OutOfMemory::Runs),
        }
    }
}

/// What Lua's numbers hold exactly; larger ones of the protocol all mean "never" or "any".
pub(crate) const LARGEST: u64 = (1 << 53) - 1;

/// A number as a script reads it.
pub(crate) fn number(value: u64) -> u64 {
    value.min(LARGEST)
}

/// Writes a number's decimal digits. (`write!` takes several times as long, and each call needs a few numbers.)
pub(crate) fn put_digits(bytes: &mut Vec<u8>, mut value: u64) {
    let start = bytes.len();
    loop {
        // A digit fits in a byte.
        bytes.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    bytes[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_rust_writes() {
        for value in [0, 7, 10, 99, 100, 255, 1_800_766_212_079, u64::MAX] {
            let mut bytes = b"x".to_vec();
            put_digits(&mut bytes, value);
            assert_eq!(bytes, format!("x{value}").as_bytes());
        }
    }

    #[test]
    fn every_constant_of_the_scripts_is_known() {
        let scripts = Scripts::new(Crowded::MEASURED);
        for script in [
            &scripts.leases,
            &scripts.alone,
            &scripts.together,
            &scripts.quota,
            &scripts.quota_and_lease,
            &scripts.floor,
            &scripts.register,
            &scripts.beat,
        ] {
            assert!(!script.text.contains('$'), "{}", script.text);
        }
    }

    #[test]
    fn a_production_script_takes_no_time_from_its_caller() {
        let scripts = Scripts::new(Crowded::MEASURED);
        for script in [
            scripts.leases,
            scripts.alone,
            scripts.together,
            scripts.quota,
            scripts.quota_and_lease,
            scripts.register,
        ] {
            assert!(script.text.contains("redis.call('TIME')"));
        }
    }

    #[test]
    fn fields_stand_in_the_order_of_the_stored_layout() {
        assert_eq!(expand("e[$EXPIRES_US], c[$UNTIL_US]"), "e[13], c[2]");
        assert_eq!(expand("'$FORMAT' $LIVENESS_US $GRANTED"), "'2' 12500000 2");
    }
}
