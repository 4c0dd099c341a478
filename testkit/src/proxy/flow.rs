//! One connection through the proxy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::weather::{Direction, Weather};

/// No gap.
const WHOLE: u64 = u64::MAX;

/// A connection that counts as open for as long as this exists.
pub(super) struct Flow {
    shared: Arc<Shared>,
    number: u64,
    /// In which weather, counted by heals, bytes were lost first.
    gap: AtomicU64,
}

impl Flow {
    pub(super) fn make(shared: Arc<Shared>) -> Self {
        let number = {
            let mut flows = shared.flows();
            let number = flows.made;
            flows.made += 1;
            flows.open.insert(number);
            number
        };
        Self {
            shared,
            number,
            gap: AtomicU64::new(WHOLE),
        }
    }

    fn lose(&self, weather: &Weather, bytes: usize) {
        self.gap.fetch_min(weather.heals, Ordering::SeqCst);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.shared.lost_bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    fn is_over(&self, weather: &Weather) -> bool {
        self.number < weather.cut_below || self.gap.load(Ordering::SeqCst) < weather.heals
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.shared.flows().open.remove(&self.number);
    }
}

/// Carries bytes both ways until both ends close, or it is cut. The connection to the server is made at once.
pub(super) async fn forward(flow: Flow, client: TcpStream) {
    let mut weather = flow.shared.weather.subscribe();
    let carrying = async {
        let Ok(server) = TcpStream::connect(("127.0.0.1", flow.shared.target())).await else {
            // Closed at once, as by a proxy whose server is gone.
            return;
        };
        // Failing to switch Nagle's algorithm off only makes the proxy slower.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            carry(&flow, Direction::ToServer, from_client, to_server),
            carry(&flow, Direction::ToClient, from_server, to_client),
        );
    };
    let over = weather.wait_for(|weather| flow.is_over(weather));
    tokio::select! {
        biased;
        _ = over => {}
        () = carrying => {}
    }
}

async fn carry(flow: &Flow, direction: Direction, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut weather = flow.shared.weather.subscribe();
    let mut buffer = vec![0; 64 * 1024];
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    // Nothing arrives after a gap, in fair weather neither.
    let (mut is_open, mut has_gap) = (true, false);
    while is_open || !under_way.is_empty() {
        let delay = weather.borrow_and_update().delay(direction);
        let due = under_way.front().map(|(sent, _)| sent.checked_add(delay));
        tokio::select! {
            biased;
            changed = weather.changed() => if changed.is_err() { return },
            () = arrival(due.flatten()) => {
                let Some((_, bytes)) = under_way.pop_front() else { continue };
                let now = weather.borrow().clone();
                has_gap |= now.loses(flow.number, direction);
                if has_gap {
                    flow.lose(&now, bytes.len());
                } else if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            read = from.read(&mut buffer), if is_open => match read {
                Ok(0) | Err(_) => is_open = false,
                Ok(length) => under_way.push_back((Instant::now(), buffer[..length].to_vec())),
            },
        }
    }
    let now = weather.borrow().clone();
    if has_gap || now.loses(flow.number, direction) {
        // Its end does not arrive either.
        flow.lose(&now, 0);
        std::future::pending::<()>().await;
    }
    // The other end may have gone already.
    let _ = to.shutdown().await;
}

async fn arrival(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
