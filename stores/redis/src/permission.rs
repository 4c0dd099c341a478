//! What the user may do on the server: asked when a store opens, and read out of refusals. `docs/redis.md` has the rule.

use redis::{Cmd, Value};

use crate::keys::Keys;

/// Answers those of ARGV that the user may not run; each is a command and its arguments, with tabs between.
/// `acl_check_cmd` is there since Redis 7.0; a server that lacks it is taken at its word.
const PROBE: &str = r"
local may = redis.acl_check_cmd or function() return true end
local refused = {}
for _, line in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(line, '[^\t]+') do words[#words + 1] = word end
  local known, allowed = pcall(may, unpack(words))
  if not (known and allowed) then refused[#refused + 1] = line end
end
return refused";

/// What the scripts run on each kind of key.
fn on_keys(keys: &Keys) -> [(String, &'static [&'static str]); 10] {
    [
        (keys.sample("l:x"), &["GET", "MGET", "SET", "DEL"]),
        (
            keys.sample("ce:x"),
            &["HGET", "HSET", "HDEL", "HLEN", "HGETALL", "DEL", "PEXPIRE"],
        ),
        (
            keys.sample("cf:x"),
            &[
                "ZADD", "ZREM", "ZRANGE", "ZRANK", "ZCOUNT", "ZCARD", "DEL", "PEXPIRE",
            ],
        ),
        (keys.sample("f"), &["GET", "MGET", "SET"]),
        (keys.sample("r:x"), &["GET", "SET"]),
        (keys.sample("q:x"), &["GET", "SET"]),
        (keys.sample("s:x"), &["GET", "SET"]),
        (keys.meta(), &["HGET", "HSETNX", "PEXPIRE"]),
        (keys.nodes(), &["HSET", "HDEL", "HGETALL", "PEXPIRE"]),
        (keys.expiry(), &["ZADD", "ZREM", "ZRANGE", "PEXPIRE"]),
    ]
}

/// The command that asks what the user may not do.
pub(crate) fn probe(keys: &Keys) -> Cmd {
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(PROBE).arg(0);
    for (key, commands) in on_keys(keys) {
        for command in commands {
            cmd.arg(format!("{command}\t{key}"));
        }
    }
    let channel = keys.sample("e:x");
    for (command, argument) in [
        ("TIME", ""),
        ("SCAN", "0"),
        ("EVALSHA", "x\t0"),
        ("SSUBSCRIBE", &channel),
        ("SPUBLISH", &channel),
    ] {
        cmd.arg(format!("{command}\t{argument}"));
    }
    cmd
}

/// What the user lacks.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// Without it nothing works.
    pub(crate) needed: Option<String>,
    /// Without it only waiting does not.
    pub(crate) channels: Option<String>,
}

/// Reads the probe's answer; one that is none of its own says nothing.
pub(crate) fn lacks(answer: &Value, keys: &Keys) -> Lacks {
    let refused: Vec<_> = match answer {
        Value::Array(lines) => lines.iter().filter_map(line).collect(),
        _ => Vec::new(),
    };
    let all_on_keys: usize = on_keys(keys).iter().map(|(_, on)| on.len()).sum();
    let (mut commands, mut on_keys, mut on_channels) = (Vec::new(), Vec::new(), Vec::new());
    for (command, argument) in refused {
        let kind = match argument.as_str() {
            _ if command == "SSUBSCRIBE" || command == "SPUBLISH" => &mut on_channels,
            key if key.starts_with('{') => &mut on_keys,
            _ => &mut commands,
        };
        kind.push(command);
    }
    let mut parts = Vec::new();
    if on_keys.len() == all_on_keys {
        parts.push(no_keys(keys));
    } else {
        commands.append(&mut on_keys);
    }
    let mut channels = None;
    match on_channels.len() {
        0 => {}
        // The channel is allowed to the other command.
        1 => commands.append(&mut on_channels),
        _ => channels = Some(no_channels(keys)),
    }
    commands.sort();
    commands.dedup();
    if !commands.is_empty() {
        parts.push(no_command(&commands.join(", "), keys));
    }
    Lacks {
        needed: (!parts.is_empty()).then(|| parts.join("; ")),
        channels,
    }
}

fn line(value: &Value) -> Option<(String, String)> {
    let Value::BulkString(bytes) = value else {
        return None;
    };
    let (command, argument) = std::str::from_utf8(bytes).ok()?.split_once('\t')?;
    Some((command.to_owned(), argument.to_owned()))
}

fn no_command(commands: &str, keys: &Keys) -> String {
    let rule = commands.to_ascii_lowercase().replace(", ", " +");
    let pattern = keys.pattern();
    format!("the user may not run {commands} on {pattern}: allow it +{rule}")
}

fn no_keys(keys: &Keys) -> String {
    format!(
        "the user may not use the namespace's keys: allow it ~{}",
        keys.pattern()
    )
}

fn no_channels(keys: &Keys) -> String {
    format!(
        "the user may not use the namespace's channels, so locks that are waited for are refused: allow it &{}",
        keys.channel_pattern()
    )
}

/// What a refusal is about, if it is one of permissions. Its words differ from version to version, and name the user:
/// only the command is taken from it.
pub(crate) fn refusal(code: &str, detail: &str, keys: &Keys) -> Option<String> {
    // Redis 7.0 says it like this about a command inside a script.
    let in_script = detail.starts_with("The user executing the script can't");
    if code != "NOPERM" && !in_script {
        return None;
    }
    let command = detail.split('\'').nth(1).filter(|command| {
        let is_word = |b: u8| b.is_ascii_lowercase() || b"|-_".contains(&b);
        (1..=24).contains(&command.len()) && command.bytes().all(is_word)
    });
    Some(if detail.contains("channel") {
        no_channels(keys)
    } else if detail.contains(" key") {
        no_keys(keys)
    } else if let Some(command) = command.filter(|_| !in_script) {
        no_command(&command.to_ascii_uppercase(), keys)
    } else {
        format!(
            "the user may not run a command of leasehold's scripts on {}: docs/redis.md has the rule that suffices",
            keys.pattern()
        )
    })
}

#[cfg(test)]
mod tests {
    use leasehold_core::Namespace;

    use super::*;

    fn keys() -> Keys {
        Keys::new(&Namespace::new("ns").unwrap())
    }

    #[test]
    fn every_version_s_words_are_understood() {
        for (code, detail, said) in [
            (
                "NOPERM",
                "this user has no permissions to run the 'get' command",
                "GET",
            ),
            (
                "NOPERM",
                "User s3cret has no permissions to run the 'client|id' command",
                "CLIENT|ID",
            ),
            (
                "NOPERM",
                "ACL failure in script: User s3cret has no permissions to run the 'set' command",
                "SET",
            ),
            (
                "NOPERM",
                "this user has no permissions to access one of the keys used as arguments",
                "~{ns#*}:*",
            ),
            ("NOPERM", "No permissions to access a key", "~{ns#*}:*"),
            (
                "NOPERM",
                "this user has no permissions to access one of the channels used as arguments",
                "&{ns#*}:e:*",
            ),
            (
                "NOPERM",
                "No permissions to access a channel",
                "&{ns#*}:e:*",
            ),
            (
                "ERR",
                "The user executing the script can't run this command or subcommand script: 87, on @user_script:1.",
                "a command of leasehold's scripts",
            ),
            (
                "ERR",
                "The user executing the script can't access at least one of the keys mentioned in the command arguments script: 6bd, on @user_script:1.",
                "~{ns#*}:*",
            ),
        ] {
            let text = refusal(code, detail, &keys()).unwrap();
            assert!(text.contains(said), "{detail}: {text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert_eq!(refusal("ERR", "unknown command 'info'", &keys()), None);
    }

    #[test]
    fn a_probe_s_answer_names_what_is_missing() {
        let answer = |lines: &[&str]| {
            let lines = lines
                .iter()
                .map(|line| Value::BulkString(line.as_bytes().to_vec()));
            lacks(&Value::Array(lines.collect()), &keys())
        };
        assert_eq!(answer(&[]), Lacks::default());
        assert_eq!(lacks(&Value::Nil, &keys()), Lacks::default());
        let one = answer(&["PEXPIRE\t{ns#m}:meta", "PEXPIRE\t{ns#m}:nodes", "TIME\t"]);
        let text = one.needed.unwrap();
        assert_eq!(
            text,
            "the user may not run PEXPIRE, TIME on {ns#*}:*: allow it +pexpire +time"
        );
        let channel = keys().sample("e:x");
        let (listen, push) = (
            format!("SSUBSCRIBE\t{channel}"),
            format!("SPUBLISH\t{channel}"),
        );
        assert!(answer(&[&push]).needed.unwrap().contains("SPUBLISH"));
        let mute = answer(&[&listen, &push]);
        assert_eq!(mute.needed, None);
        assert!(mute.channels.unwrap().contains("&{ns#*}:e:*"));
    }
}
