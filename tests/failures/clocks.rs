//! Clients whose wall clock is wrong.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use leasehold_testkit::RedisServer;

use crate::holding::Holder;
use crate::world::{connect, millis, mutexes, sqlite};

const TTL: Duration = Duration::from_secs(1);

/// Moves the wall clock, and no other, of the program it is loaded into.
const WRONG_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static long by(void) { const char *text = getenv("WRONG_BY"); return text ? atol(text) : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += by();
    return result;
}
"#;

/// redisson's fair lock, rueidislock's default: the client's wall clock went into the server's expiry, so that a client
/// whose clock was wrong held for ever, or never.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn l06_a_clients_wrong_wall_clock_changes_no_expiry_on_redis() {
    let server = RedisServer::start();
    fast_and_slow(&server.url()).await;
}

/// As on Redis; here the client's machine is the server's.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn l06_a_clients_wrong_wall_clock_changes_no_expiry_on_sqlite() {
    let (_folder, address) = sqlite();
    fast_and_slow(&address).await;
}

async fn fast_and_slow(address: &str) {
    let folder = tempfile::tempdir().unwrap();
    let library = compile(folder.path());
    for by in ["3600", "-3600"] {
        let wrong = [("LD_PRELOAD", library.as_str()), ("WRONG_BY", by)];
        assert_is_wrong(&wrong, by.parse().unwrap());
        wrong_clock(address, &wrong).await;
    }
}

async fn wrong_clock(address: &str, wrong: &[(&str, &str)]) {
    let coord = connect(address).await;
    let env = coord.env().clone();
    let mut holder = Holder::waiting(address, "test", TTL, wrong);
    let fence = holder.held();
    // It holds for as long as it lives, also beyond its TTL: its renewals count.
    let early = mutexes(&coord, TTL).lock_timeout(1, TTL * 2).await;
    assert!(early.unwrap_err().is_busy());
    holder.say("check");
    assert_eq!(holder.line("check "), "held");
    // And no longer.
    let killed = env.now();
    holder.process.kill();
    let guard = mutexes(&coord, TTL).lock(1).await.unwrap();
    let took = env.now().since(killed);
    assert!(took <= TTL + millis(500), "{took:?}");
    assert!(guard.fence() > fence);
    // It waits in the queue, and is served in its turn.
    let waiter = Holder::waiting(address, "test", TTL, wrong);
    env.sleep(TTL).await;
    assert!(guard.is_held());
    let (fence, released) = (guard.fence(), env.now());
    guard.release().await.unwrap();
    assert!(waiter.held() > fence);
    let took = env.now().since(released);
    assert!(took <= Duration::from_secs(3), "{took:?}");
}

fn compile(folder: &Path) -> String {
    let (source, library) = (folder.join("wrong.c"), folder.join("wrong.so"));
    std::fs::write(&source, WRONG_CLOCK).unwrap();
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    let output = command.output();
    let output = output.expect(
        "`cc` is missing: run `cargo xtask test`, or `sudo apt-get install -y gcc libc6-dev`",
    );
    assert!(output.status.success(), "{output:?}");
    library.display().to_string()
}

/// The library does what it is for.
fn assert_is_wrong(wrong: &[(&str, &str)], by: i64) {
    let date = |environment: &[(&str, &str)]| -> i64 {
        let mut command = Command::new("date");
        let output = command
            .arg("+%s")
            .envs(environment.iter().copied())
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.trim().parse().unwrap()
    };
    let off = date(wrong) - date(&[]);
    assert!((off - by).abs() < 60, "{off} s");
}
