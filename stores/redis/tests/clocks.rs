//! Wall clocks that are set: the server's, and a client's.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::env;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use leasehold_core::{Coordinator, Fence, LostCause, Mutexes, Put, RegisterReply};
use leasehold_redis::RedisStore;
use leasehold_testkit::{Process, RedisServer, WallClock, wait_until};

const TTL: Duration = Duration::from_secs(3);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn connect(url: &str) -> Coordinator {
    let store = RedisStore::new(url).unwrap();
    Coordinator::builder(store, "tests")
        .connect()
        .await
        .unwrap()
}

fn mutexes(coord: &Coordinator) -> Mutexes {
    coord.mutexes("m").unwrap().ttl(TTL)
}

async fn write(coord: &Coordinator, fence: Fence) -> RegisterReply {
    let put = Put::new("x").fenced(fence);
    coord.register("r").unwrap().put(&put).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x17_a_server_clock_set_forward_ends_leases_early_and_the_fence_covers_it() {
    let clock = WallClock::new();
    let server = RedisServer::start_under(&clock, &[]);
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let first = mutexes(&a).lock(1).await.unwrap();
    clock.forward(MINUTE);
    // Another acquires while the first still believes in its lease.
    let second = mutexes(&b).lock(1).await.unwrap();
    assert!(second.fence() > first.fence());
    let written = write(&b, second.fence()).await;
    assert!(
        matches!(written, RegisterReply::Written { .. }),
        "{written:?}"
    );
    let late = write(&a, first.fence()).await;
    assert!(matches!(late, RegisterReply::Fenced { .. }), "{late:?}");
    // The next renewal tells it.
    let cause = a.env().timeout(TTL, first.lost()).await.unwrap();
    assert_eq!(cause, LostCause::Deleted);
    // From here on all is as ever.
    a.env().sleep(TTL).await;
    let fence = second.fence();
    second.release().await.unwrap();
    let third = mutexes(&a).lock(1).await.unwrap();
    assert!(third.fence() > fence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x17_a_server_clock_set_back_keeps_fences_rising_and_holders_in_hold() {
    let clock = WallClock::new();
    let server = RedisServer::start_under(&clock, &[]);
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let first = mutexes(&a).lock(1).await.unwrap();
    // Used and let go, so that no record is left of it; its bucket's floor remembers.
    let ended = mutexes(&a).lock("ended").await.unwrap();
    let (name, ended_at) = (ended.name().clone(), ended.fence().get());
    ended.release().await.unwrap();
    let floor = format!("{{tests#{}}}:f", name.bucket());
    wait_until(TTL * 3, "the floor to be raised", || {
        (server.command(&["GET", &floor]).parse::<u64>()).is_ok_and(|floor| floor >= ended_at)
    });
    assert_eq!(server.command(&["KEYS", "*:l:m/ended"]), "");
    clock.back(HOUR);
    // Renewed on the clock that there is now: held for longer than its TTL, and not for an hour more.
    a.env().sleep(TTL + TTL / 2).await;
    first.check().unwrap();
    let seen = b.inspect(first.name()).await.unwrap();
    assert!(
        seen.is_held() && seen.holders[0].remaining <= TTL,
        "{seen:?}"
    );
    // The lock is handed on, again and again, and each fence is greater than the last.
    let mut fence = first.fence();
    first.release().await.unwrap();
    for coord in [&b, &a, &b] {
        let next = mutexes(coord).lock(1).await.unwrap();
        assert!(next.fence() > fence, "{next:?} after {fence}");
        fence = next.fence();
        next.release().await.unwrap();
    }
    // Also to one who has seen nothing of the namespace before, since the lock's record is there.
    let new = connect(&server.url()).await;
    let held = mutexes(&b).lock(1).await.unwrap();
    let waiting = mutexes(&new).wait(TTL * 2);
    let waiting = new.env().spawn(async move { waiting.lock(1).await });
    let handed = held.fence();
    new.env().sleep(TTL / 3).await;
    held.release().await.unwrap();
    let next = waiting.await.unwrap().unwrap();
    assert!(next.fence() > handed, "{next:?} after {handed}");
    let new = connect(&server.url()).await;
    let again = mutexes(&new).lock("ended").await.unwrap();
    assert!(again.fence().get() > ended_at, "{again:?} after {ended_at}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x17_a_holder_that_died_before_the_clock_was_set_back_keeps_its_lock_for_as_much_longer() {
    let clock = WallClock::new();
    let server = RedisServer::start_under(&clock, &[]);
    let b = connect(&server.url()).await;
    let mut holder = Client::start(&server.url(), None);
    holder.process.kill();
    clock.back(HOUR);
    let error = mutexes(&b).wait(TTL * 2).lock(1).await.unwrap_err();
    let leasehold_core::Error::Busy(busy) = error else {
        panic!("{error:?}")
    };
    assert!(
        busy.remaining + MINUTE > HOUR && busy.remaining < HOUR + TTL,
        "{busy}"
    );
    clock.back(Duration::ZERO);
    let next = mutexes(&b).lock(1).await.unwrap();
    assert!(next.fence().get() > holder.fence);
}

/// This test, run again as a process that holds the lock 1 and answers to lines.
struct Client {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
    fence: u64,
}

const ADDRESS: &str = "LEASEHOLD_TEST_ADDRESS";

impl Client {
    fn start(url: &str, clock: Option<&WallClock>) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "--nocapture",
                "x18_a_client_s_wall_clock_moves_nothing",
            ])
            .env(ADDRESS, url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(clock) = clock {
            clock.apply(&mut command);
        }
        let mut process = Process::spawn(&mut command);
        let lines = BufReader::new(process.child_mut().stdout.take().unwrap()).lines();
        let mut client = Self {
            process,
            lines,
            fence: 0,
        };
        client.fence = client.said("fence ");
        client
    }

    fn said(&mut self, prefix: &str) -> u64 {
        let mut lines = self.lines.by_ref().map_while(Result::ok);
        let rest = lines.find_map(|line| line.strip_prefix(prefix).map(str::to_owned));
        rest.unwrap_or_else(|| panic!("it ended before `{prefix}`"))
            .parse()
            .unwrap()
    }

    fn ask(&mut self, word: &str) -> u64 {
        let stdin = self.process.child_mut().stdin.as_mut().unwrap();
        writeln!(stdin, "{word}").unwrap();
        self.said(&format!("{word} "))
    }
}

/// What the child does.
async fn hold(url: &str) {
    let coord = connect(url).await;
    let mut guard = mutexes(&coord).lock(1).await.unwrap();
    println!("\nfence {}", guard.fence());
    loop {
        let mut word = String::new();
        if std::io::stdin().read_line(&mut word).unwrap() == 0 {
            return;
        }
        let word = word.trim();
        let number = match word {
            #[allow(clippy::disallowed_methods, reason = "it shows that the clock was set")]
            "wall" => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            "held" => guard.is_held().into(),
            "left_ms" => u64::try_from(guard.remaining().as_millis()).unwrap(),
            "again" => {
                guard.release().await.unwrap();
                guard = mutexes(&coord).lock(1).await.unwrap();
                guard.fence().get()
            }
            other => panic!("{other}"),
        };
        println!("{word} {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x18_a_client_s_wall_clock_moves_nothing() {
    if let Ok(url) = env::var(ADDRESS) {
        return hold(&url).await;
    }
    let server = RedisServer::start();
    let coord = connect(&server.url()).await;
    let clock = WallClock::new();
    let mut client = Client::start(&server.url(), Some(&clock));
    let (wall, mut fence) = (client.ask("wall"), client.fence);
    for step in 0..2 {
        if step == 0 {
            clock.forward(HOUR);
            assert!(client.ask("wall") >= wall + HOUR.as_secs());
        } else {
            clock.back(HOUR);
            assert!(client.ask("wall") < wall);
        }
        assert_eq!(client.ask("held"), 1);
        let left = Duration::from_millis(client.ask("left_ms"));
        assert!(left <= TTL && left > TTL / 3, "{left:?}");
        // Renewed, and so not to be had: for longer than it lasts by itself.
        let busy = mutexes(&coord).wait(TTL * 3 / 2).lock(1).await.unwrap_err();
        assert!(busy.is_busy(), "{busy:?}");
        assert_eq!(client.ask("held"), 1);
        // What it asks for is neither too late nor for ever, and its fences are the server's.
        let next = client.ask("again");
        assert!(next > fence);
        let server_s = Duration::from_micros(coord.store_now().wall_us);
        assert!(server_s.abs_diff(Duration::from_micros(next)) < MINUTE);
        fence = next;
    }
    client.process.kill();
    // Its last request's time was counted on the server's clock: nothing of it outlasts its TTL.
    mutexes(&coord)
        .wait(TTL * 2)
        .lock(1)
        .await
        .unwrap()
        .release()
        .await
        .unwrap();
}
