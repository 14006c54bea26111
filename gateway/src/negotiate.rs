//! What client and gateway agree on by headers: media types, the form of a stream, conditional requests.

use http::{HeaderMap, header, request::Parts};

use crate::{
    config::StreamFormat,
    failure::{Failure, Reason},
    gateway::Compiled,
    method::{Body, Method},
};

const SSE: &str = "text/event-stream";
const NDJSON: &str = "application/x-ndjson";

/// Refuses a body that is no JSON by its type (415), and an answer that nobody wants (406).
pub(crate) fn check(compiled: &Compiled, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    let json = matches!(method.body, Body::Message | Body::Field(_));
    if let Some(content_type) = headers.get(header::CONTENT_TYPE).filter(|_| json) {
        let text = String::from_utf8_lossy(content_type.as_bytes());
        let essence = essence(&text);
        let lines = method.client_streaming && essence.eq_ignore_ascii_case(NDJSON);
        if !is_json(essence) && !lines {
            let message = format!("content type `{essence}`, where application/json is expected");
            return Err(compiled.failure(Reason::UnsupportedMediaType, message));
        }
    }
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
        let message =
            format!("content encoding `{}` is not taken", String::from_utf8_lossy(encoding.as_bytes()));
        return Err(compiled.failure(Reason::UnsupportedMediaType, message));
    }
    if !method.raw_response && !accepted(headers).any(|(media_type, _)| offered(media_type)) {
        let message = "none of the accepted media types is offered, only application/json";
        return Err(compiled.failure(Reason::NotAcceptable, message));
    }
    Ok(())
}

/// The form of a stream: the client's choice, or the configured one if it has none.
pub(crate) fn stream_format(configured: StreamFormat, headers: &HeaderMap) -> StreamFormat {
    let mut best: Option<(StreamFormat, f32)> = None;
    for (media_type, quality) in accepted(headers) {
        let format = match media_type {
            _ if media_type.eq_ignore_ascii_case(SSE) => StreamFormat::Sse,
            _ if media_type.eq_ignore_ascii_case(NDJSON)
                || media_type.eq_ignore_ascii_case("application/jsonl") =>
            {
                StreamFormat::Ndjson
            }
            _ if media_type.eq_ignore_ascii_case("application/json") => match configured {
                StreamFormat::GatewayResult => StreamFormat::GatewayResult,
                _ => StreamFormat::JsonArray,
            },
            _ if media_type.contains('*') => configured,
            _ => continue,
        };
        if best.is_none_or(|(_, other)| quality > other) {
            best = Some((format, quality));
        }
    }
    best.map_or(configured, |(format, _)| format)
}

/// Whether the client has what the answer's etag names. Only reads are asked this way.
pub(crate) fn is_not_modified(request: &Parts, answer: &HeaderMap) -> bool {
    let read = request.method == http::Method::GET || request.method == http::Method::HEAD;
    let (Some(known), Some(etag)) = (request.headers.get(header::IF_NONE_MATCH), answer.get(header::ETAG))
    else {
        return false;
    };
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let (Ok(known), Ok(etag)) = (known.to_str(), etag.to_str()) else { return false };
    read && (known.trim() == "*" || known.split(',').any(|tag| weak(tag) == weak(etag)))
}

/// The accepted media types with their qualities; without the header, anything.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = (&str, f32)> {
    let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let any = if headers.contains_key(header::ACCEPT) { None } else { Some(("*/*", 1.0)) };
    let listed = values.flat_map(|value| value.split(',')).filter_map(|range| {
        let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
        let quality = quality.map_or(Some(1.0), |quality| quality.trim().parse::<f32>().ok())?;
        (quality > 0.0 && !media_type.trim().is_empty()).then_some((media_type.trim(), quality))
    });
    any.into_iter().chain(listed)
}

fn offered(media_type: &str) -> bool {
    let folded = media_type.to_ascii_lowercase();
    matches!(&*folded, "*/*" | "application/*" | SSE | NDJSON | "application/jsonl") || is_json(&folded)
}

fn is_json(essence: &str) -> bool {
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence.as_bytes()[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
