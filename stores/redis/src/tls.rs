//! Certificates: the CA's, and the client's own.

use std::path::{Path, PathBuf};

use leasehold_core::store::{StoreError, StoreErrorKind};
use redis::{ClientTlsConfig, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, RootCertStore};

use crate::address::OPEN;

/// A text in PEM, or the file that has it. Files are read at each connect, so that renewed ones are taken up.
#[derive(Clone)]
pub(crate) enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

/// What is known beside the system's own CAs. No `Debug`: it holds a private key.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    pub(crate) ca: Option<Pem>,
    pub(crate) client: Option<(Pem, Pem)>,
}

impl Tls {
    pub(crate) fn is_set(&self) -> bool {
        self.ca.is_some() || self.client.is_some()
    }

    /// Reads and checks them. The parsers' own texts are not repeated: one of the files is a key.
    pub(crate) fn certificates(&self) -> Result<TlsCertificates, StoreError> {
        ensure_provider();
        let root_cert = self.ca.as_ref().map(ca).transpose()?;
        let client_tls = self.client.as_ref().map(|(certificate, key)| {
            let certificate = read(certificate, "the client certificate")?;
            if !all_are_certificates(&certificate) {
                return Err(config("the client certificate is not one in PEM"));
            }
            let key = read(key, "the client certificate's key")?;
            if PrivateKeyDer::from_pem_slice(&key).is_err() {
                return Err(config(
                    "the client certificate's key is not a private key in PEM (and must not be encrypted)",
                ));
            }
            Ok(ClientTlsConfig {
                client_cert: certificate,
                client_key: key,
            })
        });
        Ok(TlsCertificates {
            client_tls: client_tls.transpose()?,
            root_cert,
        })
    }
}

fn ca(pem: &Pem) -> Result<Vec<u8>, StoreError> {
    let bytes = read(pem, "the CA's certificate")?;
    let mut roots = RootCertStore::empty();
    let is_root = |der: CertificateDer<'static>| roots.add(der).is_ok();
    let are_roots = all_are_certificates(&bytes)
        && CertificateDer::pem_slice_iter(&bytes)
            .flatten()
            .all(is_root);
    if are_roots {
        Ok(bytes)
    } else {
        Err(config("the CA's certificate is not one in PEM"))
    }
}

/// At least one, and nothing broken.
fn all_are_certificates(pem: &[u8]) -> bool {
    let mut any = false;
    CertificateDer::pem_slice_iter(pem).all(|der| {
        any = true;
        der.is_ok()
    }) && any
}

fn read(pem: &Pem, what: &str) -> Result<Vec<u8>, StoreError> {
    match pem {
        Pem::Text(bytes) => Ok(bytes.clone()),
        // Small local files, as the system's own CAs, which the driver reads just so.
        Pem::File(path) => std::fs::read(path).map_err(|error| {
            config(format!(
                "{what} cannot be read at {}: {error}",
                Path::display(path)
            ))
        }),
    }
}

fn config(text: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Config, OPEN, text)
}

/// The driver takes the process's default; without one, and with two compiled in, it would panic. One that the
/// application has chosen stays.
fn ensure_provider() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may have been quicker.
        drop(ring::default_provider().install_default());
    }
}

/// What a handshake failed of, and what to do.
pub(crate) fn explain(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};
    match error {
        // One of the same name, too, whose signature is another's.
        InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "the server's certificate was issued by a CA that is not known here: \
             give that CA's certificate with RedisStore::ca_certificate (?ca=FILE)"
                .into()
        }
        InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the server's certificate is for another host name: \
              use the name that stands in it, or have one issued for this name"
            .into(),
        InvalidCertificate(reason) => format!("the server's certificate is refused: {reason}"),
        AlertReceived(AlertDescription::CertificateRequired) => {
            "the server asks for a client certificate: \
             give one with RedisStore::client_certificate (?cert=FILE&key=FILE)"
                .into()
        }
        AlertReceived(alert) => {
            format!(
                "the server refused the handshake ({alert:?}): does it know the client certificate's CA?"
            )
        }
        InvalidMessage(_) => {
            "what answers there does not speak TLS: use redis://, or the server's TLS port".into()
        }
        other => format!("TLS failed: {other}"),
    }
}
