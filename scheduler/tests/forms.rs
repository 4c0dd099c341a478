//! Jobs of every origin run: by attributes, several on one function, and by code; and renamed ones go on where they were.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]
#![allow(clippy::unused_async, reason = "a job is async, whatever it does")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use leasehold_core::Env;
use leasehold_core::store::MemoryStore;
use leasehold_scheduler::{
    BoxError, Job, JobContext, Outcome, State, history, jobs, singleton_job,
};
use support::{Node, Rows};

type Count = Arc<AtomicU32>;

#[singleton_job("*/2 * * * * *", name = "even", crate = leasehold_scheduler)]
#[singleton_job("1/2 * * * * *", name = "odd")]
#[singleton_job("-", name = "off")]
async fn counts(State(count): State<Count>, State(rows): State<Rows>, ctx: JobContext) {
    count.fetch_add(1, Ordering::Relaxed);
    rows.add(&ctx);
}

#[tokio::test(start_paused = true)]
async fn each_attribute_of_a_function_is_a_job_that_runs() {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let (count, rows) = (Count::default(), Rows::default());
    let node = Node::try_start(&store, &env, |builder| {
        builder
            .state(count.clone())
            .state(rows.clone())
            .jobs(jobs![counts])
    });
    let node = node.await.unwrap();
    env.sleep(Duration::from_secs(60)).await;
    for (job, parity) in [("even", 0), ("odd", 1)] {
        let records = history(&node.coord, job).await.unwrap();
        assert!(records.len() >= 28, "{job}: {records:?}");
        assert!(
            records
                .iter()
                .all(|r| r.outcome == Outcome::Ran && r.end % 2 == parity)
        );
    }
    assert_eq!(history(&node.coord, "off").await.unwrap(), []);
    node.drain().await;
    let ran = u32::try_from(rows.take().len()).unwrap();
    assert_eq!(count.load(Ordering::Relaxed), ran);
}

#[tokio::test(start_paused = true)]
async fn a_job_by_code_has_the_state_it_asks_for() {
    let (env, store) = (Env::simulated(1), MemoryStore::new());
    let count = Count::default();
    let every_second = |name| Job::builder(name).schedule("* * * * * *");
    let counts = every_second("counts")
        .needs::<Count>()
        .run(|ctx| async move {
            ctx.state::<Count>().fetch_add(1, Ordering::Relaxed);
            Ok::<(), std::io::Error>(())
        });
    let undeclared = every_second("undeclared").run(|ctx| async move {
        ctx.state::<String>();
    });
    let node = Node::try_start(&store, &env, |builder| {
        builder.state(count.clone()).jobs([counts, undeclared])
    });
    let node = node.await.unwrap();
    env.sleep(Duration::from_secs(10)).await;
    let failed = history(&node.coord, "undeclared").await.unwrap();
    let error = failed[0].error.as_deref().unwrap();
    assert!(
        error.contains("`.needs::<_>()`") && error.contains("String"),
        "{error}"
    );
    node.drain().await;
    assert!(count.load(Ordering::Relaxed) >= 8);
}

fn every_second(name: &str, aliases: &[&str], rows: &Rows) -> Vec<Job> {
    let rows = rows.clone();
    let job = Job::builder(name).schedule("* * * * * *");
    let job = aliases.iter().fold(job, |job, alias| job.alias(alias));
    vec![job.run(move |ctx| {
        rows.add(&ctx);
        let text = format!("{} {}", ctx.job(), ctx.run_id());
        async move { Err::<(), BoxError>(text.into()) }
    })]
}

/// `old` becomes `new`, and `new` becomes `newest`, one node after the other.
#[tokio::test(start_paused = true)]
async fn s17_a_renamed_job_doubles_and_loses_no_tick_while_it_is_deployed() {
    let (env, store, rows) = (Env::simulated(1), MemoryStore::new(), Rows::default());
    let mut nodes: Vec<Node> = Vec::new();
    let mut records = Vec::new();
    for names in [&["old"][..], &["new", "old"], &["newest", "new", "old"]] {
        for _ in 0..2 {
            let jobs = every_second(names[0], &names[1..], &rows);
            nodes.push(Node::start(&store, &env, jobs).await);
            env.sleep(Duration::from_secs(40)).await;
            if nodes.len() > 2 {
                nodes.remove(0).drain().await;
                env.sleep(Duration::from_secs(40)).await;
            }
        }
        records.extend(history(&nodes[0].coord, "old").await.unwrap().pop());
    }
    // One ledger, which goes by the name that the job had first, and so do its runs.
    assert_eq!(records.len(), 3);
    for (record, name) in records.iter().zip(["old", "new", "newest"]) {
        let said = format!("{name} old@{}", record.end);
        assert_eq!(record.error.as_deref(), Some(said.as_str()));
    }
    for node in nodes {
        node.drain().await;
    }
    let mut ticks: Vec<_> = rows.take().into_iter().map(|row| row.tick).collect();
    ticks.sort_unstable();
    assert!(ticks.len() > 350, "{}", ticks.len());
    for pair in ticks.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "{pair:?}");
    }
}
