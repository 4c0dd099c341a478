//! A holder that is stopped (SIGSTOP) for longer than its lease, and its successor.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use leasehold::{Coordinator, Fence};
use leasehold_testkit::{Process, RedisServer, example_binary};

use crate::place::Place;

const TTL: Duration = Duration::from_secs(1);

/// The process that will be stopped, and what it prints.
struct LateWriter {
    process: Process,
    lines: mpsc::Receiver<String>,
}

impl LateWriter {
    /// Starts it, and waits until it holds the mutex.
    fn start(address: &str, place: &Place) -> (Self, Fence) {
        let mut command = Command::new(example_binary("late_writer"));
        command.args([address, "test", &TTL.as_millis().to_string(), &place.word()]);
        let mut process = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let output = process.child_mut().stdout.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let writer = Self { process, lines };
        let held = writer.line();
        let fence = held.strip_prefix("held ").unwrap().parse().unwrap();
        (writer, Fence::new(fence))
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    fn write(&mut self, value: &str) {
        let input = self.process.child_mut().stdin.as_mut().unwrap();
        writeln!(input, "{value}").unwrap();
    }
}

/// The whole story, at a place of which `read` tells the value.
pub(crate) async fn stopped_holder(place: &Place, read: impl AsyncFn(&Coordinator) -> String) {
    // Not on SQLite: a process that is stopped in the middle of a renewal would keep its write lock.
    let server = RedisServer::start();
    let address = server.url();
    let coord = leasehold::connect(&address, "test").await.unwrap();
    let write = async |fence, value: &str| place.write(&coord, fence, value).await.unwrap();

    let (mut late, old) = LateWriter::start(&address, place);
    late.write("first");
    assert_eq!(late.line(), "written");
    assert_eq!(read(&coord).await, "first");

    late.process.signal("STOP");
    let guard = coord.mutexes("m").unwrap().lock(1).await.unwrap();
    let new = guard.fence();
    assert!(new > old);
    assert_eq!(write(new, "second").await, Ok(()));

    // The order to write waits for it when it wakes. It writes at once: it does not ask its guard.
    late.write("late");
    late.process.signal("CONT");
    let answer = late.line();
    assert!(answer.starts_with("refused "), "{answer}");
    assert_eq!(read(&coord).await, "second");

    // The current holder may write as often as it likes; one that is late never.
    assert_eq!(write(new, "third").await, Ok(()));
    let fenced = write(old, "late again").await.unwrap_err();
    assert_eq!(fenced.fence, old);
    assert!(fenced.stored.is_none_or(|stored| stored == new));
    assert_eq!(write(new, "third").await, Ok(()));
    assert_eq!(read(&coord).await, "third");
    guard.release().await.unwrap();
}
