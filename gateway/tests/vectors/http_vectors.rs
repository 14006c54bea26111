//! Vectors about whole requests and answers, run through the service with a canned upstream behind it.

use arsenal_gateway::{
    Config, Gateway,
    code::Code,
    config::{ErrorFormat, Transcoder},
    method::Method,
};
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value, json};
use std::time::Duration;

use crate::{
    Outcome, Vector, call_vectors,
    canned::{Canned, Recorder},
    json_vectors::{hex, is_known_fault, needs_more_than_a_double, same, same_json, unhex},
    options, protos, web_vectors,
};

/// For vectors that bring no proto of their own.
pub(crate) const PLAIN_PROTO: &str = r#"syntax = "proto3"; package t; import "google/api/annotations.proto";
    message Shelf { int64 id = 1; string theme = 2; }
    service S { rpc Call(Shelf) returns (Shelf) { option (google.api.http) = { post: "/call" body: "*" }; } }"#;

/// Runs a vector on the plans and, where it holds, on the reference too.
pub(crate) async fn run(vector: &Vector) -> Outcome {
    if let Some(reason) = call_vectors::not_understood(vector) {
        return Outcome::Skipped(reason);
    }
    let mut on_plan = String::new();
    for transcoder in [Transcoder::Plan, Transcoder::Reference] {
        let mut config = match options::config(&vector.input["options"], transcoder) {
            Ok(config) => config,
            Err(reason) => return Outcome::Skipped(reason),
        };
        if vector.input["options"].get("error_format").is_none() && wants_bare_status(&vector.expect) {
            config.error_format = ErrorFormat::Status;
        }
        let result = match vector.kind.as_str() {
            "transcode_request" | "stream_request" => request(vector, config).await,
            "transcode_response" | "stream_response" | "transcode_error" => response(vector, config).await,
            _ => match around_message(vector, config).await {
                Some(result) => result.map(|()| String::new()),
                None => return Outcome::Skipped(format!("no kind {}", vector.kind)),
            },
        };
        match result {
            Ok(answer) => on_plan = answer,
            // the plan holds; what the reference is known to get wrong is no matter here
            Err(reason)
                if transcoder == Transcoder::Reference
                    && (is_known_fault(&on_plan, &reason)
                        || vector.input["request"]["body"]
                            .as_str()
                            .is_some_and(needs_more_than_a_double)) => {}
            Err(reason) => return Outcome::Failed(format!("{transcoder:?}: {reason}")),
        }
    }
    Outcome::Passed
}

/// The kinds that are about what stands around a message.
async fn around_message(vector: &Vector, config: Config) -> Option<Result<(), String>> {
    Some(match vector.kind.as_str() {
        "error_map" => call_vectors::error_map(vector, config).await,
        "upstream_http_to_code" => call_vectors::http_to_code(vector, config).await,
        "metadata_in" => call_vectors::metadata_in(vector, config).await,
        "metadata_out" => call_vectors::metadata_out(vector, config).await,
        "deadline" => call_vectors::deadline(vector, config).await,
        "cancel" => call_vectors::cancel(config).await,
        "health" => call_vectors::health(vector, config).await,
        "grpc_web" => web_vectors::grpc_web(vector, config).await,
        _ => return None,
    })
}

/// Whether an error is wanted as a bare google.rpc.Status, which the peers have. A vector of theirs need not say so.
fn wants_bare_status(expect: &Value) -> bool {
    expect["body"]["code"].is_number() && expect["http"].as_u64().is_some_and(|http| http >= 400)
}

/// The method that a vector is about: its `rpc`, or the only one.
fn method<'g>(vector: &Vector, gateway: &'g Gateway) -> Result<&'g Method, String> {
    let rpc = vector.input["rpc"].as_str();
    let mut methods = gateway.methods();
    methods
        .find(|method| rpc.is_none_or(|rpc| method.descriptor.full_name() == rpc))
        .ok_or("no such rpc".into())
}

pub(crate) fn gateway(vector: &Vector, config: Config) -> Result<Gateway, String> {
    let proto = vector.input["proto"].as_str().unwrap_or(PLAIN_PROTO);
    let descriptors = protos::descriptor_set(proto).map_err(|error| error.to_string())?;
    Gateway::builder(descriptors).config(config).build().map_err(|error| error.to_string())
}

/// An HTTP request as a vector has it.
fn http_request(request: &Value) -> Result<Request<Body>, String> {
    let mut builder = Request::builder()
        .method(request["method"].as_str().unwrap_or("POST"))
        .uri(request["target"].as_str().unwrap_or("/call"))
        // which all of it can come over, and gRPC alone
        .version(http::Version::HTTP_2);
    for (name, value) in pairs(&request["headers"]) {
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
        builder = builder.header(name, value);
    }
    let body = match (request["body"].as_str(), request["body_hex"].as_str()) {
        (Some(text), _) => Bytes::copy_from_slice(text.as_bytes()),
        (_, Some(hex)) => unhex(hex).into(),
        _ => Bytes::new(),
    };
    // A client stream comes byte by byte, which must make no difference.
    let chunks: Vec<Result<Bytes, std::io::Error>> = if body.len() < 400 {
        (0..body.len()).map(|at| Ok(body.slice(at..=at))).collect()
    } else {
        vec![Ok(body)]
    };
    builder.body(Body::from_stream(futures_util::stream::iter(chunks))).map_err(|error| error.to_string())
}

pub(crate) async fn collect(response: Response<Body>) -> (http::response::Parts, Vec<u8>, bool) {
    let (parts, body) = response.into_parts();
    let (bytes, broken, _) = collect_body(body).await;
    (parts, bytes, broken)
}

/// The bytes, whether the body broke off, and the trailers.
pub(crate) async fn collect_body(mut body: Body) -> (Vec<u8>, bool, HeaderMap) {
    let (mut bytes, mut broken, mut trailers) = (Vec::new(), false, HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => bytes.extend(data),
            Ok(Err(frame)) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            Err(_) => broken = true,
        }
    }
    (bytes, broken, trailers)
}

/// Gives what was answered, as `response` does.
async fn request(vector: &Vector, config: Config) -> Result<String, String> {
    let gateway = gateway(vector, config)?;
    let descriptor = method(vector, &gateway)?.descriptor.input();
    let upstream = Recorder::new(Canned { messages: vec![Vec::new()], ..Canned::default() });
    let service = gateway.service(upstream.clone());
    let request = match http_request(&vector.input["request"]) {
        // what is no HTTP at all the server refuses by itself
        Err(_) if vector.expect["http"] == 400 => return Ok(String::new()),
        request => request?,
    };
    let response = service.handle(request).await;
    let (parts, body, _) = collect(response).await;
    let shown = String::from_utf8_lossy(&body).into_owned();
    check_headers(&vector.expect, &parts.headers)?;
    let refused = vector.expect.get("message").is_none() && vector.expect.get("messages").is_none();
    if let Some(wanted) = vector.expect["http"].as_u64().filter(|_| refused) {
        check_status(parts.status.as_u16(), wanted, &shown)?;
    }
    if refused && (vector.expect.get("http").is_some() || vector.expect.get("error").is_some()) {
        return check_error(vector, parts.status.as_u16(), &shown).map(|()| shown);
    }
    let asked = upstream.asked().pop().ok_or(format!("upstream was not called: {} {shown}", parts.status))?;
    if vector.expect["grpc_method"].as_str().is_some_and(|wanted| wanted != asked.path) {
        return Err(format!("called {}", asked.path));
    }
    let wanted = match vector.expect["messages"].as_array() {
        Some(messages) => messages.iter().collect::<Vec<_>>(),
        None => vec![&vector.expect["message"]],
    };
    if asked.messages.len() != wanted.len() {
        return Err(format!("{} messages: {:?}", asked.messages.len(), asked.messages));
    }
    // the bytes are the better measure: JSON cannot tell every float
    let hexes: Vec<&str> = match (vector.expect["pb_hex"].as_str(), vector.expect["messages_hex"].as_array())
    {
        (Some(hex), _) => vec![hex],
        (None, Some(list)) => list.iter().filter_map(Value::as_str).collect(),
        (None, None) => Vec::new(),
    };
    for (index, (found, wanted)) in asked.messages.iter().zip(wanted).enumerate() {
        let wanted =
            match hexes.get(index) {
                Some(hex) => DynamicMessage::decode(descriptor.clone(), &*unhex(hex))
                    .map_err(|error| error.to_string())?,
                None => DynamicMessage::deserialize(descriptor.clone(), wanted)
                    .map_err(|error| error.to_string())?,
            };
        let message =
            DynamicMessage::decode(descriptor.clone(), &**found).map_err(|error| error.to_string())?;
        if !same(&message, &wanted) {
            return Err(format!("sent {} where {} is wanted", hex(found), hex(&wanted.encode_to_vec())));
        }
    }
    // of a stream that is refused in its middle, the messages before are sent
    match vector.expect.get("error") {
        Some(_) => check_error(vector, parts.status.as_u16(), &shown).map(|()| shown),
        None => Ok(shown),
    }
}

/// The code of an error; the HTTP statuses beyond the codes' own (413, 415, ...) have codes that vectors leave open.
fn check_error(vector: &Vector, http: u16, body: &str) -> Result<(), String> {
    let Some(wanted) = vector.expect["error"].as_str().filter(|_| !(405..=431).contains(&http)) else {
        return Ok(());
    };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let code = body["error"]["status"].as_str().map(str::to_owned);
    let bare = || body["code"].as_i64().map(|code| Code::from_number(code).name().to_owned());
    match code.or_else(bare) {
        Some(code) if code == wanted => Ok(()),
        _ => Err(format!("HTTP {http}: {body}")),
    }
}

pub(crate) fn check_status(found: u16, wanted: u64, shown: &str) -> Result<(), String> {
    if u64::from(found) == wanted { Ok(()) } else { Err(format!("HTTP {found}: {shown}")) }
}

pub(crate) fn pairs(value: &Value) -> Vec<(String, String)> {
    // gRPC's base64 has no padding
    let text = |value: &Value| match (value.as_str(), value["base64"].as_str()) {
        (None, Some(base64)) => base64.trim_end_matches('=').to_owned(),
        (None, None) if value.is_number() => value.to_string(),
        (text, _) => text.unwrap_or_default().to_owned(),
    };
    let named = |name: &str, value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| (name.to_owned(), text(value))).collect(),
        value => vec![(name.to_owned(), text(value))],
    };
    match value {
        Value::Object(map) => map.iter().flat_map(|(name, value)| named(name, value)).collect(),
        Value::Array(list) => list.iter().flat_map(|pair| named(&text(&pair[0]), &pair[1])).collect(),
        _ => Vec::new(),
    }
}

/// The headers that have to be there, each with its value or with its values in order, and those that must not.
pub(crate) fn check_headers(expect: &Value, headers: &HeaderMap) -> Result<(), String> {
    for (name, wanted) in expect["headers"].as_object().into_iter().flatten() {
        let found: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        // this gateway answers HEAD and OPTIONS beside what the rules say
        let allows =
            |method: &str| found.iter().flat_map(|list| list.split(',')).any(|one| one.trim() == method);
        let allowed = wanted.as_str().is_some_and(|list| list.split(',').all(|method| allows(method.trim())));
        // the server cuts a body of no told length into chunks
        let chunked = wanted == "chunked" && !headers.contains_key("content-length");
        match name.to_ascii_lowercase().as_str() {
            "allow" if allowed => continue,
            "transfer-encoding" if chunked => continue,
            _ => {}
        }
        if json!(found) != *wanted && json!(found.first()) != *wanted {
            return Err(format!("header {name}: {found:?}"));
        }
    }
    let mut absent = expect["absent_headers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match absent.find(|name| headers.contains_key(*name)) {
        Some(name) => Err(format!("header {name} is there")),
        None => Ok(()),
    }
}

pub(crate) fn canned(upstream: &Value, vector: &Vector, gateway: &Gateway) -> Result<Canned, String> {
    let output = method(vector, gateway)?.descriptor.output();
    let hexes = upstream["messages_hex"]
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).map(unhex).collect());
    let messages = match hexes {
        Some(messages) => messages,
        None => {
            let list = upstream["messages"].as_array().cloned().unwrap_or_default();
            let encode = |message: &Value| {
                DynamicMessage::deserialize(output.clone(), message).map(|message| message.encode_to_vec())
            };
            list.iter().map(encode).collect::<Result<_, _>>().map_err(|error| error.to_string())?
        }
    };
    let (types, headers): (Vec<_>, Vec<_>) = pairs(&upstream["headers"])
        .into_iter()
        .partition(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let speaks_grpc = types.iter().all(|(_, value)| value.starts_with("application/grpc"));
    let raw =
        ["body_hex", "raw_hex", "frames_hex", "bytes_hex"].iter().find_map(|name| upstream[*name].as_str());
    Ok(Canned {
        plain: !speaks_grpc,
        raw: raw.map(unhex),
        headers,
        messages,
        trailers: upstream.get("status").map(pairs),
        trailers_only: upstream["trailers_only"].as_bool().unwrap_or_default(),
        abort: upstream["then"] == "abort",
        http_status: upstream["http"].as_u64().map(|status| status as u16),
        delay: Duration::from_millis(upstream["delay_ms"].as_u64().unwrap_or(0)),
    })
}

async fn response(vector: &Vector, config: Config) -> Result<String, String> {
    let gateway = gateway(vector, config)?;
    let upstream = Recorder::new(canned(&vector.input["upstream"], vector, &gateway)?);
    let method = method(vector, &gateway)?;
    let implied = json!({"method": method.http_method, "target": method.template_text});
    let request = vector.input.get("request").unwrap_or(&implied);
    let response = gateway.service(upstream).handle(http_request(request)?).await;
    let (parts, body, broken) = collect(response).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    let status = parts.status.as_u16();
    if let Some(any) = vector.expect["http_any"].as_array() {
        return if any.contains(&json!(status)) { Ok(text) } else { Err(format!("HTTP {status}: {text}")) };
    }
    match (vector.expect["http"].as_u64(), vector.expect.get("error")) {
        (None, Some(_)) => check_error(vector, status, &text)?,
        (wanted, _) => check_status(status, wanted.unwrap_or(200), &text)?,
    }
    check_headers(&vector.expect, &parts.headers)?;
    if vector.expect["body_hex"].as_str().is_some_and(|wanted| wanted != hex(&body)) {
        return Err(format!("body {}", hex(&body)));
    }
    check_body(vector, &text, broken).map(|()| text)
}

pub(crate) fn check_body(vector: &Vector, text: &str, broken: bool) -> Result<(), String> {
    let shown = || Err(format!("body {text}"));
    if let Some(prefix) = vector.expect["body_prefix"].as_str() {
        let ending = vector.expect["must_not_end_with"].as_str();
        let holds = ending.is_none_or(|ending| !text.ends_with(ending) && broken);
        return if text.starts_with(prefix) && holds { Ok(()) } else { shown() };
    }
    if vector.expect["body_text"].as_str().is_some_and(|wanted| wanted != text) {
        return shown();
    }
    if let Some(wanted) = vector.expect.get("body") {
        let mut found: Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        if let (Some(extra), Some(found)) =
            (vector.expect["body_extra_ok"].as_object(), found.as_object_mut())
        {
            drop_extras(found, extra, wanted);
        }
        if !same_json(&found, wanted) {
            return shown();
        }
    }
    Ok(())
}

fn drop_extras(found: &mut Map<String, Value>, extra: &Map<String, Value>, wanted: &Value) {
    found.retain(|key, value| wanted.get(key).is_some() || extra.get(key) != Some(value));
}
