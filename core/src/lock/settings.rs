//! What a class of locks carries, whatever its locks are.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::{Fairness, Hold};
use crate::client::{Ask, Inner, Overdue, Seat, TaskId, acquire, acquire_until};
use crate::error::Error;
use crate::name::{Class, Group, NameError, ResourceName};
use crate::protocol::{Capacity, Weight};

const TTL: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(10);
const MAX_HOLD: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) inner: Arc<Inner>,
    pub(super) class: Class,
    pub(super) group: Option<Group>,
    pub(super) ttl: Duration,
    pub(super) wait: Duration,
    pub(super) max_hold: Duration,
    pub(super) label: Option<Arc<str>>,
    pub(super) warn_after: Option<Duration>,
    pub(super) fairness: Fairness,
    pub(super) same_task: bool,
}

impl Settings {
    pub(super) fn new(inner: Arc<Inner>, class: Class) -> Self {
        Self {
            inner,
            class,
            group: None,
            ttl: TTL,
            wait: WAIT,
            max_hold: MAX_HOLD,
            label: None,
            warn_after: None,
            fairness: Fairness::default(),
            same_task: false,
        }
    }

    pub(super) fn set_label(&mut self, note: &str) {
        self.label = Some(format!("{} {note}", self.inner.core.label).into());
    }

    /// What one of them is asked for with: all of it, or one unit of what any number may share.
    #[track_caller]
    pub(super) fn ask(
        &self,
        id: &dyn fmt::Display,
        weight: Weight,
        wait: Option<Duration>,
    ) -> Result<Ask, NameError> {
        let overdue = Overdue {
            after: self.warn_after,
            caller: Location::caller(),
        };
        let label = self.label.as_ref().unwrap_or(&self.inner.core.label);
        Ok(Ask {
            name: self.name(id)?,
            weight,
            capacity: Capacity::UNBOUNDED,
            ttl: self.ttl,
            wait,
            label: label.clone(),
            strict: self.fairness == Fairness::Strict,
            seat: Seat::new(Some(self.max_hold), overdue),
            may_relock: self.same_task,
        })
    }

    pub(super) fn name(&self, id: impl fmt::Display) -> Result<ResourceName, NameError> {
        match &self.group {
            Some(group) => self.class.resource(group.id(id)),
            None => self.class.resource(id),
        }
    }

    /// Acquires, and makes a guard of it. (In one piece: each future around a future is as large again.)
    #[track_caller]
    pub(super) fn acquire<G: 'static>(
        &self,
        id: &dyn fmt::Display,
        weight: Weight,
        wait: Option<Duration>,
        guard: fn(Hold) -> G,
    ) -> impl Future<Output = Result<G, Error>> + Send + use<G> {
        let (mut ask, inner) = (self.ask(id, weight, wait), Arc::clone(&self.inner));
        async move {
            // Used where it is: moved out, the future would have room for it twice.
            let ask = match &mut ask {
                Ok(ask) => ask,
                Err(error) => return Err(error.clone().into()),
            };
            ask.seat.task = TaskId::current();
            let held = acquire(&inner, ask).await?;
            Ok(guard(Hold::new(inner, held)))
        }
    }

    #[track_caller]
    pub(super) fn acquire_until<G: 'static, S: Future<Output = ()>>(
        &self,
        id: &dyn fmt::Display,
        weight: Weight,
        stop: S,
        guard: fn(Hold) -> G,
    ) -> impl Future<Output = Result<G, Error>> + use<G, S> {
        let (ask, inner) = (self.ask(id, weight, None), Arc::clone(&self.inner));
        async move {
            let held = acquire_until(&inner, ask?.by_this_task(), stop).await?;
            Ok(guard(Hold::new(inner, held)))
        }
    }

    pub(super) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("class", &self.class.as_str())
            .field("ttl", &self.ttl)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
