//! Several locks at once.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::{Coordinator, Env, Error, LockAll, MultiGuard};

use crate::guard::Guard;
use crate::history::{How, Id};
use crate::plan::up_to;
use crate::recorder::{Call, Terms};
use crate::task::{FAREWELL, LONG_TTL, LONGEST_WAIT, Task, millis};
use crate::world::{REQUEST_TIMEOUT, World};

const GROUP: &str = "g";
const GROUPED: u64 = 3;
/// What follows when the wait is over: a request that was sent before, and one that tells who has it.
const AFTERMATH: Duration = Duration::from_millis(4250);

/// Takes one out, as chance will have it.
fn pick<T>(env: &Env, from: &mut Vec<T>) -> Option<T> {
    let at = env.random(from.len() as u64);
    (!from.is_empty()).then(|| from.swap_remove(usize::try_from(at).unwrap_or(0)))
}

impl Task {
    /// Some of the locks that others take one by one, and some that live together, in any order.
    pub(crate) async fn together(&self) -> Result<(), Error> {
        let single = (0..=self.world.plan.resources).map(|id| (id, false));
        let grouped = (0..GROUPED).map(|id| (id, true));
        let chosen = single.chain(grouped).filter(|_| self.draw(2) == 0);
        let mut chosen: Vec<_> = chosen.collect();
        let mut all = self.coord.lock_all();
        let mut terms = Vec::new();
        while let Some((id, is_grouped)) = pick(&self.world.env, &mut chosen) {
            let (mutexes, of) = self.mutexes(id)?;
            // Each counts from when it was granted, which nobody sees.
            let mutexes = mutexes.max_hold(LONG_TTL * 60);
            all = if is_grouped {
                all.add(&mutexes.group(GROUP)?, id)
            } else {
                all.add(&mutexes, id)
            };
            terms.push(Terms {
                max_hold: None,
                together: true,
                ..of
            });
        }
        let names = format!("{all:?}");
        let wait = self.up_to(LONGEST_WAIT);
        let guard = match self.draw(4) {
            0 => {
                let within = REQUEST_TIMEOUT + AFTERMATH;
                let calling = self
                    .recorder()
                    .call(self.call(&names, "try_lock all", within));
                let locked = all.try_lock().await;
                calling.end(&locked);
                locked?
            }
            1 => {
                let patience = self.up_to(wait);
                let what = format!("lock all, cancelled after {patience:?},");
                let calling = self.recorder().call(self.call(&names, what, patience));
                let locking = all.lock_timeout(wait);
                let Ok(locked) = self.env.timeout(patience, locking).await else {
                    calling.end_as(How::Cancelled);
                    return Ok(());
                };
                calling.end(&locked);
                locked?
            }
            _ => {
                let within = wait.max(REQUEST_TIMEOUT) + AFTERMATH;
                let what = format!("lock all, for {wait:?},");
                let calling = self.recorder().call(self.call(&names, what, within));
                let locked = all.lock_timeout(wait).await;
                calling.end(&locked);
                locked?
            }
        };
        self.hold_all(guard, &terms, &names).await
    }

    async fn hold_all(&self, guard: MultiGuard, terms: &[Terms], names: &str) -> Result<(), Error> {
        let guard = Arc::new(guard);
        let parts: Vec<(Id, Arc<Guard>)> = (terms.iter().enumerate())
            .map(|(at, terms)| {
                let part = Arc::new(Guard::Part(Arc::clone(&guard), at));
                let hold = self.recorder().held(self.node, &self.env, &part, *terms);
                (hold, part)
            })
            .collect();
        let look = || {
            for (hold, part) in &parts {
                self.recorder().looked(*hold, part.is_held());
            }
        };
        look();
        let longest = [millis(20), millis(500), millis(3000)];
        let longest = longest[usize::try_from(self.draw(3)).unwrap_or(0)];
        drop(guard.run(self.env.sleep(self.up_to(longest))).await);
        look();
        for (hold, part) in parts {
            self.recorder().gave_up(hold);
            drop(part);
        }
        let Ok(guard) = Arc::try_unwrap(guard) else {
            return Ok(());
        };
        if self.draw(3) == 0 {
            drop(guard);
            return Ok(());
        }
        let calling = (self.recorder()).call(self.call(names, "release all", REQUEST_TIMEOUT * 2));
        let released = guard.release().await;
        calling.end(&released);
        released
    }
}

/// Every lock at once, in any order, while others do the same: nobody waits for ever.
pub(crate) async fn lock_all(world: &World, node: u32, coord: &Coordinator) {
    for _ in 0..3 {
        let all = match everything(world, coord) {
            Ok(all) => all,
            Err(error) => return world.recorder.left(error.to_string()),
        };
        let wait = LONG_TTL * 2;
        let call = |what: &str, within| Call {
            node,
            resource: "all",
            hold: None,
            what: what.into(),
            within,
            must: true,
        };
        let within = wait + AFTERMATH + FAREWELL;
        let calling = world.recorder.call(call("lock", within));
        let locked = all.lock_timeout(wait).await;
        calling.end(&locked);
        if let Ok(guard) = locked {
            world.env.sleep(up_to(&world.env, millis(20))).await;
            let calling = world.recorder.call(call("release", REQUEST_TIMEOUT * 2));
            calling.end(&guard.release().await);
        }
    }
}

fn everything(world: &World, coord: &Coordinator) -> Result<LockAll, Error> {
    let mutexes = coord.mutexes("m")?.ttl(Duration::from_secs(3));
    let grouped = mutexes.clone().group(GROUP)?;
    let single = (0..=world.plan.resources).map(|id| (id, &mutexes));
    let mut left: Vec<_> = single
        .chain((0..GROUPED).map(|id| (id, &grouped)))
        .collect();
    let mut all = coord.lock_all();
    while let Some((id, mutexes)) = pick(&world.env, &mut left) {
        all = all.add(mutexes, id);
    }
    Ok(all)
}
