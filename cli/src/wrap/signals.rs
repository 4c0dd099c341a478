//! The signals that are meant for the command.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// Forwarded, or (CHILD, TSTP) looked at.
const HEARD: [Signal; 9] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::TSTP,
    Signal::CHILD,
];
/// What ends a process that only waits.
const FATAL: [Signal; 6] = [
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
];

/// What came for this process, in order.
pub(crate) struct Signals {
    came: mpsc::UnboundedReceiver<Signal>,
    // A channel without senders would end: signals may all be ignored.
    _open: mpsc::UnboundedSender<Signal>,
}

impl Signals {
    /// Listens from now on. What this process was started to ignore (as by `nohup`) stays ignored, by the command too.
    pub(crate) fn listen() -> io::Result<Self> {
        let (into, came) = mpsc::unbounded_channel();
        let ignored = ignored();
        let env = leasehold::Env::system();
        for heard in HEARD {
            let number = heard.as_raw();
            if ignored & (1 << (number - 1)) != 0 {
                continue;
            }
            let mut stream = signal(SignalKind::from_raw(number))?;
            let into = into.clone();
            env.spawn(
                async move { while stream.recv().await.is_some() && into.send(heard).is_ok() {} },
            );
        }
        Ok(Self { came, _open: into })
    }

    /// The next one.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        match self.came.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }

    /// The number of the next one that ends a process which does not expect it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn fatal(&mut self) -> i32 {
        loop {
            let signal = self.next().await;
            if FATAL.contains(&signal) {
                return signal.as_raw();
            }
        }
    }
}

/// A bit for each signal, the first for signal 1; none where the system does not say (Linux does).
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
