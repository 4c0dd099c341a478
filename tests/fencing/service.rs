//! A service that keeps one value behind a gate: HTTP/1.1 as small as it gets.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use leasehold::Env;
use leasehold::fencing::http::{FenceGate, HEADER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Service {
    address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    gate: FenceGate,
    value: Mutex<String>,
}

impl Service {
    pub(crate) async fn start(env: &Env) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State::default());
        let (served, spawner) = (Arc::clone(&state), env.clone());
        env.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                spawner.spawn(async move { served.serve(stream).await.unwrap() });
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn value(&self) -> String {
        self.state.value.lock().unwrap().clone()
    }
}

impl State {
    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let answer = loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            if let Some(answer) = self.answer(std::str::from_utf8(&bytes).unwrap()) {
                break answer;
            }
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    /// None while the request is not whole.
    fn answer(&self, request: &str) -> Option<String> {
        let (head, body) = request.split_once("\r\n\r\n")?;
        let (line, headers) = head.split_once("\r\n")?;
        let header = |name: &str| {
            let mut headers = headers.lines().filter_map(|line| line.split_once(": "));
            headers.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
        };
        if body.len() < header("content-length")?.parse().unwrap() {
            return None;
        }
        let resource = line.strip_prefix("PUT /")?.strip_suffix(" HTTP/1.1")?;
        let write = |_| body.clone_into(&mut self.value.lock().unwrap());
        let fence = header(HEADER).map(str::as_bytes);
        let (status, stored) = match self.gate.write(resource, fence, write) {
            Ok(()) => (204, None),
            Err(refusal) => (refusal.status(), refusal.header()),
        };
        let mut answer = format!("HTTP/1.1 {status} -\r\nConnection: close\r\n");
        if let Some(stored) = stored {
            write!(answer, "{HEADER}: {stored}\r\n").unwrap();
        }
        Some(answer + "\r\n")
    }
}
