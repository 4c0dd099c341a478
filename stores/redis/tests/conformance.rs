//! What every store promises, on a real server.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;

use leasehold_core::Env;
use leasehold_core::store::conformance::Context;
use leasehold_redis::RedisStore;
use leasehold_testkit::RedisServer;

leasehold_core::conformance_tests!({
    let server = RedisServer::start();
    let store = RedisStore::new(&server.url()).unwrap();
    Context::new(Arc::new(store), Env::system()).keeping(server)
});
