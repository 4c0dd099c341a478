//! Decisions that are made here, by what the store gave or told before.

use std::sync::Arc;
use std::time::Duration;

use leasehold_core::Moment;

use crate::limiter::Limiter;
use crate::metrics::Shared;
use crate::shares::{LocalShares, Slots};
use crate::slot::{Local, Slot};
use crate::{Decision, Error, Limited, Source, Unavailable};

impl Limiter {
    /// As [`check`](Self::check), for a limiter that keeps something of its keys here.
    pub(crate) async fn check_here(
        self: &Arc<Self>,
        slots: &Slots,
        id: &str,
        cost: u64,
    ) -> Result<Decision, Error> {
        if cost == 0 {
            self.check_cost(cost)?;
        }
        let now = self.coord.env().now();
        let local = slots.with(id, |slot| slot.decide(cost, now));
        if let Some(Local::Allowed(allowed)) = local {
            // It is counted with the others of its share.
            return Ok(Decision::Allowed(allowed));
        }
        self.check_cost(cost)?;
        if let Some(Local::Limited(limited)) = local {
            return Ok(self.denied_here(limited, now));
        }
        match &self.shares {
            Some(shares) if cost <= crate::slot::MOST_UNITS => {
                self.take_share(shares, &slots.get(id)?, cost).await
            }
            _ => self.ask_and_note(slots, id, cost).await,
        }
    }

    fn denied_here(self: &Arc<Self>, limited: Limited, now: Moment) -> Decision {
        self.metrics.denied(limited.source);
        if self.live.is_due(now) {
            self.look_behind();
        }
        Decision::Limited(limited)
    }

    /// Asks the store, and keeps a denial in mind.
    async fn ask_and_note(
        self: &Arc<Self>,
        slots: &Slots,
        id: &str,
        cost: u64,
    ) -> Result<Decision, Error> {
        let name = self.class.resource(id)?;
        let one = match self.take(&name, cost, Duration::ZERO).await {
            Ok(one) => one,
            Err(error) => return self.instead(&name, cost, error),
        };
        let decision = self.decision(one.first(), cost, Source::Store)?;
        if let Decision::Limited(limited) = &decision {
            let sent = one.taken.sent;
            let until = sent + limited.retry_after;
            (slots.get(id)?).deny(cost, &one.first().standing, sent, until);
        }
        self.counted(&decision, cost);
        Ok(decision)
    }

    fn instead(
        &self,
        name: &leasehold_core::ResourceName,
        cost: u64,
        error: Error,
    ) -> Result<Decision, Error> {
        let (decision, _) = self.without_store(name, cost, Duration::ZERO, error)?;
        self.counted(&decision, cost);
        Ok(decision)
    }

    /// Takes the next share of a key, of which `cost` units are used at once. One of the key's tasks asks, the others wait for
    /// what it gets.
    async fn take_share(
        self: &Arc<Self>,
        shares: &LocalShares,
        slot: &Arc<Slot>,
        cost: u64,
    ) -> Result<Decision, Error> {
        let env = self.coord.env();
        let deadline = env.now() + self.budget;
        let Ok(mut demand) = env.timeout_at(deadline, slot.taking.lock()).await else {
            return self.instead(&slot.name, cost, self.too_late(shares));
        };
        let mut came_too_late = false;
        loop {
            let now = env.now();
            match slot.decide(cost, now) {
                Local::Allowed(allowed) => return Ok(Decision::Allowed(allowed)),
                Local::Limited(limited) => return Ok(self.denied_here(limited, now)),
                Local::Ask => {}
            }
            if now >= deadline {
                drop(demand);
                return self.instead(&slot.name, cost, self.too_late(shares));
            }
            let wanted = slot.wanted(&mut demand, cost, now);
            let taken = self.take_some(&slot.name, wanted, cost, Duration::ZERO, deadline);
            let one = match taken.await {
                Ok(one) => one,
                Err(error) => {
                    drop(demand);
                    let is_late = came_too_late && error.is_unavailable();
                    let error = if is_late {
                        self.too_late(shares)
                    } else {
                        error
                    };
                    return self.instead(&slot.name, cost, error);
                }
            };
            let (sent, received) = (one.taken.sent, env.now());
            let (units, standing) = (one.first().units, &one.first().standing);
            if units == 0 {
                let decision = self.decision(one.first(), cost, Source::Store)?;
                slot.deny(cost, standing, sent, sent + decision.retry_after());
                self.counted(&decision, cost);
                return Ok(decision);
            }
            (self.metrics).overshoot(shares.used_overshoot(standing.remaining));
            let until = shares.until(sent, received);
            if received >= until && !crate::planted::planted(crate::planted::Bug::ShareLastsForever)
            {
                // It was long on its way: nobody may use it any more.
                self.metrics.shared(Shared::Taken, units);
                self.metrics.shared(Shared::Wasted, units);
                came_too_late = true;
                continue;
            }
            let left = slot.install(&mut demand, units, cost, standing, sent, until);
            let allowed = slot.allowed(left, received, Source::Store);
            return Ok(Decision::Allowed(allowed));
        }
    }

    fn too_late(&self, shares: &LocalShares) -> Error {
        self.unavailable(Unavailable::TooLate {
            budget: self.budget,
            lasting: shares.lasts(),
        })
    }
}
