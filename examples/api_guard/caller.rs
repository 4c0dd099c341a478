//! One of the four processes: what a service does that calls such an API.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use axum::body::Body;
use axum::http::{StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use leasehold::prelude::*;
use leasehold::{Moment, Quota, RateLimiter, Semaphore};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

use crate::server::{AT_ONCE, PER_SECOND};

/// Tasks of each process. The four have more than may call at once, so the semaphore decides, too.
const TASKS: usize = 8;

/// The window in which the limiter lets 100 calls pass: 1 s, and 35 ms for what happens between the limiter's yes and the
/// call's arrival. A call that arrives late is nearer to those after it; while no call is more than 35 ms later than another,
/// no second of the API's clock has more than 100. On a machine with two busy cores that is 10 ms as a rule, and 25 ms at
/// worst. It costs 3.4 % of the use. For the same reason there is no burst: calls come one by one, each a hundredth of that
/// window after the one before.
const WINDOW: Duration = Duration::from_millis(1035);

#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) api: SocketAddr,
}

#[derive(Clone)]
struct Caller {
    semaphore: Semaphore,
    limiter: RateLimiter,
    client: Client<HttpConnector, Body>,
    api: SocketAddr,
}

#[tokio::main]
pub(crate) async fn run(arguments: &Arguments, store: &str, time: Duration) -> anyhow::Result<()> {
    let store = leasehold::store(store)?;
    let coord = Coordinator::builder_dyn(store, &arguments.namespace)
        .label(&arguments.name)
        .connect()
        .await?;
    let per_second = u64::try_from(PER_SECOND)?;
    let quota = Quota::at_most(per_second, WINDOW).burst(1);
    let caller = Caller {
        semaphore: coord.semaphore("api", AT_ONCE)?,
        limiter: RateLimiter::new(&coord, "api", quota)?,
        client: Client::builder(TokioExecutor::new()).build_http(),
        api: arguments.api,
    };
    // Connections are open before they count, to the store and to the API.
    let _ = caller.limiter.peek("all", 1).await?;
    let mut greetings = JoinSet::new();
    for _ in 0..TASKS {
        let caller = caller.clone();
        greetings.spawn(async move { caller.get("/").await });
    }
    while let Some(greeted) = greetings.join_next().await {
        greeted??;
    }
    println!("ready");
    started().await?;
    let until = coord.env().now() + time;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(caller.clone().calls(coord.env().clone(), until));
    }
    while let Some(called) = tasks.join_next().await {
        called??;
    }
    coord.shutdown(Duration::ZERO).await;
    Ok(())
}

/// A line from the process that started this one; its end, if that is gone.
async fn started() -> anyhow::Result<()> {
    let mut line = String::new();
    let read = BufReader::new(tokio::io::stdin())
        .read_line(&mut line)
        .await?;
    ensure!(read > 0, "nobody waits for this process");
    Ok(())
}

impl Caller {
    async fn calls(self, env: Env, until: Moment) -> anyhow::Result<()> {
        while env.now() < until {
            self.call().await?;
        }
        Ok(())
    }

    /// One call: first a permit, then a turn, which is not to be kept.
    async fn call(&self) -> anyhow::Result<()> {
        self.semaphore
            .run(async {
                self.limiter.until_ready("all").await?;
                self.get("/charge").await
            })
            .await?
    }

    /// What the API says to it is the API's to count.
    async fn get(&self, path: &str) -> anyhow::Result<()> {
        let uri: Uri = format!("http://{}{path}", self.api).parse()?;
        let answer = self.client.get(uri).await.context("the API is away")?;
        let status = answer.status();
        axum::body::to_bytes(Body::new(answer.into_body()), 1000).await?;
        let expected = [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS];
        ensure!(expected.contains(&status), "the API answered {status}");
        Ok(())
    }
}
