//! The entity tag of a coded form: that of the plain one with the coding behind it, `"1;gzip"`.
//!
//! Forms whose bytes differ have strong tags that differ (RFC 9110, 8.8.3.3). A weak tag would name both, but nothing can be
//! demanded with it: clients send the tag that they were given back in `If-Match`.

use http::{HeaderMap, HeaderValue, header};

use super::Coding;

/// Has the strong tag of a plain form be that of a coded one. A weak tag names every form already.
pub(super) fn mark(coding: Coding, headers: &mut HeaderMap) {
    let plain = headers.get(header::ETAG).map(HeaderValue::as_bytes);
    let Some(open) = plain.filter(|tag| tag.starts_with(b"\"")).and_then(|tag| tag.strip_suffix(b"\""))
    else {
        return;
    };
    if let Ok(tag) = HeaderValue::from_bytes(&[open, b";", coding.name().as_bytes(), b"\""].concat()) {
        headers.insert(header::ETAG, tag);
    }
}

/// What is within the quotes of a tag, parted into that of the plain form and the coding.
pub(crate) fn parted(text: &str) -> (&str, Option<Coding>) {
    let of = |coding: Coding| {
        let plain = text.strip_suffix(coding.name())?.strip_suffix(';')?;
        Some((plain, Some(coding)))
    };
    of(Coding::Gzip).or_else(|| of(Coding::Zstd)).unwrap_or((text, None))
}
