//! Percent-decoding of paths and queries.
//!
//! A malformed escape is an error, never text: two readers that disagree about it are how authorization is bypassed.
//! The decoded text must be UTF-8, since a proto3 string holds nothing else.

use std::borrow::Cow;

use http::Uri;

/// How much of a capture of several segments is decoded. A capture of one segment is always decoded whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unescape {
    /// Everything but `%2F`, so that an encoded slash stays apart from one that separates.
    #[default]
    SlashKept,
    /// Every character that RFC 6570 reserves stays encoded (Envoy, grpc-gateway).
    ReservedKept,
    /// Everything.
    All,
}

/// Why text could not be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// `%` without two hexadecimal digits.
    #[error("malformed percent escape in `{0}`")]
    Escape(String),
    /// The bytes are no UTF-8.
    #[error("`{0}` does not decode to UTF-8")]
    NotUtf8(String),
}

/// Unreserved characters of RFC 3986.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_reserved(byte: u8) -> bool {
    b"!#$&'()*+,/:;=?@[]".contains(&byte)
}

/// Decodes every escape.
pub fn decode_all(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    decode(text, false, |_| true)
}

/// Decodes a capture that may span segments.
pub fn decode_multi(text: &str, unescape: Unescape) -> Result<Cow<'_, str>, DecodeError> {
    match unescape {
        Unescape::SlashKept => decode(text, false, |byte| byte != b'/'),
        Unescape::ReservedKept => decode(text, false, |byte| !is_reserved(byte)),
        Unescape::All => decode_all(text),
    }
}

/// A path without the slash at its end, for gateways that are told to overlook it.
pub fn without_trailing_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path)
}

/// Takes the slash at the end of a target's path away.
pub(crate) fn drop_trailing_slash(uri: &mut Uri) {
    let path = without_trailing_slash(uri.path());
    if path.len() == uri.path().len() {
        return;
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    // HTTP/2 has scheme and host in it too
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    // a part of a target that was valid is one
    if let Ok(target) = Uri::from_parts(parts) {
        *uri = target;
    }
}

/// Decodes the name or value of a query parameter.
pub fn decode_query(text: &str, plus_as_space: bool) -> Result<Cow<'_, str>, DecodeError> {
    decode(text, plus_as_space, |_| true)
}

fn decode(text: &str, plus_as_space: bool, wanted: impl Fn(u8) -> bool) -> Result<Cow<'_, str>, DecodeError> {
    let special = |byte: &u8| *byte == b'%' || (plus_as_space && *byte == b'+');
    let Some(first) = text.bytes().position(|byte| special(&byte)) else { return Ok(Cow::Borrowed(text)) };
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..first]);
    let mut rest = &bytes[first..];
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match byte {
            b'+' if plus_as_space => {
                out.push(b' ');
                tail
            }
            b'%' => {
                let [high, low, after @ ..] = tail else { return Err(DecodeError::Escape(text.to_owned())) };
                let (Some(high_value), Some(low_value)) = (hex(*high), hex(*low)) else {
                    return Err(DecodeError::Escape(text.to_owned()));
                };
                let decoded = high_value << 4 | low_value;
                if wanted(decoded) {
                    out.push(decoded)
                } else {
                    // one spelling of what stays encoded (RFC 3986, 6.2.2.1), so that equal paths are equal texts
                    out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()])
                }
                after
            }
            _ => {
                out.push(byte);
                tail
            }
        };
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| DecodeError::NotUtf8(text.to_owned()))
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_encoded_slash_survives_in_a_capture_of_several_segments() {
        assert_eq!(decode_multi("a%2Fb%20c/d", Unescape::SlashKept).unwrap(), "a%2Fb c/d");
        assert_eq!(decode_multi("a%2fb%3a", Unescape::ReservedKept).unwrap(), "a%2Fb%3A");
        assert_eq!(decode_all("a%2Fb").unwrap(), "a/b");
    }

    #[test]
    fn a_target_without_its_last_slash_keeps_its_host_and_query() {
        for (target, expected) in [
            ("http://own.test:8080/a/b/?c=d/", "http://own.test:8080/a/b?c=d/"),
            ("http://own.test/", "http://own.test/"),
            ("/a/", "/a"),
            ("/a", "/a"),
        ] {
            let mut uri = Uri::from_static(target);
            drop_trailing_slash(&mut uri);
            assert_eq!(uri, expected);
        }
    }

    #[test]
    fn a_broken_escape_is_refused() {
        assert_eq!(decode_all("%2"), Err(DecodeError::Escape("%2".into())));
        assert_eq!(decode_all("%zz"), Err(DecodeError::Escape("%zz".into())));
        assert_eq!(decode_all("%ff"), Err(DecodeError::NotUtf8("%ff".into())));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_decoder_panic(text in "[%+a-f0-9/é]{0,16}", plus: bool) {
            let _ = decode_query(&text, plus);
            let _ = decode_multi(&text, Unescape::SlashKept);
        }
    }
}
