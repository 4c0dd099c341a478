//! The promises of `Proxy`, between plain sockets.
#![allow(
    clippy::disallowed_methods,
    reason = "delays of real sockets are measured in real time"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use leasehold_testkit::{Direction, Proxy, wait_until};

const PATIENCE: Duration = Duration::from_secs(10);
/// For "nothing comes": long against a loopback, short against a test.
const A_MOMENT: Duration = Duration::from_millis(150);

/// A proxy before a server that answers every line with itself in capitals, until its client closes.
fn start() -> Proxy {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || shout(stream));
        }
    });
    Proxy::start(port)
}

fn shout(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream
            .write_all(&buffer[..length].to_ascii_uppercase())
            .is_err()
        {
            return;
        }
    }
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn answer(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

fn exchange(stream: &mut TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).expect("it takes a word");
    answer(stream, &word.to_uppercase());
}

fn hears_nothing(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(A_MOMENT)).expect("a timeout");
    let error = stream.read(&mut [0]).expect_err("nothing to come");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
}

fn is_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("it is open: {other:?}"),
    }
}

#[test]
fn everything_passes_in_fair_weather() {
    let proxy = start();
    let (mut a, mut b) = (connect(&proxy), connect(&proxy));
    exchange(&mut a, "one");
    exchange(&mut b, "two");
    exchange(&mut a, &"long ".repeat(100));
    assert_eq!((proxy.open_flows(), proxy.made_flows()), (2, 2));
    assert_eq!(proxy.lost_bytes(), 0);
    // The end passes, too: both ways.
    a.shutdown(Shutdown::Write).expect("it is open");
    is_closed(&mut a);
    wait_until(PATIENCE, "the flow to end", || proxy.open_flows() == 1);
}

#[test]
fn a_cut_closes_the_flows_there_are_and_no_later_one() {
    let proxy = start();
    let (mut a, mut b) = (connect(&proxy), connect(&proxy));
    exchange(&mut a, "a");
    exchange(&mut b, "b");
    proxy.cut();
    assert_eq!(proxy.open_flows(), 0);
    is_closed(&mut a);
    is_closed(&mut b);
    exchange(&mut connect(&proxy), "c");
}

#[test]
fn a_redirect_is_for_new_flows() {
    let proxy = start();
    let mut old = connect(&proxy);
    exchange(&mut old, "before");
    let successor = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    proxy.redirect(successor.local_addr().expect("an address").port());
    let mut new = connect(&proxy);
    let (mut server, _) = successor.accept().expect("the proxy connects");
    server.write_all(b"successor").expect("it takes a word");
    answer(&mut new, "successor");
    exchange(&mut old, "after");
}

#[test]
fn refused_connections_are_refused_until_it_heals_and_flows_go_on() {
    let proxy = start();
    let mut old = connect(&proxy);
    exchange(&mut old, "before");
    proxy.refuse();
    let error = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    exchange(&mut old, "meanwhile");
    proxy.heal();
    exchange(&mut connect(&proxy), "after");
    exchange(&mut old, "after");
}

#[test]
fn either_direction_can_be_delayed_without_losing_the_order() {
    let proxy = start();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "warm");
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.delay(direction, A_MOMENT);
        let start = Instant::now();
        stream.write_all(b"first ").expect("it takes a word");
        thread::sleep(A_MOMENT / 3);
        stream.write_all(b"second").expect("it takes a word");
        answer(&mut stream, "FIRST ");
        let first = start.elapsed();
        answer(&mut stream, "SECOND");
        assert!(first >= A_MOMENT, "{first:?}");
        let both = start.elapsed();
        assert!(both >= A_MOMENT * 4 / 3, "{both:?}");
        proxy.heal();
        let start = Instant::now();
        exchange(&mut stream, "quick");
        assert!(start.elapsed() < A_MOMENT);
    }
}

#[test]
fn what_was_held_back_arrives_late_once_the_delay_ends() {
    let proxy = start();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "warm");
    proxy.delay(Direction::ToServer, Duration::MAX);
    stream.write_all(b"late").expect("it takes a word");
    hears_nothing(&mut stream);
    proxy.heal();
    answer(&mut stream, "LATE");
    assert_eq!(proxy.lost_bytes(), 0);
}

#[test]
fn a_frozen_flow_carries_nothing_and_a_new_one_does() {
    let proxy = start();
    let mut frozen = connect(&proxy);
    exchange(&mut frozen, "before");
    proxy.freeze();
    frozen.write_all(b"lost").expect("it takes a word");
    hears_nothing(&mut frozen);
    wait_until(PATIENCE, "the loss", || proxy.lost_bytes() == 4);
    exchange(&mut connect(&proxy), "new");
    // It lost something, so it can never go on.
    proxy.heal();
    is_closed(&mut frozen);
}

#[test]
fn a_black_hole_accepts_and_stays_silent() {
    let proxy = start();
    let mut old = connect(&proxy);
    exchange(&mut old, "before");
    proxy.black_hole();
    let mut new = connect(&proxy);
    for stream in [&mut old, &mut new] {
        stream.write_all(b"lost").expect("it takes a word");
        hears_nothing(stream);
    }
    wait_until(PATIENCE, "the losses", || proxy.lost_bytes() == 8);
    proxy.heal();
    is_closed(&mut old);
    is_closed(&mut new);
    exchange(&mut connect(&proxy), "after");
}

#[test]
fn requests_arrive_while_their_replies_are_swallowed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let proxy = Proxy::start(listener.local_addr().expect("an address").port());
    let mut client = connect(&proxy);
    let (mut server, _) = listener.accept().expect("the proxy connects");
    server.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    proxy.swallow_replies();
    for _ in 0..2 {
        client.write_all(b"request").expect("it takes a word");
        answer(&mut server, "request");
        server.write_all(b"reply").expect("it takes a word");
    }
    wait_until(PATIENCE, "the replies to be lost", || {
        proxy.lost_bytes() == 10
    });
    hears_nothing(&mut client);
    // The answer to a later request never comes in the place of a lost one.
    proxy.heal();
    is_closed(&mut client);
    is_closed(&mut server);
}

#[test]
fn a_server_that_is_not_there_closes_the_flow() {
    let proxy = Proxy::start(leasehold_testkit::free_port());
    is_closed(&mut connect(&proxy));
}

#[tokio::test]
async fn a_proxy_dropped_in_an_asynchronous_test_leaves_nothing() {
    let proxy = start();
    let mut stream = connect(&proxy);
    exchange(&mut stream, "before");
    let port = proxy.port();
    drop(proxy);
    is_closed(&mut stream);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err());
}
