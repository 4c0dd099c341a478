//! A store on one server: requests with a deadline.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use leasehold_core::store::{LeaseCall, QuotaCall, StoreError};
use leasehold_core::{Env, Moment};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::combine::{Combiner, Together};
use crate::error::{describe, refused};
use crate::keeper::Shared;
use crate::link::Link;
use crate::script::{Crowded, Script, Scripts};
use crate::unpacked::Unpacked;

/// One open store. Its keeper ends with it.
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scripts: Scripts,
    pub(crate) combiner: Combiner<LeaseCall>,
    pub(crate) quota_combiner: Combiner<QuotaCall>,
    pub(crate) unpacked: Unpacked,
    /// For the tasks that send what several callers ask.
    pub(crate) me: Weak<Connection>,
    /// Where these tasks run, as the driver does: a caller's own runtime may stop while they have others' calls.
    pub(crate) runtime: Handle,
    keeper: JoinHandle<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, namespace) = (&self.shared.address, &self.shared.session.namespace);
        write!(f, "RedisStore({address}, {namespace})")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Connection {
    /// Takes over a first connection.
    pub(crate) fn new(shared: Arc<Shared>, link: Arc<Link>, crowded: Crowded) -> Arc<Self> {
        let keeper = Arc::clone(&shared).keep(link);
        Arc::new_cyclic(|me| Self {
            keeper: shared.session.env.spawn(keeper),
            scripts: Scripts::new(crowded),
            combiner: Combiner::new(Together::AnyBuckets),
            quota_combiner: Combiner::new(Together::AnyBuckets),
            unpacked: Unpacked::default(),
            me: Weak::clone(me),
            runtime: Handle::current(),
            shared,
        })
    }

    /// When a request that starts now has to be answered.
    pub(crate) fn deadline(&self) -> Moment {
        let session = &self.shared.session;
        session.env.now() + session.request_timeout
    }

    /// Runs a script on `words`, which begin with the number of its keys.
    pub(crate) async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        words: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<Value, StoreError> {
        self.run_until(self.deadline(), operation, script, 1, words)
            .await
    }

    /// [`run`](Self::run) for one who has waited before, with so many calls.
    pub(crate) async fn run_until(
        &self,
        deadline: Moment,
        operation: &'static str,
        script: &Script,
        calls: usize,
        words: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<Value, StoreError> {
        let link = self.shared.link(operation, deadline).await?;
        let mut cmd = script.by_hash(calls);
        words(&mut cmd);
        let mut answer = self.exchange(operation, &link, &cmd, deadline).await?;
        if matches!(&answer, Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            // Only the node that lacks it gets the text: loading would go to every node of a cluster.
            let mut cmd = script.by_text();
            words(&mut cmd);
            answer = self.exchange(operation, &link, &cmd, deadline).await?;
        }
        answer.map_err(|error| self.refusal(operation, &link, &error))
    }

    /// Sends one command.
    pub(crate) async fn command(
        &self,
        operation: &'static str,
        link: &Link,
        cmd: &Cmd,
        deadline: Moment,
    ) -> Result<Value, StoreError> {
        let answer = self.exchange(operation, link, cmd, deadline).await?;
        answer.map_err(|error| self.refusal(operation, link, &error))
    }

    /// Sends several commands at once.
    pub(crate) async fn pipeline(
        &self,
        operation: &'static str,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        let deadline = self.deadline();
        let link = self.shared.link(operation, deadline).await?;
        let answers = self.send_all(operation, &link, pipeline, deadline).await?;
        let answers: Result<_, _> = answers.into_iter().collect();
        answers.map_err(|error| self.refusal(operation, &link, &error))
    }

    /// The outer error: no answer. The inner ones: the server's, to each command.
    pub(crate) async fn send_all(
        &self,
        operation: &'static str,
        link: &Link,
        pipeline: &Pipeline,
        deadline: Moment,
    ) -> Result<Vec<Result<Value, RedisError>>, StoreError> {
        let mut driver = link.driver.clone();
        let sent = pin!(driver.send_packed_commands(pipeline, 0, pipeline.len()));
        let answers = self.answered(operation, link, deadline, sent).await?;
        Ok(answers.into_iter().map(Value::extract_error).collect())
    }

    /// The outer error: no answer. The inner one: the server's.
    async fn exchange(
        &self,
        operation: &'static str,
        link: &Link,
        cmd: &Cmd,
        deadline: Moment,
    ) -> Result<Result<Value, RedisError>, StoreError> {
        let mut driver = link.driver.clone();
        // Pinned where it is made: whatever takes it by value has room for it twice.
        let sent = pin!(driver.send_packed_command(cmd));
        let answer = self.answered(operation, link, deadline, sent).await?;
        Ok(answer.extract_error())
    }

    async fn answered<T>(
        &self,
        operation: &'static str,
        link: &Link,
        deadline: Moment,
        sent: impl Future<Output = Result<T, RedisError>> + Send,
    ) -> Result<T, StoreError> {
        let Shared {
            session, address, ..
        } = &*self.shared;
        let heard = link.health.heard();
        let began = session.env.now();
        let mut silence = Silence {
            link,
            env: &session.env,
            heard,
            began,
            over: false,
        };
        let answer = session.env.timeout_from(began, deadline, sent).await;
        silence.over = true;
        match answer {
            Ok(Ok(answer)) => {
                link.health.hear();
                Ok(answer)
            }
            Ok(Err(error)) => {
                // What is left of the stream cannot be trusted to match questions.
                link.health.lose();
                let text = format!("{address}: {}", describe(&error));
                Err(StoreError::unknown(operation, text))
            }
            Err(_) => {
                // One that was late before it was sent has not listened for long.
                let patience = PATIENCE.min(session.request_timeout / 2);
                let listened = session.env.now().since(silence.began) >= patience;
                if listened && link.health.heard() == heard {
                    // Not slow but silent: a flow that lost its way stays dead for as long as TCP has patience.
                    link.health.lose();
                }
                let text = format!("{address}: no answer within {:?}", session.request_timeout);
                Err(StoreError::unknown(operation, text))
            }
        }
    }

    pub(crate) fn refusal(
        &self,
        operation: &'static str,
        link: &Link,
        error: &RedisError,
    ) -> StoreError {
        if error.code() == Some("READONLY") {
            // It was the primary; the address may lead to the new one.
            link.health.lose();
        }
        let Shared { address, keys, .. } = &*self.shared;
        refused(operation, address, keys, error)
    }
}

/// A caller that gave up on an answer after this long, with nothing else heard meanwhile, has found a dead connection.
const PATIENCE: Duration = Duration::from_millis(500);

/// Notices, when a request's future is dropped, that it met silence: a caller's own deadline may come before ours.
struct Silence<'a> {
    link: &'a Link,
    env: &'a Env,
    heard: u64,
    began: Moment,
    over: bool,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        let waited = || self.env.now().since(self.began) >= PATIENCE;
        if !self.over && self.link.health.heard() == self.heard && waited() {
            self.link.health.lose();
        }
    }
}
