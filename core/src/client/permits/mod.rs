//! Permits of semaphores: what one client holds of a resource that many share by number.
//!
//! All permits of a client are one entry in the store, whose weight is what they take: a pool. It grows when a task of this
//! client asks for more, and shrinks when permits come back that no task here may have. While nobody waits elsewhere,
//! what comes back goes to the next task here, and the store hears nothing of it. Once somebody does, each unit is on a
//! visit, as a mutex is: it takes as many turns as tasks waited here when its visit began, and then goes back. For what it needs
//! more the pool stands in the store's queue with a second entry, which becomes part of the first once it was granted.

mod drive;
mod flight;
mod land;
mod next;
mod pool;
mod pools;
mod release;
mod size;
mod state;
mod units;
mod wait;

pub(super) use drive::run;
pub(super) use pool::Pool;
pub(super) use pools::Pools;
pub(super) use release::release;
pub(crate) use size::{check_name, resize, size};
pub(crate) use wait::{Want, acquire, acquire_until};
