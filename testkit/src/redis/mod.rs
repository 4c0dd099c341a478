//! A `redis-server` for one test.

mod client;
mod launch;
mod server;

pub use server::RedisServer;
