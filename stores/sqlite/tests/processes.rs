//! Processes on one file: as these share nothing else, a store object each stands for them.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{LONG, context, fresh, name};
use leasehold_core::Env;
use leasehold_core::protocol::{Op, Was};
use leasehold_core::store::conformance::{Context, Grant};
use leasehold_sqlite::SqliteStore;

const PROCESSES: usize = 3;
const SESSIONS: usize = 3;
const TURNS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_under_contention_keep_order_and_none_starves() {
    let (_folder, path) = fresh();
    let first = context(SqliteStore::new(&path));
    let last = Arc::new(AtomicU64::new(0));
    let holders = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..PROCESSES {
        let process: Context = context(SqliteStore::new(&path));
        for _ in 0..SESSIONS {
            let mut session = process.session_in(first.namespace()).await;
            let (last, holders) = (Arc::clone(&last), Arc::clone(&holders));
            tasks.push(Env::system().spawn(async move {
                let (env, lock) = (Env::system(), name("shared"));
                session.listen(&lock).await;
                for _ in 0..TURNS {
                    let ask = session.ask(LONG);
                    let grant = loop {
                        let reply = session.run(&lock, Op::Acquire(ask.clone())).await;
                        if let Some(grant) = Grant::of(&reply) {
                            break grant;
                        }
                        let told = async {
                            while let Some(event) = session.events.recv().await {
                                if event.may_be_for(ask.rid) {
                                    return;
                                }
                            }
                        };
                        let _ = env.timeout(Duration::from_millis(500), told).await;
                    };
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                    let before = last.swap(grant.end, Ordering::SeqCst);
                    assert!(grant.first > before, "{grant:?} after {before}");
                    holders.fetch_sub(1, Ordering::SeqCst);
                    assert_eq!(session.release(&lock, ask.rid).await, Was::Held);
                }
            }));
        }
    }
    for task in tasks {
        task.await.expect("a session failed");
    }
}

#[tokio::test]
async fn a_push_crosses_processes() {
    let (_folder, path) = fresh();
    let (here, there) = (
        context(SqliteStore::new(&path)),
        context(SqliteStore::new(&path)),
    );
    let one = here.session().await;
    let mut two = there.session_in(here.namespace()).await;
    let lock = name("across");
    two.listen(&lock).await;
    let (rid, _) = one.take(&lock, LONG).await;
    let ask = two.enqueue(&lock, LONG).await;
    one.release(&lock, rid).await;
    two.pushed(ask.rid).await;
    two.granted(&lock, &ask).await;
}
