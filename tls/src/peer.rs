//! Who the other side is, by the certificate that it has shown. Only verified certificates come here.

use rustls::CommonState;
use std::net::IpAddr;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The names of a peer, from its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerIdentity {
    /// URIs among its alternative names, such as `spiffe://example.org/orders`.
    pub uris: Vec<String>,
    /// DNS names among them.
    pub dns: Vec<String>,
    /// Addresses among them.
    pub addresses: Vec<IpAddr>,
    /// Its subject as RFC 4514 writes it, `CN=orders,O=Example`; empty where it has none.
    pub subject: String,
}

impl PeerIdentity {
    /// The other side of a connection that has shaken hands; nothing if it has shown no certificate.
    pub fn of(connection: &CommonState) -> Option<Self> {
        let certificate = connection.peer_certificates()?.first()?;
        // rustls has read it already; what has names in a form that we do not know still is somebody
        Some(
            Certificate::from_der(certificate)
                .map(|certificate| Self::named(&certificate))
                .unwrap_or_default(),
        )
    }

    fn named(certificate: &Certificate) -> Self {
        let mut named = Self { subject: certificate.tbs_certificate.subject.to_string(), ..Self::default() };
        let names = certificate.tbs_certificate.get::<SubjectAltName>();
        let names = names.ok().flatten().map(|(_, SubjectAltName(names))| names);
        for name in names.into_iter().flatten() {
            match name {
                GeneralName::UniformResourceIdentifier(uri) => named.uris.push(uri.to_string()),
                GeneralName::DnsName(name) => named.dns.push(name.to_string()),
                GeneralName::IpAddress(octets) => named.addresses.extend(address(octets.as_bytes())),
                _ => {}
            }
        }
        named
    }

    /// The one name by which it is known: its first URI, else its first DNS name, else its subject.
    pub fn name(&self) -> &str {
        self.uris.first().or(self.dns.first()).unwrap_or(&self.subject)
    }

    /// Whether one of its alternative names is this DNS name or address. A wildcard is a name like any other here.
    pub fn is_called(&self, name: &str) -> bool {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.dns.iter().any(|dns| dns.eq_ignore_ascii_case(name)),
        }
    }
}

/// An address as certificates have it: four octets or sixteen.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}
