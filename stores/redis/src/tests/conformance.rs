//! What every store promises, where two are a crowd.

use std::sync::Arc;

use leasehold_core::Env;
use leasehold_core::store::conformance::Context;
use leasehold_testkit::RedisServer;

use crate::RedisStore;
use crate::script::Crowded;

leasehold_core::conformance_tests!({
    let server = RedisServer::start();
    let crowded = Crowded { above: 1, until: 0 };
    let store = RedisStore::new(&server.url()).unwrap().crowded(crowded);
    Context::new(Arc::new(store), Env::system()).keeping(server)
});
