//! Vectors about whole requests and answers, run through the service with a canned upstream behind it.

use std::{sync::Arc, time::Duration};

use arsenal_gateway::{Config, Gateway, GatewayService, config::Transcoder, grpc::Deframer};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Map, Value, json};

use crate::{
    Outcome, Vector,
    canned::{Canned, Recorder},
    json_vectors::{hex, same, same_json, unhex},
    options, protos,
};

/// For vectors that bring no proto of their own.
const PLAIN_PROTO: &str = r#"syntax = "proto3"; package t; import "google/api/annotations.proto";
    message Shelf { int64 id = 1; string theme = 2; }
    service S { rpc Call(Shelf) returns (Shelf) { option (google.api.http) = { post: "/call" body: "*" }; } }"#;

/// What the smaller kinds can be given and asked to expect; a vector that has something else is skipped by name.
const UNDERSTOOD: [(&str, &[&str], &[&str]); 6] = [
    ("grpc_web", &["request_content_type", "body_hex"], &["grpc_code"]),
    ("health", &["grpc_health"], &["http", "headers"]),
    ("cancel", &["event"], &["upstream_cancelled_within_ms"]),
    ("metadata_in", &["headers", "options"], &["metadata", "absent", "error", "http"]),
    (
        "metadata_out",
        &["response_metadata", "trailers", "request_headers", "options"],
        &["headers", "http_trailers", "absent_headers"],
    ),
    ("deadline", &["headers", "options", "upstream_delay_ms"], &["timeout_ms", "error", "http", "within_ms"]),
];

fn not_understood(vector: &Vector) -> Option<String> {
    let (_, given, wanted) = UNDERSTOOD.iter().find(|(kind, ..)| *kind == vector.kind)?;
    let strange = |value: &Value, known: &[&str]| {
        value.as_object()?.keys().find(|key| !known.contains(&key.as_str())).cloned()
    };
    if let Some(name) = strange(&vector.input, given).or_else(|| strange(&vector.expect, wanted)) {
        return Some(format!("the runner does not know what `{name}` means for {}", vector.kind));
    }
    let trailers = vector.expect["http_trailers"].as_object().is_some_and(|trailers| !trailers.is_empty());
    trailers.then(|| "no HTTP trailers are sent".to_owned())
}

/// Runs a vector on the plans and, where it holds, on the reference too.
pub(crate) async fn run(vector: &Vector) -> Outcome {
    if let Some(reason) = not_understood(vector) {
        return Outcome::Skipped(reason);
    }
    for transcoder in [Transcoder::Plan, Transcoder::Reference] {
        let config = match options::config(&vector.input["options"], transcoder) {
            Ok(config) => config,
            Err(reason) => return Outcome::Skipped(reason),
        };
        let result = match vector.kind.as_str() {
            "transcode_request" | "stream_request" => request(vector, config).await,
            "transcode_response" | "stream_response" | "transcode_error" => response(vector, config).await,
            "error_map" => error_map(vector, config).await,
            "upstream_http_to_code" => http_to_code(vector, config).await,
            "metadata_in" => metadata_in(vector, config).await,
            "metadata_out" => metadata_out(vector, config).await,
            "deadline" => deadline(vector, config).await,
            "cancel" => cancel(config).await,
            "health" => health(vector, config).await,
            "grpc_web" => grpc_web(vector, config).await,
            other => return Outcome::Skipped(format!("no kind {other}")),
        };
        if let Err(reason) = result {
            return Outcome::Failed(format!("{transcoder:?}: {reason}"));
        }
    }
    Outcome::Passed
}

fn gateway(vector: &Vector, config: Config) -> Result<Gateway, String> {
    let proto = vector.input["proto"].as_str().unwrap_or(PLAIN_PROTO);
    let descriptors = protos::descriptor_set(proto).map_err(|error| error.to_string())?;
    Gateway::builder(descriptors).config(config).build().map_err(|error| error.to_string())
}

/// An HTTP request as a vector has it.
fn http_request(request: &Value) -> Result<Request<Body>, String> {
    let mut builder = Request::builder()
        .method(request["method"].as_str().unwrap_or("POST"))
        .uri(request["target"].as_str().unwrap_or("/call"));
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        builder = builder.header(name, value.as_str().unwrap_or_default());
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

async fn collect(response: Response<Body>) -> (http::response::Parts, Vec<u8>, bool) {
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let mut broken = false;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.into_data().unwrap_or_default()),
            Err(_) => broken = true,
        }
    }
    (parts, bytes, broken)
}

async fn request(vector: &Vector, config: Config) -> Result<(), String> {
    let gateway = gateway(vector, config)?;
    let rpc = vector.input["rpc"].as_str().unwrap_or_default();
    let method =
        gateway.methods().find(|method| method.descriptor.full_name() == rpc).ok_or("no such rpc")?;
    let descriptor = method.descriptor.input();
    let upstream = Recorder::new(Canned { messages: vec![Vec::new()], ..Canned::default() });
    let service = gateway.service(upstream.clone());
    let response = service.handle(http_request(&vector.input["request"])?).await;
    let (parts, body, _) = collect(response).await;
    let shown = String::from_utf8_lossy(&body).into_owned();
    if let Some(wanted) = vector.expect["http"].as_u64().filter(|_| vector.expect.get("message").is_none()) {
        return check_status(parts.status.as_u16(), wanted, &shown);
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
    for (found, wanted) in asked.messages.iter().zip(wanted) {
        let wanted =
            DynamicMessage::deserialize(descriptor.clone(), wanted).map_err(|error| error.to_string())?;
        let message =
            DynamicMessage::decode(descriptor.clone(), &**found).map_err(|error| error.to_string())?;
        if !same(&message, &wanted) {
            return Err(format!("sent {} where {} is wanted", hex(found), hex(&wanted.encode_to_vec())));
        }
    }
    Ok(())
}

fn check_status(found: u16, wanted: u64, shown: &str) -> Result<(), String> {
    if u64::from(found) == wanted { Ok(()) } else { Err(format!("HTTP {found}: {shown}")) }
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        Value::Array(list) => list.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        _ => Vec::new(),
    }
}

fn canned(upstream: &Value, gateway: &Gateway) -> Result<Canned, String> {
    let output = gateway.methods().next().ok_or("no method")?.descriptor.output();
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
    let headers =
        pairs(&upstream["headers"]).into_iter().filter(|(name, _)| name != "content-type").collect();
    Ok(Canned {
        headers,
        messages,
        trailers: upstream.get("status").map(pairs),
        trailers_only: upstream["trailers_only"].as_bool().unwrap_or_default(),
        abort: upstream["then"] == "abort",
        ..Canned::default()
    })
}

async fn response(vector: &Vector, config: Config) -> Result<(), String> {
    let gateway = gateway(vector, config)?;
    let upstream = Recorder::new(canned(&vector.input["upstream"], &gateway)?);
    let method = gateway.methods().next().ok_or("no method")?;
    let implied = json!({"method": method.http_method, "target": method.template_text});
    let request = vector.input.get("request").unwrap_or(&implied);
    let response = gateway.service(upstream).handle(http_request(request)?).await;
    let (parts, body, broken) = collect(response).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    let status = parts.status.as_u16();
    if let Some(any) = vector.expect["http_any"].as_array() {
        return if any.contains(&json!(status)) { Ok(()) } else { Err(format!("HTTP {status}: {text}")) };
    }
    check_status(status, vector.expect["http"].as_u64().unwrap_or(200), &text)?;
    for (name, value) in pairs(&vector.expect["headers"]) {
        let found = parts.headers.get(&name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if found != value {
            return Err(format!("header {name}: {found}"));
        }
    }
    for name in vector.expect["absent_headers"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if parts.headers.contains_key(name) {
            return Err(format!("header {name} is there"));
        }
    }
    check_body(vector, &text, broken)
}

fn check_body(vector: &Vector, text: &str, broken: bool) -> Result<(), String> {
    let shown = || Err(format!("body {text}"));
    if let Some(prefix) = vector.expect["body_prefix"].as_str() {
        let ending = vector.expect["must_not_end_with"].as_str().unwrap_or("\0");
        return if text.starts_with(prefix) && !text.ends_with(ending) && broken { Ok(()) } else { shown() };
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

async fn plain_call(
    vector: &Vector,
    config: Config,
    canned: Canned,
    headers: &[(String, String)],
) -> Result<(http::response::Parts, Value, Recorder), String> {
    let upstream = Recorder::new(canned);
    let service = gateway(vector, config)?.service(upstream.clone());
    let mut builder = Request::post("/call");
    for (name, value) in headers {
        builder = builder.header(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let response = service.handle(builder.body(Body::empty()).unwrap()).await;
    let (parts, body, _) = collect(response).await;
    Ok((parts, serde_json::from_slice(&body).unwrap_or_default(), upstream))
}

async fn error_map(vector: &Vector, config: Config) -> Result<(), String> {
    let code = vector.input["grpc_code"].to_string();
    let canned = Canned {
        trailers: Some(vec![("grpc-status".into(), code)]),
        trailers_only: true,
        ..Canned::default()
    };
    let (parts, body, _) = plain_call(vector, config, canned, &[]).await?;
    if vector.input["name"].as_str().is_some_and(|name| body["error"]["status"] != name) {
        return Err(format!("body {body}"));
    }
    check_status(parts.status.as_u16(), vector.expect["http"].as_u64().unwrap_or(0), &body.to_string())
}

async fn http_to_code(vector: &Vector, config: Config) -> Result<(), String> {
    let http_status = vector.input["http"].as_u64().map(|status| status as u16);
    let (_, body, _) =
        plain_call(vector, config, Canned { http_status, plain: true, ..Canned::default() }, &[]).await?;
    if body["error"]["status"] == vector.expect["code"] { Ok(()) } else { Err(format!("body {body}")) }
}

fn one_message() -> Canned {
    Canned { messages: vec![Vec::new()], ..Canned::default() }
}

async fn metadata_in(vector: &Vector, config: Config) -> Result<(), String> {
    let (parts, body, upstream) =
        plain_call(vector, config, one_message(), &pairs(&vector.input["headers"])).await?;
    if let Some(wanted) = vector.expect["http"].as_u64() {
        return check_status(parts.status.as_u16(), wanted, &body.to_string());
    }
    let asked = upstream.asked().pop().ok_or("upstream was not called")?;
    for (name, values) in vector.expect["metadata"].as_object().into_iter().flatten() {
        let found: Vec<&str> =
            asked.metadata.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let wanted = values.as_array().into_iter().flatten();
        let wanted: Vec<&str> = wanted
            .filter_map(|value| {
                value.as_str().or_else(|| value["base64"].as_str().map(|text| text.trim_end_matches('=')))
            })
            .collect();
        if found != wanted {
            return Err(format!("{name}: {found:?}"));
        }
    }
    match vector.expect["absent"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|name| name.as_str().is_some_and(|name| asked.metadata.contains_key(name)))
    {
        Some(name) => Err(format!("{name} crossed")),
        None => Ok(()),
    }
}

async fn metadata_out(vector: &Vector, config: Config) -> Result<(), String> {
    let ok = ("grpc-status".to_owned(), "0".to_owned());
    let trailers = pairs(&vector.input["trailers"]).into_iter().chain([ok]).collect();
    let headers = pairs(&vector.input["response_metadata"]);
    let canned = Canned { headers, trailers: Some(trailers), ..one_message() };
    let (parts, ..) = plain_call(vector, config, canned, &pairs(&vector.input["request_headers"])).await?;
    for (name, values) in vector.expect["headers"].as_object().into_iter().flatten() {
        let found: Vec<&str> =
            parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if json!(found) != *values {
            return Err(format!("{name}: {found:?}"));
        }
    }
    let absent = vector.expect["absent_headers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match absent.into_iter().find(|name| parts.headers.contains_key(*name)) {
        Some(name) => Err(format!("{name} is there")),
        None => Ok(()),
    }
}

async fn deadline(vector: &Vector, config: Config) -> Result<(), String> {
    let delay = Duration::from_millis(vector.input["upstream_delay_ms"].as_u64().unwrap_or(0));
    let started = std::time::Instant::now();
    let canned = Canned { delay, ..one_message() };
    let (parts, body, upstream) =
        plain_call(vector, config, canned, &pairs(&vector.input["headers"])).await?;
    if let Some(wanted) = vector.expect["http"].as_u64() {
        let within = vector.expect["within_ms"].as_u64().unwrap_or(u64::MAX);
        if started.elapsed().as_millis() > u128::from(within) {
            return Err(format!("after {:?}", started.elapsed()));
        }
        return check_status(parts.status.as_u16(), wanted, &body.to_string());
    }
    let asked = upstream.asked().pop().ok_or(format!("upstream was not called: {body}"))?;
    let told =
        arsenal_gateway::metadata::timeout(&asked.metadata, "test").map_err(|failure| failure.message)?;
    let told = told.unwrap_or_default().as_secs_f64() * 1000.0;
    let wanted = vector.expect["timeout_ms"].as_f64().unwrap_or(0.0);
    // Eight digits are all that gRPC's header has.
    if (told - wanted).abs() <= wanted * 1e-7 { Ok(()) } else { Err(format!("{told} ms")) }
}

async fn cancel(config: Config) -> Result<(), String> {
    let descriptors = protos::descriptor_set(PLAIN_PROTO).map_err(|error| error.to_string())?;
    let gateway = Gateway::builder(descriptors).config(config).build().map_err(|error| error.to_string())?;
    let upstream = Recorder::new(Canned { delay: Duration::from_secs(60), ..one_message() });
    let ended = Arc::new(tokio::sync::Notify::new());
    upstream.notify_end(ended.clone());
    let service: GatewayService = gateway.service(upstream.clone());
    let call =
        tokio::spawn(
            async move { service.handle(Request::post("/call").body(Body::empty()).unwrap()).await },
        );
    let asked = async {
        while upstream.asked().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), asked).await.map_err(|_| "upstream was not called")?;
    call.abort();
    tokio::time::timeout(Duration::from_secs(1), ended.notified())
        .await
        .map_err(|_| "upstream runs on".to_owned())
}

async fn health(vector: &Vector, config: Config) -> Result<(), String> {
    let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let status =
        names.iter().position(|name| vector.input["grpc_health"] == *name).ok_or("no such status")? as u8;
    let upstream = Recorder::new(Canned { messages: vec![vec![8, status]], ..Canned::default() });
    let service = gateway(vector, config)?.service(upstream);
    let response = service.handle(Request::get("/healthz").body(Body::empty()).unwrap()).await;
    let (parts, body, _) = collect(response).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    check_status(parts.status.as_u16(), vector.expect["http"].as_u64().unwrap_or(200), &text)?;
    let json = parts.headers.get("content-type").is_some_and(|value| value == "application/json");
    if json { Ok(()) } else { Err("no JSON".to_owned()) }
}

async fn grpc_web(vector: &Vector, config: Config) -> Result<(), String> {
    let service = gateway(vector, config)?.service(Recorder::new(one_message()));
    let body = unhex(vector.input["body_hex"].as_str().unwrap_or_default());
    let request = Request::post("/t.S/Call")
        .header("content-type", vector.input["request_content_type"].as_str().unwrap_or_default())
        .body(Body::from(body))
        .unwrap();
    let (parts, body, _) = collect(service.handle(request).await).await;
    let header = parts.headers.get("grpc-status").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = String::from_utf8_lossy(&body).into_owned();
    let trailer = text.split("grpc-status:").nth(1).and_then(|rest| rest.split("\r\n").next()).map(str::trim);
    let found = header.as_deref().or(trailer).and_then(|code| code.parse().ok());
    let name = found.map(|code| arsenal_gateway::code::Code::from_number(code).name());
    if name == vector.expect["grpc_code"].as_str() {
        Ok(())
    } else {
        Err(format!("{name:?}: {} {text}", parts.status))
    }
}

/// The deframer alone.
pub(crate) fn grpc_frame(vector: &Vector) -> Result<(), String> {
    let bytes = unhex(vector.input["bytes_hex"].as_str().unwrap());
    let max = vector.input["options"]["max_response_bytes"].as_u64().unwrap_or(4 << 20) as usize;
    let chunk = vector.input["chunk"].as_u64().unwrap_or(u64::MAX).min(bytes.len() as u64).max(1) as usize;
    let mut deframer = Deframer::default();
    let mut found = Vec::new();
    let mut read = || {
        for chunk in bytes.chunks(chunk) {
            deframer.push(Bytes::copy_from_slice(chunk));
            while let Some(message) = deframer.next(max)? {
                found.push(hex(&message));
            }
        }
        if vector.input["finished"] == true { deframer.finish() } else { Ok(()) }
    };
    match (read(), vector.expect.get("error")) {
        (Err(_), Some(_)) => Ok(()),
        (Ok(()), None) if json!(found) == vector.expect["messages_hex"] => Ok(()),
        (result, _) => Err(format!("{result:?}, {found:?}")),
    }
}
