//! What client and gateway agree on by headers: how many there may be, media types, content codings, the form of a stream.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    coding::Coding,
    config::StreamFormat,
    failure::{Failure, Reason},
    gateway::Compiled,
    method::{Body, Method},
};

const SSE: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";
/// Lines, by whatever name: none is registered.
const LINES: [&str; 3] = [NDJSON, "application/ndjson", "application/jsonl"];

/// Refuses headers that are too many or too long (431). A server bounds what it reads of them at all; this is the same
/// bound behind whatever server that is.
pub(crate) fn check_size(compiled: &Compiled, headers: &HeaderMap) -> Result<(), Failure> {
    /// What HTTP/2 adds to each (RFC 9113, 6.5.2).
    const OVERHEAD: usize = 32;
    let limits = &compiled.config.limits;
    let sizes = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD);
    let bytes: usize = sizes.sum();
    if headers.len() <= limits.headers_max && bytes <= limits.header_bytes_max {
        return Ok(());
    }
    let message = format!("{} headers of {bytes} bytes", headers.len());
    Err(compiled.failure(Reason::HeadersTooLarge, message))
}

/// Refuses a body that is no JSON by its type or in no coding that is known (415), and an answer that nobody wants
/// (406). Gives the body's coding.
pub(crate) fn check(
    compiled: &Compiled,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Coding>, Failure> {
    let json = matches!(method.body, Body::Message | Body::Field(_));
    if let Some(content_type) = headers.get(header::CONTENT_TYPE).filter(|_| json) {
        let text = String::from_utf8_lossy(content_type.as_bytes());
        let essence = essence(&text);
        let lines = method.client_streaming && is_lines(essence);
        if !is_json(essence) && !lines {
            let form = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded");
            let hint = if form { " (of curl's options, `--json` says so, `-d` alone does not)" } else { "" };
            let message = format!("content type `{essence}`, where application/json is expected{hint}");
            return Err(compiled.failure(Reason::UnsupportedMediaType, message));
        }
    }
    let coding = Coding::of_body(headers).map_err(|other| {
        let message = format!("content encoding `{other}`, where {} or none is taken", Coding::ALL);
        let mut failure = compiled.failure(Reason::UnsupportedMediaType, message);
        failure.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(Coding::ALL));
        failure
    })?;
    let streams = method.server_streaming;
    let takes = || match streams {
        true => stream_format(compiled.config.stream_format, headers).is_some(),
        false => takes_message(headers),
    };
    if !method.raw_response && !takes() {
        let offered = if streams { "text/event-stream, application/x-ndjson and " } else { "" };
        let message = format!("none of the accepted media types is offered, only {offered}application/json");
        return Err(compiled.failure(Reason::NotAcceptable, message));
    }
    Ok(coding)
}

/// Whether a body says that it is JSON, as one text.
pub(crate) fn says_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE);
    said.is_some_and(|said| is_json(essence(&String::from_utf8_lossy(said.as_bytes()))))
}

fn is_lines(media_type: &str) -> bool {
    LINES.iter().any(|name| media_type.eq_ignore_ascii_case(name))
}

/// The form of a stream that the client likes best, the first of those that it likes alike, the configured one where it
/// leaves that open; none if it takes none.
pub(crate) fn stream_format(configured: StreamFormat, headers: &HeaderMap) -> Option<StreamFormat> {
    const OTHERS: [StreamFormat; 3] = [StreamFormat::Ndjson, StreamFormat::JsonArray, StreamFormat::Sse];
    let mut best: Option<(StreamFormat, f32)> = None;
    for (media_type, quality) in accepted(headers).filter(|(_, quality)| *quality > 0.0) {
        let mut meant =
            std::iter::once(configured).chain(OTHERS).filter(|form| precision(media_type, *form) > 0);
        let Some(format) =
            meant.find(|form| liking(*form, headers).is_some_and(|(_, quality)| quality > 0.0))
        else {
            continue;
        };
        if best.is_none_or(|(_, other)| quality > other) {
            best = Some((format, quality));
        }
    }
    best.map(|(format, _)| format)
}

/// Whether an answer of one message may be sent. Who takes a stream's forms takes the one message that there is as JSON (so
/// does Envoy), unless JSON by that name is excluded: a client asks alike of all methods.
fn takes_message(headers: &HeaderMap) -> bool {
    match liking(StreamFormat::JsonArray, headers) {
        Some((NAMED, quality)) => quality > 0.0,
        _ => accepted(headers).any(|(media_type, quality)| {
            let known = is_json(media_type) || is_lines(media_type) || media_type.eq_ignore_ascii_case(SSE);
            let open = media_type == "*/*" || media_type.eq_ignore_ascii_case("application/*");
            quality > 0.0 && (known || open)
        }),
    }
}

/// How precisely a name says what is meant.
const NAMED: u8 = 4;

/// How precisely an accepted media type means a form; 0 if it does not.
fn precision(media_type: &str, form: StreamFormat) -> u8 {
    let is = |name: &str| media_type.eq_ignore_ascii_case(name);
    match form {
        StreamFormat::Sse if is(SSE) => NAMED,
        StreamFormat::Sse if is("text/*") => 2,
        StreamFormat::Ndjson if is_lines(media_type) => NAMED,
        StreamFormat::JsonArray | StreamFormat::GatewayResult if is("application/json") => NAMED,
        // another name of what is JSON in any case
        StreamFormat::JsonArray | StreamFormat::GatewayResult if is_json(media_type) => 3,
        StreamFormat::Ndjson | StreamFormat::JsonArray | StreamFormat::GatewayResult
            if is("application/*") =>
        {
            2
        }
        _ => u8::from(media_type == "*/*"),
    }
}

/// How precisely a client says how well it likes a form, and how well that is: the most precise of its words counts (RFC 9110,
/// 12.5.1).
fn liking(form: StreamFormat, headers: &HeaderMap) -> Option<(u8, f32)> {
    let mut best = None;
    for (media_type, quality) in accepted(headers) {
        let found = (precision(media_type, form), quality);
        if found.0 > 0 && best.is_none_or(|best| found > best) {
            best = Some(found);
        }
    }
    best
}

/// The accepted media types with their qualities; without the header, or with an empty one, anything.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (&str, f32)> {
    let said =
        headers.get_all(header::ACCEPT).into_iter().any(|value| !value.as_bytes().trim_ascii().is_empty());
    let any = if said { None } else { Some(("*/*", 1.0)) };
    any.into_iter().chain(listed(headers, &header::ACCEPT))
}

/// What a header lists, with qualities; 0 is what it excludes.
pub(crate) fn listed<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = (&'h str, f32)> + use<'h> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|entry| {
        let (wanted, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let quality = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value)
        });
        let quality = quality.map_or(Some(1.0), |quality| quality.trim().parse::<f32>().ok())?;
        (!wanted.trim().is_empty()).then_some((wanted.trim(), quality))
    })
}

fn is_json(essence: &str) -> bool {
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(types: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(types))])
    }

    #[test]
    fn what_is_offered_is_json_and_the_forms_of_streams() {
        for (types, unary, stream) in [
            ("text/event-stream", true, true),
            ("application/x-ndjson", true, true),
            ("application/jsonl", true, true),
            ("text/*", false, true),
            ("application/json", true, true),
            ("application/vnd.api+json;q=0.5", true, true),
            ("*/*", true, true),
            ("", true, true),
            (" ", true, true),
            ("text/html", false, false),
            ("application/json;q=0", false, false),
        ] {
            let headers = accepting(types);
            let found = [takes_message(&headers), stream_format(StreamFormat::Ndjson, &headers).is_some()];
            assert_eq!(found, [unary, stream], "{types:?}");
        }
    }

    #[test]
    fn the_most_precise_word_on_a_form_counts() {
        for (types, unary, stream) in [
            ("application/json;q=0, */*", false, Some(StreamFormat::Ndjson)),
            ("application/json; charset=utf-8; Q=0.0, */*", false, Some(StreamFormat::Ndjson)),
            ("application/json;q=0, text/event-stream", false, Some(StreamFormat::Sse)),
            ("*/*, application/x-ndjson;q=0", true, Some(StreamFormat::JsonArray)),
            ("application/*;q=0, */*;q=0.1", true, Some(StreamFormat::Sse)),
            ("application/*, application/x-ndjson;q=0, application/json;q=0", false, None),
            ("*/*;q=0, text/event-stream", true, Some(StreamFormat::Sse)),
            ("text/event-stream;q=0.5, application/json;q=0.7", true, Some(StreamFormat::JsonArray)),
            ("application/json, text/event-stream", true, Some(StreamFormat::JsonArray)),
            ("text/event-stream, application/json", true, Some(StreamFormat::Sse)),
        ] {
            let headers = accepting(types);
            assert_eq!(takes_message(&headers), unary, "{types}");
            assert_eq!(stream_format(StreamFormat::Ndjson, &headers), stream, "{types}");
        }
    }

    #[test]
    fn json_by_any_name_makes_a_stream_an_array() {
        for types in ["application/json", "application/problem+json"] {
            assert_eq!(
                stream_format(StreamFormat::Ndjson, &accepting(types)),
                Some(StreamFormat::JsonArray),
                "{types}"
            );
        }
        assert_eq!(stream_format(StreamFormat::Ndjson, &accepting("text/*")), Some(StreamFormat::Sse));
        assert_eq!(stream_format(StreamFormat::Sse, &accepting("")), Some(StreamFormat::Sse));
    }
}
