//! Conditional requests (RFC 9110, 13) where the method gives an etag: by a response header `etag`, or by a string field
//! `etag` (AIP-154) of the answer or of the resource in it, and for `If-Match` of the request or of the resource in it.
//!
//! An answer that holds more than the resource may change while the resource's etag does not: its tag is that etag and a
//! digest of the answer, and what is demanded with it is the etag. A coded form's tag has the coding behind that.
//!
//! What `If-Match` demands is compared strongly: a weak tag holds for no state, and a service is not asked about it.
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
    grpc,
    method::{Guard, Method},
    response::length_field,
    transcode::wire::{self, Reader, WireType},
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

    /// Compared weakly, as what is known already may be. A form that the client would not be given is not known: the 304 would
    /// have to name a tag that it does not have, or a coding that it does not take.
    fn knows(&self, etag: &str, accepted: Option<Coding>) -> Option<Known> {
        match self {
            Tags::Any => Some(Known(accepted)),
            Tags::Listed(tags) => {
                let mut forms = tags.iter().filter_map(|tag| form(tag, etag));
                forms.find(|form| form.is_none() || *form == accepted).map(Known)
            }
        }
    }

    /// Compared strongly, as what is demanded has to be (RFC 9110, 13.1.1): a weak tag is like no other.
    fn demands(&self, etag: &str) -> bool {
        match self {
            Tags::Any => true,
            Tags::Listed(tags) => {
                !is_weak(etag) && tags.iter().any(|tag| !is_weak(tag) && form(tag, etag).is_some())
            }
        }
    }
}

/// The form in which a client has an answer already: the plain one, or a coded one.
pub(crate) struct Known(Option<Coding>);

/// The form of a state that a tag names, if it is that state's, whose plain form has this etag. Compared weakly.
fn form(tag: &str, etag: &str) -> Option<Option<Coding>> {
    let (tag, etag) = (opaque(tag), opaque(etag));
    if tag == etag {
        return Some(None);
    }
    let (plain, coding) = coding::parted(unquoted(tag)?);
    (coding.is_some() && plain == unquoted(etag)?).then_some(coding)
}

fn unquoted(tag: &str) -> Option<&str> {
    tag.strip_prefix('"')?.strip_suffix('"')
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

fn is_weak(tag: &str) -> bool {
    tag.starts_with("W/\"")
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

    /// Appends what `If-Match` demands, in the field that upstream checks; `*` demands nothing that upstream would not. `frame` has
    /// what body and query say, which may demand it too.
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
        let bare = of_resource(self.demanded(&tags)?);
        self.check_agreement(method, guard, bare, frame)?;
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

    /// The one strong tag of those that `If-Match` lists, without quotes. A weak one is that of no state.
    fn demanded<'h>(&self, tags: &[&'h str]) -> Result<&'h str, Failure> {
        let malformed = |message: String| self.failure(Reason::InvalidHeader, message);
        let text = |tag: &'h str| unquoted(opaque(tag)).filter(|text| !text.contains('"'));
        let (mut strong, mut weak) = (Vec::new(), None);
        for tag in tags {
            let text = text(tag).ok_or_else(|| {
                malformed(format!("header `if-match`: `{tag}` is no entity tag, which has quotes around it"))
            })?;
            if is_weak(tag) { weak = Some(*tag) } else { strong.push(text) }
        }
        match (&strong[..], weak) {
            ([one], _) => Ok(one),
            ([], Some(weak)) => {
                let message =
                    format!("header `if-match`: `{weak}` is weak, and no state is compared with such");
                Err(self.failure(Reason::PreconditionFailed, message))
            }
            _ => Err(malformed("header `if-match`: one tag is taken, not several".to_owned())),
        }
    }

    /// Refuses a request that demands one state by its header and another by the field.
    fn check_agreement(
        &self,
        method: &Method,
        guard: Guard,
        bare: &str,
        frame: &[u8],
    ) -> Result<(), Failure> {
        let fields = &self.schema.message(method.input).fields;
        let path = match guard {
            Guard::Request(etag) => vec![&fields[etag]],
            Guard::Resource { field, message, etag } => {
                vec![&fields[field], &self.schema.message(message).fields[etag]]
            }
        };
        let numbers: Vec<u32> = path.iter().map(|field| field.number).collect();
        let said = text_at(frame.get(grpc::PREFIX..).unwrap_or_default(), &numbers);
        let said = said.map(|said| String::from_utf8_lossy(said).into_owned()).unwrap_or_default();
        let quoted = opaque(&said);
        let own = unquoted(quoted).unwrap_or(quoted);
        if own.is_empty() || of_resource(own) == bare {
            return Ok(());
        }
        let name = path.iter().map(|field| &*field.json_name).collect::<Vec<_>>().join(".");
        let message = format!("header `if-match` demands `{bare}`, and `{name}` demands `{said}`");
        Err(self.failure(Reason::InvalidHeader, message).about_field(&name))
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

    /// Whether a read has become needless (304), and what the client has instead, or impossible (412).
    pub(crate) fn verdict(&self, request: &Parts, answer: &HeaderMap) -> Result<Option<Known>, Failure> {
        if !reads(request) {
            return Ok(None);
        }
        let etag = answer.get(header::ETAG).and_then(|etag| etag.to_str().ok());
        if let Some(wanted) = Tags::of(&request.headers, &header::IF_MATCH)
            && !etag.map_or(matches!(wanted, Tags::Any), |etag| wanted.demands(etag))
        {
            let message = format!("the state is `{}`, not the one asked for", etag.unwrap_or("without etag"));
            return Err(self.failure(Reason::PreconditionFailed, message));
        }
        let known = Tags::of(&request.headers, &header::IF_NONE_MATCH);
        Ok(known.zip(etag).and_then(|(known, etag)| known.knows(etag, Coding::accepted(&request.headers))))
    }
}

impl Compiled {
    /// Makes the headers of an answer of this size those of the 304 in place of it, which says of the form that the client has
    /// what an answer in it would (RFC 9110, 15.4.5).
    pub(crate) fn leave_body(&self, Known(form): Known, size: usize, headers: &mut HeaderMap) {
        if let Some(bytes_min) = self.config.compress_bytes_min
            && coding::is_worth_it(StatusCode::OK, headers, Some(size as u64), bytes_min)
        {
            coding::announce(form, headers);
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

/// The etag that a resource has in its field, of a tag that names the answer around it or the answer's form too.
fn of_resource(tag: &str) -> &str {
    let digits = |rest: &str| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (tag, _) = coding::parted(tag);
    tag.rsplit_once(';').filter(|(_, rest)| digits(rest)).map_or(tag, |(own, _)| own)
}

fn is_entity_tag(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"W/").unwrap_or(text);
    text.len() >= 2 && text.starts_with(b"\"") && text.ends_with(b"\"")
}

/// The text at the end of a path of fields, the last that there is: parts of a message that comes in several are joined. The
/// message is one that the gateway made itself: what cannot be read is not there.
fn text_at<'m>(message: &'m [u8], path: &[u32]) -> Option<&'m [u8]> {
    let (number, below) = path.split_first()?;
    let (mut reader, mut found) = (Reader::new(message), None);
    while let Ok((this, wire_type)) = reader.tag() {
        if (this, wire_type) != (*number, WireType::Length) {
            reader.skip(this, wire_type, 100).ok()?;
            continue;
        }
        let bytes = reader.bytes().ok()?;
        found = if below.is_empty() { Some(bytes) } else { text_at(bytes, below).or(found) };
    }
    found
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
