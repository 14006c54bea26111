//! By which names a gateway may be called that only its own machine reaches.
//!
//! Whoever owns a domain can have it mean this machine (DNS rebinding): a page from there is then of the gateway's own origin
//! to its browser, and reads whatever may be read without a word of who one is. Such a page cannot help to send its own
//! domain in `host`, so a gateway on loopback answers to addresses, `localhost` and the names that are told alone. One that
//! others reach has names that it need not know, and is not protected by being out of reach.

use std::net::IpAddr;

use http::{HeaderMap, Request, Uri, Version, header};

/// The hosts that requests may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hosts {
    /// All.
    #[default]
    Any,
    /// Addresses, `localhost`, what is below that, and these names, in lower case.
    Only(Box<[Box<str>]>),
}

impl Hosts {
    /// Those on loopback, and `names`. Each may be an origin or have a port, which are not looked at; `*` is all.
    pub fn local<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut only = Vec::new();
        for name in names {
            let host = name.split_once("://").map_or(name, |(_, host)| host);
            match name_of(host) {
                "*" => return Hosts::Any,
                host => only.push(host.to_ascii_lowercase().into()),
            }
        }
        Hosts::Only(only.into())
    }

    /// Whether it is answered. A request without a host is of no page.
    pub fn admit<B>(&self, request: &Request<B>) -> bool {
        let Hosts::Only(names) = self else { return true };
        let Some(host) = told(request.headers(), request.uri()) else { return true };
        let name = name_of(host);
        is_local(name) || names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The host that a request names, with its port: in its target, as HTTP/2 has it and HTTP/1.1 may (RFC 9112, 3.2.2), or by its
/// header.
pub(crate) fn told<'r>(headers: &'r HeaderMap, target: &'r Uri) -> Option<&'r str> {
    match target.authority() {
        Some(authority) => Some(authority.as_str()),
        // what is no text is no name either
        None => headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default()),
    }
}

/// Whether a request that came by a connection names one host, as it has to (RFC 9112, 3.2). One that was made here need not.
pub(crate) fn is_clear<B>(request: &Request<B>, by_connection: impl FnOnce() -> bool) -> bool {
    match request.headers().get_all(header::HOST).iter().count() {
        0 => request.version() != Version::HTTP_11 || request.uri().authority().is_some() || !by_connection(),
        lines => lines == 1,
    }
}

/// A host without its port, and without the brackets of an address.
pub(crate) fn name_of(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return address;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether a name means what it says whoever owns which domain: an address, or `localhost`, which browsers look up nowhere
/// (RFC 6761, 6.3).
pub(crate) fn is_local(name: &str) -> bool {
    let below = name.len().checked_sub(".localhost".len()).and_then(|from| name.get(from..));
    name.eq_ignore_ascii_case("localhost")
        || below.is_some_and(|below| below.eq_ignore_ascii_case(".localhost"))
        || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(hosts: &Hosts, host: &str) -> bool {
        let by_header = Request::get("/").header("host", host).body(()).unwrap();
        let by_target = Request::get(format!("http://{host}/")).body(()).unwrap();
        let admits = hosts.admit(&by_header);
        assert_eq!(admits, hosts.admit(&by_target), "{host}");
        admits
    }

    #[test]
    fn a_domain_that_nobody_named_is_not_admitted_where_only_the_machine_itself_calls() {
        let hosts = Hosts::local(["https://app.Example.com:8443", "proxy.test", "box.test:80"]);
        let own = [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "[::1]",
        ];
        for host in
            own.into_iter().chain(["app.example.com", "app.example.com:1", "PROXY.test.", "box.test:8080"])
        {
            assert!(admits(&hosts, host), "{host}");
        }
        let foreign = [
            "evil.test",
            "evil.test:8080",
            "localhost.evil.test",
            "127.0.0.1.evil.test:8080",
            "notlocalhost",
        ];
        for host in foreign.into_iter().chain(["xproxy.test", "com"]) {
            assert!(!admits(&hosts, host), "{host}");
            assert!(admits(&Hosts::Any, host), "{host}");
            assert!(admits(&Hosts::local(["proxy.test", "*"]), host), "{host}");
        }
        let unnamed = Request::get("/").body(()).unwrap();
        assert!(hosts.admit(&unnamed));
        let no_text = http::HeaderValue::from_bytes(b"\xff").unwrap();
        assert!(!hosts.admit(&Request::get("/").header("host", no_text).body(()).unwrap()));
    }
}
