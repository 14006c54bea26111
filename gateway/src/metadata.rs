//! Headers to metadata and back.
//!
//! Request headers cross by an allow list, or behind `grpc-metadata-`; nothing that steers the call itself (`grpc-*`,
//! `te`, `content-type`, ...) can be set from outside. A value that gRPC could not carry is left out, and the call goes on.

mod deadline;
mod forwarded;
mod trace;

pub(crate) use deadline::grpc_deadline;
pub use deadline::{put_timeout, timeout};
pub use forwarded::Peer;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use forwarded::{Forwarding, is_of_proxies};
use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};

use crate::{
    config::{MetadataConfig, UnlistedMetadata},
    failure::{Failure, Reason},
    transcode::base64,
};

const PREFIX: &str = "grpc-metadata-";
const TRAILER_PREFIX: &str = "grpc-trailer-";
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A set of names. The map's own hash is the quick one.
type Names = HeaderMap<()>;

/// Which headers cross, ready for look-up.
#[derive(Debug)]
pub struct Crossing {
    request: Names,
    response: Names,
    unlisted: UnlistedMetadata,
    forwarding: Forwarding,
}

/// A name in the configuration that is no header name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no header name")]
pub struct HeaderNameError(String);

impl Crossing {
    /// Reads the configured names.
    pub fn new(config: &MetadataConfig) -> Result<Self, HeaderNameError> {
        const ALWAYS: [&str; 5] =
            ["authorization", "traceparent", "tracestate", "idempotency-key", "x-request-id"];
        let configured = config.request_headers.iter().map(String::as_str);
        Ok(Self {
            request: names(ALWAYS.into_iter().chain(configured))?,
            response: names(config.response_headers.iter().map(String::as_str))?,
            unlisted: config.unlisted_response,
            forwarding: Forwarding::new(config),
        })
    }

    /// The metadata of a request.
    pub fn request(&self, request: &Parts, domain: &str) -> Result<HeaderMap, Failure> {
        let mut metadata = HeaderMap::with_capacity(8);
        for (name, value) in &request.headers {
            let target = match name.as_str().strip_prefix(PREFIX) {
                Some(inner) => match HeaderName::from_bytes(inner.as_bytes()) {
                    // a proxy passes on what a client says behind the prefix, and sees to names as they are
                    Ok(inner)
                        if !steers_the_call(&inner)
                            && !is_of_proxies(&inner)
                            && !self.request.contains_key(&inner) =>
                    {
                        inner
                    }
                    _ => continue,
                },
                None if self.request.contains_key(name) => name.clone(),
                None => continue,
            };
            carry(target, value, &mut metadata, domain)?;
        }
        trace::remove_malformed(&mut metadata);
        self.forwarding.put(&request.headers, request.uri.authority(), &request.extensions, &mut metadata);
        Ok(metadata)
    }

    /// Tells in the headers of a call that passes as it is whom it comes from. All others are metadata of the call's own.
    pub(crate) fn forward(&self, request: &mut Parts) {
        let claimed = request.headers.clone();
        self.forwarding.put(&claimed, request.uri.authority(), &request.extensions, &mut request.headers);
    }

    /// The names that cross to the client, as the header `trailer` announces them.
    pub(crate) fn announced(&self) -> Option<HeaderValue> {
        let names: Vec<&str> = self.response.keys().map(HeaderName::as_str).collect();
        HeaderValue::from_str(&names.join(", ")).ok().filter(|names| !names.is_empty())
    }

    /// Adds to `headers` what of the metadata crosses.
    pub fn response(&self, metadata: &HeaderMap, headers: &mut HeaderMap) {
        self.cross(metadata, Some(PREFIX), headers);
    }

    /// Adds to `headers` what came with the status of a unary answer and crosses under its own name; there is time for
    /// that, since the body is not sent yet. Gives what is left for HTTP trailers.
    pub(crate) fn unary_end(&self, told: &HeaderMap, headers: &mut HeaderMap) -> HeaderMap {
        self.cross(told, None, headers);
        let mut trailers = HeaderMap::new();
        if self.unlisted == UnlistedMetadata::Prefixed {
            let unlisted = told.iter().filter(|(name, _)| !self.response.contains_key(*name));
            let unlisted = unlisted.map(|(name, value)| (name.clone(), value.clone())).collect();
            self.cross(&unlisted, Some(TRAILER_PREFIX), &mut trailers);
        }
        trailers
    }

    /// Adds to the trailers of a stream what came with its status.
    pub(crate) fn stream_end(&self, told: &HeaderMap, trailers: &mut HeaderMap) {
        self.cross(told, Some(TRAILER_PREFIX), trailers);
    }

    /// Without a prefix, what would go behind one does not cross.
    fn cross(&self, metadata: &HeaderMap, prefix: Option<&str>, out: &mut HeaderMap) {
        if self.response.is_empty() && self.unlisted == UnlistedMetadata::Dropped {
            return;
        }
        for (name, value) in metadata {
            let unlisted = if steers_the_call(name) { UnlistedMetadata::Dropped } else { self.unlisted };
            let name = match (unlisted, prefix) {
                _ if self.response.contains_key(name) => name.clone(),
                (UnlistedMetadata::AsIs, _) => name.clone(),
                (UnlistedMetadata::Prefixed, Some(prefix)) => {
                    match HeaderName::from_bytes(format!("{prefix}{name}").as_bytes()) {
                        Ok(name) => name,
                        Err(_) => continue,
                    }
                }
                (UnlistedMetadata::Prefixed | UnlistedMetadata::Dropped, _) => continue,
            };
            out.append(name, value.clone());
        }
    }
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> Result<Names, HeaderNameError> {
    let parse = |name: &str| match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) => Ok((name, ())),
        Err(_) => Err(HeaderNameError(name.to_owned())),
    };
    names.map(parse).collect()
}

fn steers_the_call(name: &HeaderName) -> bool {
    const RESERVED: [&str; 12] = [
        "te",
        "content-type",
        "content-length",
        "content-encoding",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "expect",
        "host",
        "trailer",
        "date",
    ];
    let name = name.as_str();
    name.starts_with("grpc-") || name.starts_with("proxy-") || RESERVED.contains(&name)
}

/// Takes away what is said of the connection alone, whatever its name: what `connection` lists too (RFC 9110, 7.6.1).
pub(crate) fn leave_connection(headers: &mut HeaderMap) {
    const OWN: [HeaderName; 7] = [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::EXPECT,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(','));
    let listed: Vec<HeaderName> = names.filter_map(|name| name.trim().parse().ok()).collect();
    for name in OWN.into_iter().chain(listed).filter(|name| *name != header::HOST) {
        headers.remove(name);
    }
}

/// Puts the value into the metadata as that carries it: printable ASCII, or base64 without padding under a name that ends in
/// `-bin`, where a comma parts values.
fn carry(
    name: HeaderName,
    value: &HeaderValue,
    metadata: &mut HeaderMap,
    domain: &str,
) -> Result<(), Failure> {
    let Ok(text) = value.to_str() else { return Ok(()) };
    if !name.as_str().ends_with("-bin") {
        metadata.append(name, value.clone());
        return Ok(());
    }
    for one in text.split(',').map(str::trim) {
        if base64(one).is_none() {
            let message = format!("header `{name}`: `{one}` is no base64");
            return Err(Failure::new(Reason::InvalidHeader, domain, message));
        }
        if let Ok(value) = HeaderValue::from_str(one.trim_end_matches('=')) {
            metadata.append(name.clone(), value);
        }
    }
    Ok(())
}

/// Whether the client takes trailers (RFC 9110, 6.5.1).
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).into_iter().filter_map(|value| value.to_str().ok());
    let mut listed = values.flat_map(|value| value.split(',')).map(|entry| entry.split(';').next());
    listed.any(|name| name.is_some_and(|name| name.trim().eq_ignore_ascii_case("trailers")))
}

/// The client's id of its request, or a new one where it has none that could stand in a log. It goes into the metadata.
pub(crate) fn request_id(metadata: &mut HeaderMap) -> HeaderValue {
    const BYTES_MAX: usize = 128;
    let fits = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = metadata.get(REQUEST_ID).filter(fits) {
        return id.clone();
    }
    let id = new_request_id();
    metadata.insert(REQUEST_ID, id.clone());
    id
}

/// Unlike any other: a random number of this process, and which request of it this is.
fn new_request_id() -> HeaderValue {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    static NEXT: AtomicU64 = AtomicU64::new(1);
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let number = u128::from(*PROCESS) << 64 | u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
    let digits: [u8; 32] = std::array::from_fn(|place| HEX[(number >> (124 - 4 * place)) as usize & 15]);
    // letters and digits make a value of whichever
    once(HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("0")))
}

/// A value that no other request has. HTTP/2 is not to keep it for the next ones, in the place of what they have.
fn once(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_steer_the_call_through_the_prefix() {
        let crossing = Crossing::new(&MetadataConfig::default()).unwrap();
        let request = http::Request::get("/")
            .header("grpc-metadata-grpc-timeout", "1S")
            .header("grpc-metadata-te", "gzip")
            .header("grpc-metadata-x-forwarded-client-cert", "Hash=0")
            .header("grpc-metadata-forwarded", "for=1.2.3.4")
            .header("x-forwarded-for", "1.2.3.4");
        let (request, ()) = request.body(()).unwrap().into_parts();
        assert!(crossing.request(&request, "test").unwrap().is_empty());
    }

    #[test]
    fn nobody_speaks_through_the_prefix_for_a_proxy_or_under_a_name_that_is_listed() {
        let request_headers = vec!["x-user".to_owned()];
        let crossing =
            Crossing::new(&MetadataConfig { request_headers, ..MetadataConfig::default() }).unwrap();
        let mut request = http::Request::get("/").header("x-user", "told").header("authorization", "own");
        for name in [
            "x-user",
            "authorization",
            "x-real-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "x-client-cert",
            "x-envoy-internal",
            "x-goog-iap-jwt-assertion",
            "ssl-client-verify",
            "via",
            "content-encoding",
            "expect",
            "upgrade",
            "keep-alive",
            "proxy-authorization",
        ] {
            request = request.header(format!("grpc-metadata-{name}"), "claimed");
        }
        let request = request.header("grpc-metadata-x-client-version", "7");
        let (request, ()) = request.body(()).unwrap().into_parts();
        let metadata = crossing.request(&request, "test").unwrap();
        let told: Vec<_> =
            metadata.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for one in [("x-user", "told"), ("authorization", "own"), ("x-client-version", "7")] {
            assert!(told.contains(&one), "{told:?}");
        }
    }

    #[test]
    fn a_comma_parts_binary_values_and_no_others() {
        let crossing = Crossing::new(&MetadataConfig::default()).unwrap();
        let metadata = |name: &str, value: &str| {
            let request = http::Request::get("/").header(name, value).body(()).unwrap();
            let values = crossing.request(&request.into_parts().0, "test")?;
            let values = values.get_all(name.trim_start_matches(PREFIX)).into_iter();
            Ok::<_, Failure>(values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(metadata("grpc-metadata-x-bin", "YQ==, Yg,AA==").unwrap(), ["YQ", "Yg", "AA"]);
        assert_eq!(metadata("grpc-metadata-x", "a, b").unwrap(), ["a, b"]);
        let refused = metadata("grpc-metadata-x-bin", "YQ,!!").unwrap_err();
        assert_eq!(refused.message, "header `x-bin`: `!!` is no base64");
    }

    #[test]
    fn a_request_keeps_its_id_or_gets_one_that_no_other_has() {
        let id = |given: Option<&'static str>| {
            let given = given.map(|given| (REQUEST_ID, HeaderValue::from_static(given)));
            let mut metadata: HeaderMap = given.into_iter().collect();
            let id = request_id(&mut metadata);
            assert_eq!(metadata[REQUEST_ID], id);
            id
        };
        assert_eq!(id(Some("abc-1")), "abc-1");
        let made = [id(None), id(None), id(Some("a b")), id(Some(""))];
        for (index, id) in made.iter().enumerate() {
            assert_eq!(id.len(), 32);
            assert!(!made[..index].contains(id), "{made:?}");
        }
    }
}
