//! A private CA, and a server that speaks TLS.

use std::path::PathBuf;

use leasehold_testkit::{RedisServer, free_port};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

/// A CA that nobody knows.
pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "a private CA");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn client(&self) -> Identity {
        self.issue("billing", ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// A server with a TLS port, whose certificate is for 127.0.0.1 alone.
pub(crate) struct TlsServer {
    pub(crate) server: RedisServer,
    port: u16,
    dir: TempDir,
}

impl TlsServer {
    /// `clients` is `no`, or `yes` to demand a certificate of each.
    pub(crate) fn start(ca: &Ca, clients: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = ca.issue("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let port = free_port();
        let server = RedisServer::start_with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-ca-cert-file",
            &file("ca.pem", &ca.pem),
            "--tls-cert-file",
            &file("server.pem", &identity.certificate),
            "--tls-key-file",
            &file("server.key", &identity.key),
            "--tls-auth-clients",
            clients,
        ]);
        Self { server, port, dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }

    /// The same server under a name that its certificate is not for.
    pub(crate) fn url_by_name(&self) -> String {
        format!("rediss://localhost:{}", self.port)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}
