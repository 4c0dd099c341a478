//! Who logs in, asked anew at each connect.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;

/// A user name and a password. Its `Debug` text has neither.
#[derive(Clone)]
pub struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: String,
}

impl Login {
    /// A user of the server's access control list.
    ///
    /// ```
    /// let login = leasehold_redis::Login::new("billing", "s3cret");
    /// assert!(!format!("{login:?}").contains("s3cret"));
    /// ```
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self {
            user: Some(user.into()),
            password: password.into(),
        }
    }

    /// The server's `default` user, as with `requirepass`.
    pub fn password(password: impl Into<String>) -> Self {
        Self {
            user: None,
            password: password.into(),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(***)")
    }
}

/// Why there are no credentials now. Its text is shown in errors and logs: it must have no secret in it.
pub type CredentialsError = Box<dyn Error + Send + Sync>;

/// Where credentials come from that change: a vault, a file, a cloud's token service.
///
/// # Contract
///
/// It is asked before every connect, so what it answers may be different each time. It has half the connect timeout;
/// if it fails or takes longer, the connect fails as *unknown* and is tried again. A connection that was made before the
/// password changed goes on: Redis asks at login only. Every asynchronous closure without arguments is one.
///
/// ```
/// use leasehold_redis::{CredentialsError, Login, RedisStore};
///
/// let store = RedisStore::new("redis://cache.example")?.credentials(async || {
///     let password = std::fs::read_to_string("/run/secrets/redis")?;
///     Ok::<_, CredentialsError>(Login::new("billing", password.trim()))
/// });
/// # Ok::<(), leasehold_core::store::StoreError>(())
/// ```
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Those that are right now.
    async fn login(&self) -> Result<Login, CredentialsError>;
}

#[async_trait]
impl<C, F> Credentials for C
where
    C: Fn() -> F + Send + Sync,
    F: Future<Output = Result<Login, CredentialsError>> + Send,
{
    async fn login(&self) -> Result<Login, CredentialsError> {
        self().await
    }
}
