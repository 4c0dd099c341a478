//! What the background does for pools: asks the store for those who wait, hears of grants, gives back what guards left
//! that were dropped, and goes on with requests that were not answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::pool::Pool;
use super::size;
use super::state::Stand;
use crate::client::Core;
use crate::client::inbox::{Ear, Pushed};
use crate::client::tenure::Term;
use crate::env::Moment;
use crate::protocol::HEARTBEAT_US;
use crate::store::StoreHandle;

/// How often a pool in use looks whether its resource was resized.
const HEARTBEAT: Duration = Duration::from_micros(HEARTBEAT_US);

/// Runs until the core is stopped.
pub(in crate::client) async fn run(
    core: Arc<Core>,
    store: StoreHandle,
    mut drives: mpsc::UnboundedReceiver<Arc<Pool>>,
) {
    let mut drivers = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = core.stop.cancelled() => break,
            Some(pool) = drives.recv() => {
                drivers.retain(|driver: &tokio::task::JoinHandle<()>| !driver.is_finished());
                drivers.push(core.env.spawn(drive(Arc::clone(&core), store.clone(), pool)));
            }
        }
    }
    for driver in drivers {
        // It ended, one way or another.
        drop(driver.await);
    }
    core.pools.close(&core);
    while let Ok(pool) = drives.try_recv() {
        pool.abandon(&core);
    }
}

/// Watches over one, while there is anything to be done or to be heard.
async fn drive(core: Arc<Core>, store: StoreHandle, pool: Arc<Pool>) {
    let mut driving = Driving {
        core: &core,
        pool: &pool,
        has_ended: false,
    };
    let mut read = core.env.now();
    loop {
        let tenure = pool
            .state()
            .base
            .as_ref()
            .map(|base| Arc::clone(&base.tenure));
        // Before it is looked at.
        let changed = tenure.as_ref().map(|tenure| tenure.changed());
        if let Some(flight) = pool.take_off(&core) {
            tokio::select! {
                biased;
                () = core.stop.cancelled() => return,
                () = pool.fly(&core, &store, flight) => {}
            }
            continue;
        }
        let Some(watch) = watch(&core, &pool, read) else {
            // Said under the lock: who comes from now on has another one sent.
            driving.has_ended = true;
            core.pools.tidy(&pool);
            return;
        };
        if watch.is_deaf && core.listen(&store, pool.name().bucket()).await.is_ok() {
            // Who came to wait before that is told of by a renewal.
            if let Some(tenure) = &tenure {
                core.renewals.look_at(tenure.rid, core.env.now());
            }
        }
        if core.env.now() >= read + HEARTBEAT {
            read = core.env.now();
            let reading = size::read(&core, &store, pool.name());
            tokio::select! {
                biased;
                () = core.stop.cancelled() => return,
                found = reading => match found {
                    Ok(Some(stored)) => pool.state().take_in(&pool, stored),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, name = %pool.name(), "a size waits for the store"),
                },
            }
            continue;
        }
        tokio::select! {
            biased;
            () = core.stop.cancelled() => return,
            pushed = heard(watch.ear.as_ref()) => pool.hear(&core, pushed),
            () = pool.wake.notified() => {}
            () = either(changed) => {}
            () = core.env.sleep_until(watch.until) => {}
        }
    }
}

/// What is to be watched.
struct Watch {
    ear: Option<Ear>,
    until: Moment,
    /// Others may come to wait elsewhere without a word.
    is_deaf: bool,
}

/// `None`: nothing is left to be done, and it is not driven from now on.
fn watch(core: &Core, pool: &Pool, read: Moment) -> Option<Watch> {
    let mut state = pool.state();
    if !state.has_work() && !state.is_flying {
        state.is_driven = false;
        return None;
    }
    let now = core.env.now();
    let mut until = read + HEARTBEAT;
    if state.pause_until > now {
        until = until.min(state.pause_until);
    }
    let asking = state.asking.as_ref();
    if let Some(asking) = asking {
        until = until.min(asking.attempt.until());
        if let Stand::Queued { again } = asking.stand {
            until = until.min(again);
        }
    }
    let mailbox = asking.and_then(|asking| asking.attempt.mailbox.as_ref());
    let is_deaf = state.base.is_some() && !core.is_listening(pool.name().bucket());
    Some(Watch {
        ear: mailbox.map(super::super::inbox::Mailbox::ear),
        // Not over and over, should something be due that can't be done just now.
        until: until.max(now + Duration::from_millis(1)),
        is_deaf,
    })
}

async fn heard(ear: Option<&Ear>) -> Option<Pushed> {
    match ear {
        Some(ear) => ear.pushed().await,
        None => std::future::pending().await,
    }
}

async fn either(changed: Option<impl Future<Output = ()>>) {
    match changed {
        Some(changed) => changed.await,
        None => std::future::pending().await,
    }
}

/// Being a pool's driver.
struct Driving<'a> {
    core: &'a Arc<Core>,
    pool: &'a Arc<Pool>,
    has_ended: bool,
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        self.pool.state().is_driven = false;
        if !self.core.stop.is_cancelled() {
            // It panicked: another one goes on.
            self.pool.proceed(self.core);
        }
    }
}

impl Pool {
    /// A push came for what asks: a grant, or a hint to look.
    fn hear(self: &Arc<Self>, core: &Arc<Core>, pushed: Option<Pushed>) {
        let mut state = self.state();
        let has_base = state.base.is_some();
        let Some(asking) = &mut state.asking else {
            return;
        };
        if !matches!(asking.stand, Stand::Queued { .. }) {
            return;
        }
        let now = core.env.now();
        let granted = pushed.filter(|pushed| pushed.handed.rid == asking.attempt.rid);
        let term = granted.and_then(|pushed| {
            let handed = pushed.handed;
            let sent = core.clock.date(&handed, pushed.receipt);
            // What becomes part of an entry ends with that one: when it was granted does not matter.
            let sent = sent.or(has_base.then_some(pushed.receipt))?;
            let term = Term {
                sent,
                store_us: handed.granted_us,
                remaining_us: handed.expires_us.saturating_sub(handed.granted_us),
            };
            (!term.is_over(now)).then_some(((handed.first, handed.end), term))
        });
        asking.stand = match term {
            Some((block, term)) => Stand::Granted {
                block,
                claimed: false,
                // Whether others wait the answer to its claim will tell.
                contended: true,
                term,
            },
            None => Stand::Queued { again: now },
        };
    }
}
