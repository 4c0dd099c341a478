//! Ports nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

/// A TCP port of 127.0.0.1 that was free a moment ago. Another process may take it before its user binds it:
/// retry with a fresh one, as [`RedisServer`](crate::RedisServer) does.
///
/// # Panics
///
/// When the machine has no free port.
///
/// # Examples
///
/// ```
/// let port = leasehold_testkit::free_port();
/// assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
/// ```
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("127.0.0.1 has a free port")
        .port()
}
