//! What befalls the bytes on their way.

use std::time::Duration;

/// A way through a [`Proxy`](crate::Proxy).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Requests.
    ToServer,
    /// Replies and pushes.
    ToClient,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Pass,
    SwallowReplies,
    BlackHole,
}

/// What holds for all flows. They are numbered in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    pub(super) mode: Mode,
    /// Those with a smaller number are closed.
    pub(super) cut_below: u64,
    /// Those with a smaller number carry nothing.
    pub(super) frozen_below: u64,
    /// How many times it was healed.
    pub(super) heals: u64,
    to_server: Duration,
    to_client: Duration,
}

impl Weather {
    pub(super) fn heal(&mut self) {
        *self = Self {
            cut_below: self.cut_below,
            heals: self.heals + 1,
            ..Self::default()
        };
    }

    pub(super) fn delay(&self, direction: Direction) -> Duration {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
        }
    }

    pub(super) fn delay_mut(&mut self, direction: Direction) -> &mut Duration {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Whether what goes this way in this flow is lost.
    pub(super) fn loses(&self, flow: u64, direction: Direction) -> bool {
        flow < self.frozen_below
            || match self.mode {
                Mode::Pass => false,
                Mode::SwallowReplies => direction == Direction::ToClient,
                Mode::BlackHole => true,
            }
    }
}
