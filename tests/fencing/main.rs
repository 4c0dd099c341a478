//! Fences where the writes go: a holder that was stopped for longer than its lease writes late, and is refused.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod place;
mod redis;
mod service;
mod sql;
mod stopped;

use leasehold::Env;
use leasehold_testkit::RedisServer;

use place::Place;
use service::Service;
use stopped::stopped_holder;

#[tokio::test(flavor = "multi_thread")]
async fn a_row_with_a_fence_column_refuses_a_stopped_holder() {
    let (_folder, path) = sql::file().await;
    let read = async |_: &_| sql::amounts(&path, "balance").await;
    stopped_holder(&Place::Column(path.clone()), read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_beside_a_fence_table_refuse_a_stopped_holder() {
    let (_folder, path) = sql::file().await;
    let read = async |_: &_| sql::amounts(&path, "plain").await;
    stopped_holder(&Place::Table(path.clone()), read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_key_refuses_a_stopped_holder() {
    let server = RedisServer::start();
    let read = async |_: &_| server.command(&["GET", "balance:{1}"]);
    stopped_holder(&Place::Redis(server.url()), read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_service_refuses_a_stopped_holder() {
    let service = Service::start(&Env::system()).await;
    let read = async |_: &_| service.value();
    stopped_holder(&Place::Http(service.address().to_owned()), read).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_refuses_a_stopped_holder() {
    let read = async |coord: &leasehold::Coordinator| {
        let stored = coord.register("balance").unwrap().get().await.unwrap();
        String::from_utf8(stored.unwrap().value).unwrap()
    };
    stopped_holder(&Place::Register, read).await;
}
