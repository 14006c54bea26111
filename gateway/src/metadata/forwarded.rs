//! Whom a request comes from, as `x-forwarded-for`, `-proto` and `-host` tell it to services behind the gateway.
//!
//! The connection itself says so. What a request says counts only if a trusted proxy sent it: then the proxy's address is
//! put behind the chain that it tells. From anybody else the chain begins anew, so that nobody claims to be another.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use ipnet::IpNet;

use crate::config::MetadataConfig;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The other end of a connection, which whoever serves the gateway puts into the extensions of its requests. axum's
/// `ConnectInfo<SocketAddr>` does too, but does not tell whether the connection is encrypted.
#[derive(Clone, Debug)]
pub struct Peer(Arc<Told>);

#[derive(Debug)]
struct Told {
    address: IpAddr,
    printed: Option<HeaderValue>,
    proto: Option<HeaderValue>,
}

impl Peer {
    /// What is told of a connection from this address, `secure` if it is encrypted.
    pub fn new(address: SocketAddr, secure: bool) -> Self {
        let proto = HeaderValue::from_static(if secure { "https" } else { "http" });
        Self(Arc::new(Told { proto: Some(proto), ..Told::of(address) }))
    }

    /// Whether a request comes from anywhere, or was made in this process.
    pub(crate) fn is_known(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some() || extensions.get::<ConnectInfo<SocketAddr>>().is_some()
    }

    fn find(extensions: &Extensions) -> Option<Self> {
        let own = extensions.get::<Self>().cloned();
        let of_axum =
            || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| Self(Arc::new(Told::of(info.0))));
        own.or_else(of_axum)
    }
}

impl Told {
    fn of(address: SocketAddr) -> Self {
        // an IPv4 client of a listener for both is no other one
        let address = address.ip().to_canonical();
        Self { address, printed: HeaderValue::from_str(&address.to_string()).ok(), proto: None }
    }
}

/// Whether a header tells whom a request comes from: the three that are told anew, and all others that proxies put in,
/// such as the certificate of a client.
pub(super) fn tells_origin(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || name == "forwarded"
}

/// Whether proxies tell by a header of this name who a client is, each in its own way; nobody can list them all.
pub(super) fn is_of_proxies(name: &HeaderName) -> bool {
    const BEGINNINGS: [&str; 25] = [
        "cf-",
        "client-cert",
        "fastly-",
        "remote-",
        "ssl-client-",
        "true-client-",
        "x-amzn-",
        "x-appengine-",
        "x-arr-",
        "x-auth-request-",
        "x-authenticated-",
        "x-azure-",
        "x-client-cert",
        "x-client-dn",
        "x-client-ip",
        "x-client-verify",
        "x-cluster-client-",
        "x-envoy-",
        "x-goog-authenticated-",
        "x-goog-iap-",
        "x-ms-client-",
        "x-original-",
        "x-real-",
        "x-remote-",
        "x-ssl-",
    ];
    tells_origin(name)
        || *name == header::VIA
        || BEGINNINGS.iter().any(|known| name.as_str().starts_with(known))
}

/// Who is believed.
#[derive(Debug)]
pub(super) struct Forwarding {
    everybody: bool,
    proxies: Vec<IpNet>,
}

impl Forwarding {
    pub(super) fn new(config: &MetadataConfig) -> Self {
        Self { everybody: config.trust_forwarded, proxies: config.trusted_proxies.clone() }
    }

    fn trusts(&self, peer: Option<&Peer>) -> bool {
        self.everybody
            || peer.is_some_and(|peer| self.proxies.iter().any(|proxies| proxies.contains(&peer.0.address)))
    }

    /// Puts into `metadata` whom the request comes from, in place of what it holds, and takes away what else of the kind
    /// somebody says who is not believed. `authority` is the target's word for the host, which goes before the header's.
    pub(super) fn put(
        &self,
        headers: &HeaderMap,
        authority: Option<&Authority>,
        extensions: &Extensions,
        metadata: &mut HeaderMap,
    ) {
        let peer = Peer::find(extensions);
        let believed = self.trusts(peer.as_ref()).then_some(headers);
        if believed.is_none() {
            let claims: Vec<HeaderName> =
                metadata.keys().filter(|name| tells_origin(name)).cloned().collect();
            claims.iter().for_each(|name| drop(metadata.remove(name)));
        }
        let told = |name: &HeaderName| believed.and_then(|headers| headers.get(name)).cloned();
        let host = told(&HOST).or_else(|| HeaderValue::from_str(authority?.as_str()).ok());
        let host = host.or_else(|| headers.get(header::HOST).cloned());
        let proto = told(&PROTO).or_else(|| peer.as_ref()?.0.proto.clone());
        let chain = chain(believed, peer.as_ref());
        for (name, value) in [(FOR, chain), (HOST, host), (PROTO, proto)] {
            match value {
                Some(value) => drop(metadata.insert(name, value)),
                None => drop(metadata.remove(name)),
            }
        }
    }
}

/// The chain that is believed, if any, and the peer behind it. It may come in several headers.
fn chain(believed: Option<&HeaderMap>, peer: Option<&Peer>) -> Option<HeaderValue> {
    let peer = peer.and_then(|peer| peer.0.printed.clone());
    let Some(headers) = believed.filter(|headers| headers.contains_key(FOR)) else { return peer };
    let before = headers.get_all(FOR).into_iter().chain(&peer).filter(|line| !line.is_empty());
    let parts: Vec<&[u8]> = before.map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&parts.join(&b", "[..])).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: [(&str, &str); 3] =
        [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "gopher"), ("x-forwarded-host", "evil.test")];

    fn forwarded(proxies: &[&str], peer: Option<Peer>, headers: &[(&str, &str)]) -> [Option<String>; 3] {
        let trusted_proxies = proxies.iter().map(|network| network.parse().unwrap()).collect();
        let forwarding = Forwarding::new(&MetadataConfig { trusted_proxies, ..MetadataConfig::default() });
        let mut claimed = HeaderMap::new();
        for (name, value) in headers {
            claimed.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        if let Some(peer) = peer {
            extensions.insert(peer);
        }
        // whatever an allow list let through goes
        let mut metadata = claimed.clone();
        let authority = Authority::from_static("own.test:8080");
        forwarding.put(&claimed, Some(&authority), &extensions, &mut metadata);
        [FOR, PROTO, HOST].map(|name| Some(metadata.get(name)?.to_str().unwrap().to_owned()))
    }

    fn peer(address: &str, secure: bool) -> Option<Peer> {
        Some(Peer::new(address.parse().unwrap(), secure))
    }

    fn told(values: [&str; 3]) -> [Option<String>; 3] {
        values.map(|value| Some(value.to_owned()))
    }

    #[test]
    fn a_client_is_what_its_connection_says_and_not_what_it_claims() {
        let expected = told(["9.9.9.9", "https", "own.test:8080"]);
        assert_eq!(forwarded(&[], peer("9.9.9.9:1", true), &CLAIM), expected);
        assert_eq!(forwarded(&["10.0.0.0/8", "fd00::/8"], peer("9.9.9.9:1", true), &CLAIM), expected);
        // nobody is known, so nobody is trusted
        assert_eq!(forwarded(&["0.0.0.0/0"], None, &CLAIM), [None, None, Some("own.test:8080".to_owned())]);
    }

    #[test]
    fn what_other_proxies_tell_of_a_client_counts_from_a_trusted_one_alone() {
        let config = MetadataConfig {
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..MetadataConfig::default()
        };
        for (address, believed) in [("10.1.2.3:1", true), ("9.9.9.9:1", false)] {
            let mut extensions = Extensions::new();
            extensions.insert(peer(address, false).unwrap());
            let claimed: HeaderMap = ["x-forwarded-client-cert", "x-forwarded-port", "forwarded"]
                .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")))
                .into_iter()
                .collect();
            let mut metadata = claimed.clone();
            Forwarding::new(&config).put(&claimed, None, &extensions, &mut metadata);
            assert_eq!(claimed.keys().all(|name| metadata.contains_key(name)), believed, "{address}");
            assert_eq!(claimed.keys().any(|name| metadata.contains_key(name)), believed, "{address}");
        }
    }

    #[test]
    fn a_trusted_chain_keeps_the_order_of_its_lines() {
        let config = MetadataConfig { trust_forwarded: true, ..MetadataConfig::default() };
        let mut headers = HeaderMap::new();
        headers.append(FOR, HeaderValue::from_static("192.0.2.100"));
        headers.append(FOR, HeaderValue::from_static(""));
        headers.append(FOR, HeaderValue::from_static("192.0.2.101, 192.0.2.102"));
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 200], 12345))));
        let mut metadata = HeaderMap::new();
        Forwarding::new(&config).put(&headers, None, &extensions, &mut metadata);
        assert_eq!(metadata["x-forwarded-for"], "192.0.2.100, 192.0.2.101, 192.0.2.102, 192.0.2.200");
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_put_behind_those_before_it() {
        let two = [CLAIM[0], ("x-forwarded-for", "2.2.2.2, 3.3.3.3"), CLAIM[1], CLAIM[2]];
        for address in ["10.1.2.3:1", "[::ffff:10.1.2.3]:1"] {
            let found = forwarded(&["10.0.0.0/8"], peer(address, false), &two);
            assert_eq!(found, told(["1.1.1.1, 2.2.2.2, 3.3.3.3, 10.1.2.3", "gopher", "evil.test"]));
        }
        // a proxy that says nothing is a client like any other
        let silent = forwarded(&["fd00::/8"], peer("[fd00::1]:1", false), &[("host", "h.test")]);
        assert_eq!(silent, told(["fd00::1", "http", "own.test:8080"]));
    }
}
