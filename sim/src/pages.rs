//! What a node's tasks do with what several may read, and one may write.

use std::time::Duration;

use leasehold_core::{Error, Fairness, RwLocks};

use crate::guard::Guard;
use crate::history::How;
use crate::plan::one_of;
use crate::recorder::Terms;
use crate::task::{FAREWELL, LONGEST_WAIT, PAGES, Task, Way, millis};
use crate::world::REQUEST_TIMEOUT;

/// What a writer takes, and what there is.
pub(crate) const ALL: u32 = u32::MAX;

impl Task {
    pub(crate) async fn read_or_write(&self) -> Result<(), Error> {
        let id = self.draw(PAGES);
        let writes = self.draw(4) == 0;
        let (locks, terms) = self.locks(id, writes)?;
        let wait = self.up_to(LONGEST_WAIT);
        let ways = [Way::Try, Way::Wait, Way::Wait, Way::Until, Way::Cancel];
        let (name, verb) = (format!("p/{id}"), if writes { "write" } else { "read" });
        let in_time = wait + REQUEST_TIMEOUT + FAREWELL;
        let locked = match one_of(&self.world.env, &ways).unwrap_or(Way::Wait) {
            Way::Try => {
                let what = format!("try_{verb}");
                let calling = (self.recorder()).call(self.call(&name, what, REQUEST_TIMEOUT * 2));
                let locked = if writes {
                    locks.try_write(id).await.map(Guard::Writer)
                } else {
                    locks.try_read(id).await.map(Guard::Reader)
                };
                calling.end(&locked);
                locked
            }
            Way::Until => {
                let what = format!("{verb}_until({wait:?})");
                let calling = self.recorder().call(self.call(&name, what, wait));
                let stop = self.env.sleep(wait);
                let locked = if writes {
                    locks.write_until(id, stop).await.map(Guard::Writer)
                } else {
                    locks.read_until(id, stop).await.map(Guard::Reader)
                };
                calling.end(&locked);
                if let Err(Error::Cancelled { .. }) = locked {
                    return Ok(());
                }
                locked
            }
            Way::Wait | Way::With => {
                let what = format!("{verb}_timeout({wait:?})");
                let calling = self.recorder().call(self.call(&name, what, in_time));
                let locked = self.wait(&locks, id, terms, wait).await;
                calling.end(&locked);
                locked
            }
            Way::Cancel => {
                let patience = self.up_to(wait);
                let what = format!("{verb}_timeout({wait:?}), cancelled after {patience:?},");
                let calling = self.recorder().call(self.call(&name, what, patience));
                let locking = self.wait(&locks, id, terms, wait);
                let Ok(locked) = self.env.timeout(patience, locking).await else {
                    calling.end_as(How::Cancelled);
                    return Ok(());
                };
                calling.end(&locked);
                locked
            }
        };
        self.hold(locked?, terms).await
    }

    async fn wait(
        &self,
        locks: &RwLocks,
        id: u64,
        terms: Terms,
        wait: Duration,
    ) -> Result<Guard, Error> {
        if terms.weight != ALL {
            return locks.read_timeout(id, wait).await.map(Guard::Reader);
        }
        if self.draw(4) == 0 {
            // A mutex of that name is a writer.
            let mutexes = self.coord.mutexes("p")?.ttl(terms.ttl);
            let mutexes = mutexes.max_hold(terms.max_hold.unwrap_or(Duration::MAX));
            return mutexes.lock_timeout(id, wait).await.map(Guard::Mutex);
        }
        locks.write_timeout(id, wait).await.map(Guard::Writer)
    }

    fn ttl(&self, id: u64) -> Duration {
        match id {
            0 => millis(700),
            _ => self.world.plan.longest_hold / 2,
        }
    }

    fn locks(&self, id: u64, writes: bool) -> Result<(RwLocks, Terms), Error> {
        // Those who ask for the same TTL share.
        let ttl = match self.draw(16) {
            0 => millis(900),
            _ => self.ttl(id),
        };
        let fairness = match self.draw(8) {
            0 => Fairness::Strict,
            _ => Fairness::Visits,
        };
        let max_hold = match self.draw(4) {
            0 => millis(1200),
            _ => Duration::from_secs(3600),
        };
        let locks = self.coord.rw_locks("p")?;
        let terms = Terms {
            ttl,
            max_hold: Some(max_hold),
            weight: if writes { ALL } else { 1 },
            capacity: ALL,
            together: false,
        };
        Ok((locks.ttl(ttl).max_hold(max_hold).fairness(fairness), terms))
    }
}
