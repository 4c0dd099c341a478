//! What a request is limited by: its key.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use ::http::Request;
use ::http::header::HeaderName;

/// The key of a request, and what it costs. Closures `Fn(&Request<B>) -> Option<String>` are, and the functions of this module
/// make some.
///
/// A key becomes part of a name in the store, where operators see it: of what is secret, such as an API key, take a hash.
pub trait KeyOf<R> {
    /// Its key; nothing if it has none. One that no store would take (1 to 512 bytes, no control characters) counts as none.
    fn key(&self, request: &R) -> Option<String>;

    /// How many units it costs (1 unless said). One that costs none is not limited.
    fn units(&self, request: &R) -> u64 {
        let _ = request;
        1
    }
}

impl<R, F: Fn(&R) -> Option<String>> KeyOf<R> for F {
    fn key(&self, request: &R) -> Option<String> {
        self(request)
    }
}

/// By the value of a header field.
///
/// # Panics
/// If it is no name of a field: letters, digits and hyphens.
pub fn header(name: &str) -> Header {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    Header(parsed.unwrap_or_else(|_| panic!("`{name}` is no name of a header field")))
}

/// [`header`].
#[derive(Debug, Clone)]
pub struct Header(HeaderName);

impl<B> KeyOf<Request<B>> for Header {
    fn key(&self, request: &Request<B>) -> Option<String> {
        let value = request.headers().get(&self.0)?;
        Some(value.to_str().ok()?.to_owned())
    }
}

/// By the path of the URL.
pub fn path() -> Path {
    Path
}

/// [`path`].
#[derive(Debug, Clone, Copy)]
pub struct Path;

impl<B> KeyOf<Request<B>> for Path {
    fn key(&self, request: &Request<B>) -> Option<String> {
        Some(request.uri().path().to_owned())
    }
}

/// By the address of who asks, which the server left in an extension of the request, as axum does in a
/// `ConnectInfo<SocketAddr>`: `by::peer(|from: &ConnectInfo<SocketAddr>| from.0.ip())`.
///
/// Of an IPv6 address the network counts, its first 64 bits: whoever has one address has all of it. Behind a proxy all
/// addresses are the proxy's: take the [`header`] in which it tells the client's, if nobody else can set that.
pub fn peer<T, F>(address: F) -> Peer<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> IpAddr,
{
    let of = PhantomData;
    Peer { address, of }
}

/// [`peer`].
pub struct Peer<T, F> {
    address: F,
    of: PhantomData<fn(&T)>,
}

impl<T, F: Clone> Clone for Peer<T, F> {
    fn clone(&self) -> Self {
        let (address, of) = (self.address.clone(), PhantomData);
        Self { address, of }
    }
}

impl<T, F> fmt::Debug for Peer<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}

impl<B, T, F> KeyOf<Request<B>> for Peer<T, F>
where
    T: Send + Sync + 'static,
    F: Fn(&T) -> IpAddr,
{
    fn key(&self, request: &Request<B>) -> Option<String> {
        let address = (self.address)(request.extensions().get::<T>()?);
        Some(network(address))
    }
}

fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

/// As another key, and costs so many units.
///
/// ```
/// use http::{Method, Request};
/// use leasehold_ratelimit::layers::by::{self, KeyOf};
/// let key = by::costing(by::path(), |request: &Request<()>| match *request.method() {
///     Method::OPTIONS => 0,
///     Method::GET => 1,
///     _ => 5,
/// });
/// let request = Request::post("/orders").body(()).unwrap();
/// assert_eq!((key.key(&request).as_deref(), key.units(&request)), (Some("/orders"), 5));
/// ```
pub fn costing<R, K: KeyOf<R>, F: Fn(&R) -> u64>(key: K, units: F) -> Costing<K, F> {
    Costing { key, units }
}

/// [`costing`].
#[derive(Clone)]
pub struct Costing<K, F> {
    key: K,
    units: F,
}

impl<K: fmt::Debug, F> fmt::Debug for Costing<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Costing").field(&self.key).finish()
    }
}

impl<R, K: KeyOf<R>, F: Fn(&R) -> u64> KeyOf<R> for Costing<K, F> {
    fn key(&self, request: &R) -> Option<String> {
        self.key.key(request)
    }

    fn units(&self, request: &R) -> u64 {
        (self.units)(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_an_address_has_its_network() {
        for (address, key) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(network(address), key);
        }
    }
}
