//! Many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::context::{LONG, name};
use super::{Context, Grant};
use crate::protocol::{Op, Reply, Was};

const SESSIONS: usize = 8;

/// Tries from many sessions and tasks: whoever is granted is alone, and comes with the highest fence so far.
pub async fn one_holder_at_a_time_and_fences_rise(cx: &Context) {
    const TASKS: usize = 3;
    const TURNS: usize = 4;
    let lock = name("contended");
    let holder = Arc::new(AtomicU64::new(0));
    let last = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..SESSIONS {
        let session = Arc::new(cx.session().await);
        for _ in 0..TASKS {
            let (session, lock, env) = (Arc::clone(&session), lock.clone(), cx.env().clone());
            let (holder, last) = (Arc::clone(&holder), Arc::clone(&last));
            tasks.push(cx.env().spawn(async move {
                let mut turns = 0;
                while turns < TURNS {
                    let mut ask = session.ask(LONG);
                    ask.wait = false;
                    let reply = session.run(&lock, Op::Acquire(ask.clone())).await;
                    let Some(grant) = Grant::of(&reply) else {
                        assert!(matches!(reply, Reply::Busy { .. }), "{reply:?}");
                        env.sleep(env.jittered(Duration::from_millis(2))).await;
                        continue;
                    };
                    assert_eq!(holder.swap(grant.first, Ordering::SeqCst), 0, "two holders");
                    let before = last.swap(grant.end, Ordering::SeqCst);
                    assert!(grant.first > before, "{grant:?} after {before}");
                    tokio::task::yield_now().await;
                    holder.store(0, Ordering::SeqCst);
                    assert_eq!(session.release(&lock, ask.rid).await, Was::Held);
                    turns += 1;
                }
            }));
        }
    }
    for task in tasks {
        task.await.expect("a task failed");
    }
}

/// A queue that drains itself by hand-over: everyone is granted once, in strictly rising order.
pub async fn concurrent_waiters_are_all_served(cx: &Context) {
    let lock = name("drained");
    let last = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..SESSIONS {
        let (mut session, lock, last) = (cx.session().await, lock.clone(), Arc::clone(&last));
        let env = cx.env().clone();
        tasks.push(cx.env().spawn(async move {
            session.listen(&lock).await;
            for _ in 0..3 {
                let ask = session.ask(LONG);
                let grant = loop {
                    let reply = session.run(&lock, Op::Acquire(ask.clone())).await;
                    if let Some(grant) = Grant::of(&reply) {
                        break grant;
                    }
                    // As a client does: a push or a while, then look again.
                    let granted = async {
                        while let Some(event) = session.events.recv().await {
                            if event.may_be_for(ask.rid) {
                                return;
                            }
                        }
                    };
                    let _ = env.timeout(Duration::from_millis(200), granted).await;
                };
                let before = last.swap(grant.end, Ordering::SeqCst);
                assert!(grant.first > before, "{grant:?} after {before}");
                assert_eq!(session.release(&lock, ask.rid).await, Was::Held);
            }
        }));
    }
    for task in tasks {
        task.await.expect("a waiter failed");
    }
}
