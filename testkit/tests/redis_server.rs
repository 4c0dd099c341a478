//! The promises of `RedisServer`, on real servers.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use leasehold_testkit::{Process, RedisServer, WallClock, is_alive, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_started_server_answers() {
    let server = RedisServer::start();
    assert_eq!(server.command(&["PING"]), "PONG");
    assert_eq!(server.command(&["GET", "nothing"]), "(nil)");
    assert_eq!(server.info("process_id"), server.pid().to_string());
    assert_eq!(
        server.command(&["CONFIG", "GET", "appendonly"]),
        "appendonly\nno"
    );
    assert_eq!(server.command(&["CONFIG", "GET", "save"]), "save\n");
    let error = server
        .try_command(&["NONSENSE"])
        .expect_err("no such command");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(
        error.to_string().starts_with("ERR unknown command"),
        "{error}"
    );
}

#[test]
fn servers_at_once_have_ports_of_their_own() {
    let servers: Vec<_> = (0..3).map(|_| thread::spawn(RedisServer::start)).collect();
    let servers: Vec<_> = servers
        .into_iter()
        .map(|server| server.join().expect("it starts"))
        .collect();
    for server in &servers {
        server.command(&["SET", "port", &server.port().to_string()]);
    }
    for server in &servers {
        assert_eq!(server.command(&["GET", "port"]), server.port().to_string());
    }
}

#[test]
fn a_stopped_server_answers_after_resume() {
    let server = RedisServer::start();
    server.stop();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let server = &server;
        scope.spawn(move || sender.send(server.command(&["PING"])));
        assert!(
            receiver.recv_timeout(Duration::from_millis(200)).is_err(),
            "a stopped server answered"
        );
        server.resume();
        assert_eq!(receiver.recv_timeout(PATIENCE).as_deref(), Ok("PONG"));
    });
}

#[test]
fn a_killed_server_refuses_and_its_restart_keeps_the_port() {
    let mut server = RedisServer::start();
    let (port, pid) = (server.port(), server.pid());
    server.command(&["SET", "key", "value"]);
    server.kill();
    assert!(!is_alive(pid));
    let error = server
        .try_command(&["PING"])
        .expect_err("the server is gone");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    server.kill();
    server.restart();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(server.command(&["EXISTS", "key"]), "0");
}

#[test]
fn a_restart_waits_for_the_port() {
    let mut server = RedisServer::start();
    server.kill();
    let squatter =
        TcpListener::bind((Ipv4Addr::LOCALHOST, server.port())).expect("the port is free");
    let waiting = thread::spawn(move || {
        server.restart();
        server
    });
    // The connection is a launched server's, or its launcher's: the restart is under way.
    let _ = squatter.accept().expect("somebody asks who listens");
    drop(squatter);
    assert_eq!(
        waiting.join().expect("it restarts").command(&["PING"]),
        "PONG"
    );
}

#[test]
fn a_restart_keeps_the_data_of_a_server_with_a_log() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    server.command(&["SET", "key", "value"]);
    server.restart();
    assert_eq!(server.command(&["GET", "key"]), "value");
}

#[test]
fn a_password_goes_into_the_url_and_the_commands() {
    let server = RedisServer::start_with(&["--requirepass", "secret"]);
    assert_eq!(server.command(&["PING"]), "PONG");
    assert_eq!(
        server.url(),
        format!("redis://:secret@127.0.0.1:{}", server.port())
    );
}

#[test]
fn a_server_s_wall_clock_steps_both_ways() {
    let clock = WallClock::new();
    let server = RedisServer::start_under(&clock, &[]);
    let micros = || {
        let time = server.command(&["TIME"]);
        let (seconds, micros) = time.split_once('\n').expect("two lines");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        number(seconds) * 1_000_000 + number(micros)
    };
    let hour = Duration::from_secs(3600);
    let start = micros();
    clock.forward(hour + Duration::from_millis(1500));
    let ahead = micros() - start;
    assert!((3_601_500_000..3_610_000_000).contains(&ahead), "{ahead}");
    clock.back(hour + Duration::from_millis(1500));
    let behind = start - micros();
    assert!((3_590_000_000..3_601_500_000).contains(&behind), "{behind}");
    server.command(&["SET", "key", "value", "PX", "10000"]);
    clock.back(Duration::ZERO);
    assert!(micros() >= start);
    assert_eq!(
        server.command(&["EXISTS", "key"]),
        "0",
        "its time has passed"
    );
}

#[test]
#[should_panic(expected = "redis-server did not start; its log:")]
fn a_refused_argument_shows_the_log() {
    let _ = RedisServer::start_with(&["--no-such-option", "1"]);
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_directory() {
    let server = RedisServer::start();
    let (pid, port) = (server.pid(), server.port());
    let dir = PathBuf::from(
        server
            .command(&["CONFIG", "GET", "dir"])
            .split_once('\n')
            .expect("name, value")
            .1,
    );
    assert!(dir.is_dir());
    server.stop();
    drop(server);
    assert!(!is_alive(pid));
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
    assert!(!dir.exists());
}

/// Runs itself as a child that holds a server, and kills that child.
#[test]
fn a_test_process_killed_outright_leaves_no_server() {
    const IN_CHILD: &str = "LEASEHOLD_TESTKIT_CHILD";
    if env::var_os(IN_CHILD).is_some() {
        let server = RedisServer::start();
        println!("\nserver {}", server.pid());
        loop {
            thread::park();
        }
    }
    let mut child = Process::spawn(
        Command::new(env::current_exe().expect("a test knows its path"))
            .args([
                "--exact",
                "--nocapture",
                "a_test_process_killed_outright_leaves_no_server",
            ])
            .env(IN_CHILD, "1")
            .stdout(Stdio::piped()),
    );
    let stdout = BufReader::new(child.child_mut().stdout.take().expect("stdout is piped"));
    let pid = stdout
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server ")?.parse().ok())
        .expect("the child prints the server's process id");
    assert!(is_alive(pid));
    child.kill();
    wait_until(PATIENCE, "the orphaned server to end", || !is_alive(pid));
}
