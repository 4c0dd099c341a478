//! What the server still has.

use std::time::Duration;

use anyhow::{Context, bail};
use leasehold::{Coordinator, Env, Error};
use leasehold_testkit::RedisServer;

const POLL: Duration = Duration::from_millis(100);

/// Waits until the server has no key but the namespace's own; fails with those it has.
pub(crate) async fn wait_until_collected(
    server: &RedisServer,
    within: Duration,
) -> anyhow::Result<()> {
    let env = Env::system();
    let started = env.now();
    loop {
        let left = left(&server.command(&["KEYS", "*"]));
        let waited = env.now().since(started);
        if left.is_empty() {
            println!("nothing is left after {waited:.1?}");
            return Ok(());
        }
        if waited >= within {
            bail!("after {waited:.1?} {}", shown(server, &left));
        }
        env.sleep(POLL).await;
    }
}

/// Locks what the server still has a key of: it must be free at once, and with the unlock the key must go.
pub(crate) async fn use_up(
    server: &RedisServer,
    namespace: &str,
    within: Duration,
) -> anyhow::Result<()> {
    /// What is in the way of the first may have been on its way out.
    const ROUNDS: u32 = 3;
    let coord = leasehold::connect(&server.url(), namespace).await?;
    let (env, started) = (coord.env().clone(), coord.env().now());
    let mut rounds = 0;
    loop {
        let left = left(&server.command(&["KEYS", "*"]));
        let waited = env.now().since(started);
        if left.is_empty() {
            println!("nothing is left after {waited:.1?}");
            coord.shutdown(within).await;
            return Ok(());
        }
        if waited >= within && rounds >= ROUNDS {
            bail!("after {waited:.1?} {}", shown(server, &left));
        }
        rounds += 1;
        let mut tasks = Vec::new();
        // So many at once.
        for keys in left.chunks(left.len().div_ceil(16)) {
            let (keys, coord) = (keys.to_vec(), coord.clone());
            tasks.push(env.spawn(async move {
                for key in keys {
                    use_one(&coord, &key).await?;
                }
                Ok::<_, anyhow::Error>(())
            }));
        }
        for task in tasks {
            task.await.context("a task panicked")??;
        }
        env.sleep(POLL).await;
    }
}

async fn use_one(coord: &Coordinator, key: &str) -> anyhow::Result<()> {
    // `{ns#7}:l:m/1`, or one part of a record with many entries: `{ns#7}:ce:m/1`.
    let name = key
        .split_once("}:")
        .and_then(|(_, rest)| rest.split_once(':'));
    let name = name.and_then(|(_, name)| name.split_once('/'));
    let (class, id) = name.with_context(|| format!("{key} is no mutex's"))?;
    match coord.mutexes(class)?.try_lock(id).await {
        Ok(guard) => guard.release().await?,
        // The cleaner is not through yet.
        Err(Error::Busy(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Some of them, each with the milliseconds that the server still keeps it.
fn shown(server: &RedisServer, left: &[String]) -> String {
    let some = left.iter().take(10);
    let some: Vec<_> = some
        .map(|key| format!("{key} ({} ms)", server.command(&["PTTL", key])))
        .collect();
    format!("{} keys are left: {}", left.len(), some.join(", "))
}

fn left(keys: &str) -> Vec<String> {
    let keys = keys.lines().filter(|key| !key.is_empty() && !is_own(key));
    keys.map(str::to_owned).collect()
}

/// `{ns#m}:..`: its format and its members; `{ns#7}:f`: a bucket's floor.
fn is_own(key: &str) -> bool {
    let Some((tag, rest)) = key.split_once("}:") else {
        return false;
    };
    let bucket = tag.rsplit_once('#').map(|(_, bucket)| bucket);
    bucket == Some("m") || (rest == "f" && bucket.is_some_and(|b| b.parse::<u8>().is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_registers_are_not_the_namespaces_own() {
        let keys =
            "{ns#m}:meta\n{ns#m}:nodes\n{ns#7}:f\n{ns#7}:l:m/1\n{ns#7}:r:x\n{ns#7}:l:f\nfoo\n";
        assert_eq!(
            left(keys),
            ["{ns#7}:l:m/1", "{ns#7}:r:x", "{ns#7}:l:f", "foo"]
        );
        assert_eq!(left(""), [""; 0]);
    }
}
