//! Several mutexes at once, on the memory store, in simulated time.

#![allow(clippy::unwrap_used, reason = "a test fails with the error it met")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::counting::Counting;
use common::{TTL, World, ms, mutexes};
use leasehold_core::name::Bucket;
use leasehold_core::store::Faults;
use leasehold_core::{
    Class, Coordinator, Env, Error, LockAll, LostCause, MultiGuard, Mutexes, ResourceName,
    TogetherError,
};

/// Of a group: one bucket for all.
fn grouped(node: &Coordinator) -> Mutexes {
    mutexes(node).group("g").unwrap()
}

fn add_all(node: &Coordinator, of: &Mutexes, ids: impl IntoIterator<Item = u64>) -> LockAll {
    let none = node.lock_all();
    ids.into_iter().fold(none, |all, id| all.add(of, id))
}

/// Nothing is held, waited for or remembered by a client.
async fn assert_nothing_left(env: &Env, nodes: &[&Coordinator]) {
    env.sleep(ms(200)).await;
    for node in nodes {
        let health = node.health();
        assert_eq!(
            (health.held, health.waiting, health.lines, health.unreleased),
            (0, 0, 0, 0)
        );
    }
    let listed = nodes[0].list("", 1000).await.unwrap();
    assert!(listed.resources.is_empty(), "{listed:?}");
}

#[tokio::test(start_paused = true)]
async fn names_of_a_group_cost_one_request_to_lock_and_one_to_release() {
    let world = World::new();
    let counting = Counting::new(world.store.clone());
    let node = counting.node(&world.env, "a").await;
    for count in [2, 5, 60, 128, 200] {
        let of = grouped(&node);
        let before = counting.requests();
        let guard = add_all(&node, &of, 0..count).lock().await.unwrap();
        let chunks = count.div_ceil(64);
        assert_eq!(counting.requests() - before, chunks, "{count} names");
        guard.release().await.unwrap();
        assert_eq!(counting.requests() - before, chunks + count.div_ceil(128));
    }
    // What was released comes again at the same price, also to one who does not wait.
    let before = counting.requests();
    let guard = add_all(&node, &grouped(&node), [3, 1, 2])
        .try_lock()
        .await
        .unwrap();
    guard.release().await.unwrap();
    assert_eq!(counting.requests() - before, 2);
    assert_nothing_left(&world.env, &[&node]).await;
}

#[tokio::test(start_paused = true)]
async fn names_apart_cost_a_request_each() {
    let world = World::new();
    let counting = Counting::new(world.store.clone());
    let node = counting.node(&world.env, "a").await;
    let of = mutexes(&node);
    let buckets: BTreeSet<Bucket> = (0..10).map(|id| of.name(id).unwrap().bucket()).collect();
    assert_eq!(buckets.len(), 10, "choose other ids");
    let guard = add_all(&node, &of, 0..10).lock().await.unwrap();
    assert_eq!(counting.requests(), 10);
    guard.release().await.unwrap();
    assert_eq!(counting.requests(), 20);
}

#[tokio::test(start_paused = true)]
async fn fences_and_leases_are_in_the_order_in_which_they_were_added() {
    let world = World::new();
    let node = world.node("a").await;
    let (one, other) = (mutexes(&node), node.mutexes("other").unwrap());
    let all = node
        .lock_all()
        .add(&one, 9)
        .add(&other, "x")
        .add(&one, 2)
        .add(&other, "a");
    let guard = all.lock().await.unwrap();
    let names: Vec<_> = guard
        .leases()
        .iter()
        .map(|lease| lease.name().as_str())
        .collect();
    assert_eq!(names, ["m/9", "other/x", "m/2", "other/a"]);
    let fences = guard.fences();
    for (lease, fence) in guard.leases().iter().zip(&fences) {
        assert_eq!(guard.fence_of(lease.name()), Some(*fence));
        assert_eq!(lease.fence(), *fence);
    }
    assert_eq!(guard.fence_of(&one.name(7).unwrap()), None);
    assert!(guard.is_held() && guard.remaining() > TTL / 2);
    // Each keeps its class's settings.
    assert!(guard.leases()[1].remaining() > TTL * 2);
    guard.release().await.unwrap();
    let again = node.lock_all().add(&one, 9).lock().await.unwrap();
    assert!(again.fences()[0] > fences[0]);
    drop(again);
    assert_nothing_left(&world.env, &[&node]).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_locked_together_is_refused_before_anything_is_asked() {
    let world = World::new();
    let counting = Counting::new(world.store.clone());
    let (node, other) = (counting.node(&world.env, "a").await, world.node("b").await);
    let of = mutexes(&node);
    let twice = add_all(&node, &of, [7, 3, 7]).lock().await;
    let Err(Error::Together(TogetherError::Twice { name })) = twice else {
        panic!("{twice:?}");
    };
    assert_eq!(name.as_str(), "m/7");
    let strange = node
        .lock_all()
        .add(&of, 7)
        .add(&mutexes(&other), 8)
        .try_lock()
        .await;
    let Err(Error::Together(TogetherError::OtherClient { name })) = strange else {
        panic!("{strange:?}");
    };
    assert_eq!(name.as_str(), "m/8");
    let bad = node.lock_all().add(&of, "a\nb").lock().await;
    assert!(matches!(bad, Err(Error::Name(_))), "{bad:?}");
    let short = of.clone().ttl(ms(1));
    let bad = node.lock_all().add(&of, 1).add(&short, 2).lock().await;
    assert!(matches!(bad, Err(Error::Ttl(_))), "{bad:?}");
    assert_eq!(counting.requests(), 0);
    // None at all are locked at once, and never lost.
    let none = node.lock_all().try_lock().await.unwrap();
    assert!(none.is_held());
    none.run(world.env.sleep(Duration::from_secs(60)))
        .await
        .unwrap();
    none.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn if_one_is_taken_none_is() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    for of in [mutexes, grouped] {
        for taken in [0, 2, 4] {
            let guard = of(&b).lock(taken).await.unwrap();
            let refused = add_all(&a, &of(&a), 0..5).try_lock().await;
            let Err(Error::Busy(busy)) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(busy.name, of(&a).name(taken).unwrap());
            assert_eq!(busy.holder, "b");
            env.sleep(ms(100)).await;
            // Whoever wants the others has them.
            let rest = add_all(&b, &of(&b), (0..5).filter(|id| *id != taken));
            rest.try_lock().await.unwrap().release().await.unwrap();
            let (start, wait) = (env.now(), Duration::from_secs(1));
            let refused = add_all(&a, &of(&a), 0..5).lock_timeout(wait).await;
            assert!(refused.unwrap_err().is_busy());
            let took = env.now().since(start);
            assert!(took >= wait && took < wait + ms(300), "{took:?}");
            guard.release().await.unwrap();
            assert_nothing_left(env, &[&a, &b]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_holds_those_before_it_and_none_beyond() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    // Added in any order, they are locked in one: here by name, since all are of a group.
    let guard = grouped(&b).lock(2).await.unwrap();
    let all = add_all(&a, &grouped(&a), [4, 2, 0, 3, 1]);
    let waiting = env.spawn(all.lock());
    env.sleep(ms(100)).await;
    for (id, is_held) in [(0, true), (1, true), (3, false), (4, false)] {
        let tried = grouped(&b).try_lock(id).await;
        assert_eq!(tried.is_err(), is_held, "{id}");
        if let Ok(guard) = tried {
            guard.release().await.unwrap();
        }
    }
    // It is renewed meanwhile.
    env.sleep(TTL * 4).await;
    assert!(!waiting.is_finished());
    let start = env.now();
    guard.release().await.unwrap();
    let locked = waiting.await.unwrap().unwrap();
    assert!(env.now().since(start) < ms(5));
    assert!(locked.is_held());
    locked.release().await.unwrap();
    assert_nothing_left(env, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_while_another_is_waited_for_ends_the_wait() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    for of in [grouped, mutexes] {
        let mut ids: Vec<u64> = (0..3).collect();
        ids.sort_by_key(|id| {
            let name = of(&a).name(id).unwrap();
            (name.bucket(), name)
        });
        let guard = of(&b).lock(ids[2]).await.unwrap();
        let waiting = env.spawn(add_all(&a, &of(&a), 0..3).lock());
        env.sleep(Duration::from_secs(10)).await;
        let first = of(&a).name(ids[0]).unwrap();
        let start = env.now();
        assert!(world.behind.delete_holders("test", &first));
        let Err(Error::Lost(lost)) = waiting.await.unwrap() else {
            panic!("not lost");
        };
        assert_eq!((&lost.name, lost.cause), (&first, LostCause::Deleted));
        assert!(env.now().since(start) <= TTL, "not when the wait was over");
        guard.release().await.unwrap();
        assert_nothing_left(env, &[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_when_its_caller_says_so() {
    let world = World::new();
    let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
    let guard = grouped(&b).lock(1).await.unwrap();
    let stop = env.sleep(Duration::from_secs(3000));
    let stopped = add_all(&a, &grouped(&a), [2, 1, 0]).lock_until(stop).await;
    let Err(Error::Cancelled { name }) = stopped else {
        panic!("{stopped:?}");
    };
    assert_eq!(name.as_str(), "m/{g}/2");
    env.sleep(ms(100)).await;
    // A store that goes away is asked again until it is back.
    let waiting = env.spawn(add_all(&a, &grouped(&a), 0..3).lock_until(std::future::pending()));
    env.sleep(ms(100)).await;
    world.store.cut(a.node());
    guard.release().await.unwrap();
    env.sleep(Duration::from_secs(2)).await;
    world.store.heal(a.node());
    let locked = waiting.await.unwrap();
    locked.unwrap().release().await.unwrap();
    assert_nothing_left(env, &[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing_whenever_that_is() {
    for (of, seed) in [(grouped as fn(&Coordinator) -> Mutexes, 1), (mutexes, 2)] {
        let world = World::of(seed);
        let (env, a, b) = (&world.env, world.node("a").await, world.node("b").await);
        world.store.set_faults(Faults {
            delay_before: ms(10),
            delay_after: ms(10),
            ..Faults::none()
        });
        for after in 0..60 {
            let guard = of(&b).lock(after % 4).await.unwrap();
            let locking = add_all(&a, &of(&a), 0..4).lock();
            let late = env.spawn({
                let env = env.clone();
                async move {
                    env.sleep(ms(20)).await;
                    drop(guard);
                }
            });
            drop(env.timeout(ms(after * 2), locking).await);
            late.await.unwrap();
            let taken = add_all(&b, &of(&b), 0..4).lock().await.unwrap();
            taken.release().await.unwrap();
        }
        assert_nothing_left(env, &[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_guard_speaks_for_all_of_them() {
    let world = World::new();
    let (env, node) = (&world.env, world.node("a").await);
    let lock = || add_all(&node, &grouped(&node), [3, 1, 2]).lock();
    let name = grouped(&node).name(1).unwrap();

    let guard = lock().await.unwrap();
    let memory = world.behind.clone();
    let gone = {
        let (env, name) = (env.clone(), name.clone());
        env.clone().spawn(async move {
            env.sleep(Duration::from_secs(5)).await;
            memory.delete_holders("test", &name);
        })
    };
    let Err(Error::Lost(lost)) = guard.run(std::future::pending::<()>()).await else {
        panic!("not lost");
    };
    gone.await.unwrap();
    assert_eq!(lost.name, name);
    assert_eq!(guard.lost().await, lost);
    assert_eq!(guard.check(), Err(lost.clone()));
    assert!(!guard.is_held() && guard.remaining().is_zero());
    // The others are held until it goes, and given back with it.
    assert!(guard.leases()[0].is_held());
    assert!(matches!(guard.release().await, Err(Error::Lost(of)) if of == lost));
    assert_nothing_left(env, &[&node]).await;

    // One that was gone by the time of the release, unheard.
    let guard = lock().await.unwrap();
    world.behind.delete_holders("test", &name);
    let Err(Error::Lost(lost)) = guard.release().await else {
        panic!("not lost");
    };
    assert_eq!((lost.name, lost.cause), (name, LostCause::Deleted));
    assert_nothing_left(env, &[&node]).await;

    // Dropped, all are given back; and a task may have it.
    let guard = lock().await.unwrap();
    env.spawn(async move { drop(guard) }).await.unwrap();
    assert_nothing_left(env, &[&node]).await;

    // A loss says more than a store that does not answer for the others.
    let guard = lock().await.unwrap();
    world
        .behind
        .delete_holders("test", &guard.leases()[1].name().clone());
    let lost = guard.lost().await;
    world.store.cut(node.node());
    let released = guard.release().await;
    assert!(
        matches!(&released, Err(Error::Lost(of)) if *of == lost),
        "{released:?}"
    );
    world.store.heal(node.node());
    env.sleep(TTL).await;
    assert_nothing_left(env, &[&node]).await;

    // A store that does not answer is no loss.
    let guard = lock().await.unwrap();
    world.store.cut(node.node());
    let released = guard.release().await;
    assert!(
        released.as_ref().unwrap_err().is_unavailable(),
        "{released:?}"
    );
    world.store.heal(node.node());
    env.sleep(TTL).await;
    assert_nothing_left(env, &[&node]).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_answer_is_lost_is_asked_again() {
    let world = World::new();
    let (env, node) = (&world.env, world.node("a").await);
    let mut acknowledged = 0;
    for _ in 0..50 {
        let guard = add_all(&node, &grouped(&node), 0..3).lock().await.unwrap();
        world.store.set_faults(Faults {
            lost_replies: 300,
            ..Faults::none()
        });
        match guard.release().await {
            Ok(()) => acknowledged += 1,
            // Not known is not lost: it was released, by a request whose answer was.
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
        world.store.set_faults(Faults::none());
    }
    assert!(acknowledged > 30, "{acknowledged} of 50");
    assert_nothing_left(env, &[&node]).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_answer_is_lost_is_asked_again() {
    let world = World::new();
    let (env, node) = (&world.env, world.node("a").await);
    for _ in 0..50 {
        world.store.set_faults(Faults {
            lost_replies: 300,
            ..Faults::none()
        });
        let guard = add_all(&node, &grouped(&node), 0..5).lock().await.unwrap();
        world.store.set_faults(Faults::none());
        guard.release().await.unwrap();
    }
    assert_nothing_left(env, &[&node]).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_that_has_one_of_them_is_told() {
    let world = World::new();
    let node = world.node("a").await;
    let told = node.env().clone().spawn(async move {
        let guard = grouped(&node).lock(2).await.unwrap();
        let locked = add_all(&node, &grouped(&node), 0..4).lock().await;
        drop(guard);
        locked.map(drop)
    });
    let Err(Error::Relock(relock)) = told.await.unwrap() else {
        panic!("not told");
    };
    assert_eq!(relock.name.as_str(), "m/{g}/2");
    assert!(
        relock.asked_at.file().ends_with("lock_all.rs"),
        "{}",
        relock.asked_at
    );
}

fn is_send<T: Send + 'static>(value: T) -> T {
    value
}

#[tokio::test(start_paused = true)]
async fn guards_and_calls_are_send() {
    let world = World::new();
    let node = world.node("a").await;
    let all = || add_all(&node, &mutexes(&node), 0..3);
    let guard: MultiGuard = is_send(is_send(all().lock()).await.unwrap());
    is_send(guard.release()).await.unwrap();
    drop(is_send(all().try_lock()));
    drop(is_send(all().lock_timeout(ms(1))));
    drop(is_send(all().lock_until(std::future::pending())));
}

/// Who is inside what: nobody beside another.
#[derive(Default)]
struct Rooms(Mutex<std::collections::BTreeMap<ResourceName, AtomicI64>>);

impl Rooms {
    fn enter(&self, guard: &MultiGuard) {
        let mut rooms = self.0.lock().unwrap();
        for lease in guard.leases() {
            let room = rooms.entry(lease.name().clone()).or_default();
            assert_eq!(
                room.fetch_add(1, Ordering::SeqCst),
                0,
                "two in {}",
                lease.name()
            );
        }
    }

    fn leave(&self, guard: &MultiGuard) {
        let rooms = self.0.lock().unwrap();
        for lease in guard.leases() {
            rooms[lease.name()].fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A fleet whose tasks lock random subsets, added in random order, some in groups and some not. Answers how often that was
/// done.
async fn crowd(seed: u64, faults: Faults) -> u64 {
    const NODES: usize = 4;
    const TASKS: usize = 5;
    let world = World::of(seed);
    let env = &world.env;
    let mut nodes = Vec::new();
    for n in 0..NODES {
        nodes.push(world.node(&format!("node-{n}")).await);
    }
    world.store.set_faults(faults);
    let (rooms, turns) = (Arc::new(Rooms::default()), Arc::new(AtomicU64::new(0)));
    let end = env.now() + Duration::from_secs(15);
    let mut tasks = Vec::new();
    for n in 0..NODES * TASKS {
        let node = nodes[n % NODES].clone();
        let (env, rooms, turns) = (env.clone(), Arc::clone(&rooms), Arc::clone(&turns));
        tasks.push(env.clone().spawn(async move {
            let ttl = Duration::from_secs(5);
            let classes = [
                grouped(&node).ttl(ttl),
                mutexes(&node).ttl(ttl),
                node.mutexes("other").unwrap().ttl(ttl).group("g").unwrap(),
                node.mutexes("other").unwrap().ttl(ttl),
            ];
            while env.now() < end {
                let mut wanted = BTreeSet::new();
                for _ in 0..=env.random(4) {
                    wanted.insert((env.random(4), env.random(3)));
                }
                let mut wanted: Vec<_> = wanted.into_iter().collect();
                let mut all = node.lock_all();
                while !wanted.is_empty() {
                    let at = usize::try_from(env.random(wanted.len() as u64)).unwrap();
                    let (class, id) = wanted.swap_remove(at);
                    all = all.add(&classes[usize::try_from(class).unwrap()], id);
                }
                let guard = match env.random(8) {
                    0 => all.try_lock().await,
                    1 => all.lock_timeout(ms(env.random(500))).await,
                    2 => {
                        let patience = ms(env.random(300));
                        let Ok(locked) = env.timeout(patience, all.lock()).await else {
                            continue;
                        };
                        locked
                    }
                    _ => all.lock_timeout(Duration::from_secs(40)).await,
                };
                match guard {
                    Ok(guard) => {
                        rooms.enter(&guard);
                        // Lost, it is not alone any more.
                        drop(guard.run(env.sleep(ms(env.random(20)))).await);
                        rooms.leave(&guard);
                        turns.fetch_add(1, Ordering::Relaxed);
                        if env.random(4) == 0 {
                            drop(guard);
                        } else {
                            drop(guard.release().await);
                        }
                    }
                    Err(Error::Busy(_) | Error::Unavailable { .. } | Error::Lost(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                env.sleep(ms(env.random(10))).await;
            }
        }));
    }
    let all = async {
        for task in tasks {
            task.await.unwrap();
        }
    };
    // Whoever still waits then waits in a circle, until a wait is over.
    let in_time = env.timeout(Duration::from_secs(50), all).await;
    in_time.expect("a deadlock");
    world.store.set_faults(Faults::none());
    env.sleep(Duration::from_secs(10)).await;
    assert_nothing_left(env, &nodes.iter().collect::<Vec<_>>()).await;
    turns.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_locks_anything_in_any_order_never_stands_still() {
    for seed in 0..3 {
        let turns = crowd(seed, Faults::none()).await;
        assert!(turns > 500, "{turns} turns");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_on_a_bad_network_never_stands_still() {
    for seed in 10..13 {
        let turns = crowd(seed, Faults::mild()).await;
        assert!(turns > 75, "{turns} turns");
    }
}

/// Dijkstra's: each takes the fork at his left, and the one at his right.
async fn dine(nodes: &[Coordinator], env: &Env, of: fn(&Coordinator) -> Mutexes) {
    const ROUNDS: usize = 50;
    let mut philosophers = Vec::new();
    for n in 0..5_u64 {
        let at = usize::try_from(n).unwrap() % nodes.len();
        let (node, env) = (nodes[at].clone(), env.clone());
        philosophers.push(env.clone().spawn(async move {
            for _ in 0..ROUNDS {
                let forks = node
                    .lock_all()
                    .add(&of(&node), n)
                    .add(&of(&node), (n + 1) % 5);
                let forks = forks.lock().await.unwrap();
                env.sleep(ms(5)).await;
                forks.release().await.unwrap();
            }
        }));
    }
    let dinner = async {
        for philosopher in philosophers {
            philosopher.await.unwrap();
        }
    };
    let in_time = env.timeout(Duration::from_secs(30), dinner).await;
    in_time.expect("they starve");
}

#[tokio::test(start_paused = true)]
async fn philosophers_dine_at_one_table_or_over_the_network() {
    for of in [mutexes, grouped] {
        for places in [1, 2, 5] {
            let world = World::new();
            let mut nodes = Vec::new();
            for n in 0..places {
                nodes.push(world.node(&format!("place-{n}")).await);
            }
            dine(&nodes, &world.env, of).await;
            assert_nothing_left(&world.env, &nodes.iter().collect::<Vec<_>>()).await;
        }
    }
}

#[test]
fn a_group_says_where_its_names_live() {
    let other = Class::new("other").unwrap();
    let names = ["{g}/1", "{g}/x/y"].map(|id| other.resource(id).unwrap());
    assert_eq!(names[0].bucket(), names[1].bucket());
}
