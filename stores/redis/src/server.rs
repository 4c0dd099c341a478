//! The server as it is dialled: address, certificates and who logs in.

use std::sync::Arc;

use leasehold_core::store::{Session, StoreError, StoreErrorKind};
use redis::{Client, ConnectionInfo};

use crate::login::Credentials;
#[cfg(feature = "tls")]
use crate::tls::Tls;

const CONNECT: &str = "connect";

/// What a connect needs. No `Debug`: it holds secrets.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) info: ConnectionInfo,
    pub(crate) address: String,
    pub(crate) credentials: Option<Arc<dyn Credentials>>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Tls,
}

impl Server {
    /// A client for the next connect: with the credentials and the certificates of this moment.
    pub(crate) async fn client(&self, session: &Session) -> Result<Client, StoreError> {
        let mut info = self.info.clone();
        if let Some(credentials) = &self.credentials {
            // Half of the time is left to connect in.
            let within = session.connect_timeout / 2;
            let asked = session.env.timeout(within, credentials.login()).await;
            let unknown = |text| StoreError::unknown(CONNECT, format!("{}: {text}", self.address));
            let login = asked
                .map_err(|_| {
                    unknown(format!(
                        "the credentials callback did not answer within {within:?}"
                    ))
                })?
                .map_err(|error| unknown(format!("the credentials callback failed: {error}")))?;
            let mut settings = info.redis_settings().clone();
            if let Some(user) = &login.user {
                settings = settings.set_username(user);
            }
            info = info.set_redis_settings(settings.set_password(&login.password));
        }
        let unusable = |_| {
            let text = format!("{}: the driver cannot use it", self.address);
            StoreError::new(StoreErrorKind::Config, CONNECT, text)
        };
        #[cfg(feature = "tls")]
        if matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) {
            return Client::build_with_tls(info, self.tls.certificates()?).map_err(unusable);
        }
        #[cfg(feature = "tls")]
        if self.tls.is_set() {
            let text = format!(
                "{}: certificates are for TLS: write rediss:// in place of redis://",
                self.address
            );
            return Err(StoreError::new(StoreErrorKind::Config, CONNECT, text));
        }
        Client::open(info).map_err(unusable)
    }
}
