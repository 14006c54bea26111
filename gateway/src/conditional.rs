//! Conditional requests (RFC 9110, 13) where the method gives an etag: by a response header `etag`, or by a string field
//! `etag` (AIP-154) of the answer or of the resource in it, and for `If-Match` of the request or of the resource in it.
//!
//! An answer that holds more than the resource may change while the resource's etag does not: its tag is that etag and a
//! digest of the answer, and what is demanded with it is the etag.
//!
//! A condition that cannot be checked is refused rather than passed over: whoever sends `If-Match` counts on it.

use std::hash::Hasher as _;

use bytes::Bytes;
use fnv::FnvHasher;
use http::{HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode, header, request::Parts};

use crate::{
    code::Code,
    coding::{self, Coding},
    config::EtagFields,
    failure::{Failure, Reason},
    gateway::Compiled,
    method::{Guard, Method},
    response::length_field,
    transcode::wire,
};

/// What a client has or wants.
enum Tags<'h> {
    Any,
    Listed(Vec<&'h str>),
}

impl<'h> Tags<'h> {
    fn of(headers: &'h HeaderMap, name: &HeaderName) -> Option<Self> {
        if !headers.contains_key(name) {
            return None;
        }
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        let tags: Vec<&str> = values.flat_map(entity_tags).collect();
        Some(if tags.contains(&"*") { Tags::Any } else { Tags::Listed(tags) })
    }

    /// Compared weakly: a tag names a state of the resource, not the bytes of one of its forms.
    fn has(&self, etag: &str) -> bool {
        match self {
            Tags::Any => true,
            Tags::Listed(tags) => tags.iter().any(|tag| opaque(tag) == opaque(etag)),
        }
    }
}

/// The entity tags of a list, each with its quotes: within them a comma is text (RFC 9110, 8.8.3).
fn entity_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let quote = if rest.starts_with("W/\"") { 2 } else { 0 };
        let closed = rest.get(quote..).and_then(|tag| tag.strip_prefix('"')?.find('"'));
        let end = closed.map_or(0, |text| quote + text + 2);
        // what is no tag is told as it came
        let end = end + rest[end..].find(',').unwrap_or(rest.len() - end);
        let (tag, behind) = rest.split_at(end);
        rest = behind;
        Some(tag.trim_end()).filter(|tag| !tag.is_empty())
    })
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn reads(request: &Parts) -> bool {
    request.method == HttpMethod::GET || request.method == HttpMethod::HEAD
}

impl Compiled {
    /// Refuses conditions on a change that its method has no way to check.
    pub(crate) fn check_conditions(&self, method: &Method, request: &Parts) -> Result<(), Failure> {
        if reads(request) {
            return Ok(());
        }
        for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
            let kept = name == header::IF_MATCH && method.guard.is_some();
            if request.headers.contains_key(&name) && !kept {
                let message =
                    format!("header `{name}`: `{}` takes no such condition", method.grpc_path.path());
                return Err(self.failure(Reason::InvalidHeader, message));
            }
        }
        Ok(())
    }

    /// Appends what `If-Match` demands, in the field that upstream checks; `*` demands nothing that upstream would not.
    pub(crate) fn put_guard(
        &self,
        method: &Method,
        headers: &HeaderMap,
        frame: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let (Some(guard), Some(Tags::Listed(tags))) = (method.guard, Tags::of(headers, &header::IF_MATCH))
        else {
            return Ok(());
        };
        let [tag] = tags[..] else {
            let message = "header `if-match`: one tag is taken, not several";
            return Err(self.failure(Reason::InvalidHeader, message));
        };
        let quoted = opaque(tag);
        let bare = quoted.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let Some(bare) = bare.filter(|bare| !bare.contains('"')) else {
            let message = format!("header `if-match`: `{tag}` is no entity tag, which has quotes around it");
            return Err(self.failure(Reason::InvalidHeader, message));
        };
        let bare = without_digest(bare);
        let quoted = format!("\"{bare}\"");
        let value = if self.config.etag_fields == EtagFields::Bare { bare } else { &quoted };
        let fields = &self.schema.message(method.input).fields;
        match guard {
            Guard::Request(etag) => put_text(fields[etag].tag.as_bytes(), value, frame),
            Guard::Resource { field, message, etag } => {
                frame.extend_from_slice(fields[field].tag.as_bytes());
                let start = wire::begin_length(frame);
                put_text(self.schema.message(message).fields[etag].tag.as_bytes(), value, frame);
                wire::end_length(frame, start);
            }
        }
        Ok(())
    }

    /// The etag that a message has in its field.
    pub(crate) fn etag_of(&self, method: &Method, message: &Bytes) -> Option<HeaderValue> {
        let (last, above) = method.etag.numbers.split_last()?;
        let mut holder = message.clone();
        for number in above {
            holder = length_field(&holder, *number).ok()??;
        }
        let text = length_field(&holder, *last).ok()?.filter(|text| !text.is_empty())?;
        if is_entity_tag(&text) && !method.etag.partial {
            return HeaderValue::from_maybe_shared(text).ok();
        }
        let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(&text);
        let fits = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff);
        if !text.iter().all(fits) {
            return None;
        }
        let rest = if method.etag.partial { format!(";{:016x}", digest(message)) } else { String::new() };
        HeaderValue::from_bytes(&[b"\"", text, rest.as_bytes(), b"\""].concat()).ok()
    }

    /// Whether a read has become needless (304) or impossible (412).
    pub(crate) fn verdict(&self, request: &Parts, answer: &HeaderMap) -> Result<bool, Failure> {
        if !reads(request) {
            return Ok(false);
        }
        let etag = answer.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        if let Some(wanted) = Tags::of(&request.headers, &header::IF_MATCH)
            && !etag.map_or(matches!(wanted, Tags::Any), |etag| wanted.has(etag))
        {
            let message = format!("the state is `{}`, not the one asked for", etag.unwrap_or("without etag"));
            return Err(self.failure(Reason::PreconditionFailed, message));
        }
        let known = Tags::of(&request.headers, &header::IF_NONE_MATCH);
        Ok(known.is_some_and(|known| etag.is_some_and(|etag| known.has(etag))))
    }
}

impl Compiled {
    /// Makes the headers of an answer of this size those of the 304 in place of it, which says of its form what the answer would
    /// (RFC 9110, 15.4.5).
    pub(crate) fn leave_body(&self, request: &Parts, size: usize, headers: &mut HeaderMap) {
        if let Some(bytes_min) = self.config.compress_bytes_min
            && coding::is_worth_it(StatusCode::OK, headers, Some(size as u64), bytes_min)
        {
            coding::announce(Coding::accepted(&request.headers), headers);
        }
        for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
            headers.remove(name);
        }
    }
}

/// A change that was refused since its `If-Match` did not hold is 412, whichever code upstream has for that.
pub(crate) fn refused(mut failure: Failure, method: &Method, request: &Parts) -> Failure {
    let guarded = method.guard.is_some() && request.headers.contains_key(header::IF_MATCH);
    if guarded && matches!(failure.code, Code::Aborted | Code::FailedPrecondition) {
        failure.http = Some(StatusCode::PRECONDITION_FAILED);
    }
    failure
}

/// The same on every node and in every life of it.
fn digest(message: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(message);
    hasher.finish()
}

/// The etag that a resource has in its field, of a tag that names the answer around it too.
fn without_digest(tag: &str) -> &str {
    let digits = |rest: &str| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    tag.rsplit_once(';').filter(|(_, rest)| digits(rest)).map_or(tag, |(own, _)| own)
}

fn is_entity_tag(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"W/").unwrap_or(text);
    text.len() >= 2 && text.starts_with(b"\"") && text.ends_with(b"\"")
}

fn put_text(tag: &[u8], value: &str, frame: &mut Vec<u8>) {
    frame.extend_from_slice(tag);
    wire::put_bytes(frame, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_within_a_tag_parts_no_tags() {
        let tags = |list| entity_tags(list).collect::<Vec<_>>();
        assert_eq!(tags(r#""a,b""#), [r#""a,b""#]);
        assert_eq!(tags(r#" "a" ,, W/"b,c",*"#), [r#""a""#, r#"W/"b,c""#, "*"]);
        assert_eq!(tags(r#"bare, "open, "x"y"#), ["bare", r#""open, "x"y"#]);
        assert_eq!(tags(""), Vec::<&str>::new());
    }
}
