//! What leasehold's own tests start, wait for and stop. Not published.
//!
//! - [`RedisServer`]: a real `redis-server` of its own for each test, which can be frozen, killed and restarted.
//! - [`Process`]: a child process that ends with the test; [`signal`] and [`is_alive`] for any process id.
//! - [`Proxy`]: stands before a server and cuts, delays, refuses, freezes, black-holes, or swallows replies.
//! - [`WallClock`]: a wall clock that steps, for servers and other child processes.
//! - [`wait_until`]: poll for a condition with a deadline, in place of a sleep.
//! - [`example_binary`] and [`free_port`].
//!
//! Everything here blocks the thread, for a moment: the servers are outside the simulated time of the tests.
//! A missing server fails the test with the line that installs it; nothing is skipped.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "real servers are waited for in real time: there is no `Env` here"
)]

mod clock;
mod example;
mod port;
mod process;
mod proxy;
mod redis;
mod wait;

pub use clock::WallClock;
pub use example::example_binary;
pub use port::free_port;
pub use process::{Process, is_alive, signal};
pub use proxy::{Direction, Proxy};
pub use redis::RedisServer;
pub use wait::wait_until;
