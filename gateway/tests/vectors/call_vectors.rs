//! Vectors about what stands around a message: metadata, deadlines, statuses, health. Each is one call of a plain method.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arsenal_gateway::{Config, Gateway, GatewayService, code::Code};
use axum::body::Body;
use http::{HeaderMap, Request};
use serde_json::{Map, Value, json};

use crate::{
    Vector,
    canned::{Canned, Recorder},
    http_vectors::{
        PLAIN_PROTO, check_body, check_headers, check_status, collect, collect_body, gateway, pairs,
    },
    protos,
};

/// What the smaller kinds can be given and asked to expect; a vector that has something else is skipped by name.
const UNDERSTOOD: [(&str, &[&str], &[&str]); 6] = [
    (
        "grpc_web",
        &["request_content_type", "body_hex", "body", "path", "headers", "upstream", "options"],
        &["grpc_code", "http", "content_type", "body_hex", "messages_hex", "trailers"],
    ),
    (
        "health",
        &["grpc_health", "grpc_code", "grpc_status", "grpc_error", "service"],
        &["http", "headers", "body", "service"],
    ),
    ("cancel", &["event"], &["upstream_cancelled_within_ms"]),
    ("metadata_in", &["headers", "host", "options"], &["metadata", "absent", "error", "http"]),
    (
        "metadata_out",
        &["response_metadata", "trailers", "request_headers", "options"],
        &["http", "headers", "http_trailers", "absent_headers"],
    ),
    (
        "deadline",
        &["headers", "options", "upstream_delay_ms"],
        &["timeout_ms", "error", "http", "within_ms", "upstream_cancelled_within_ms"],
    ),
];

/// Names that mean the address the request came from.
const PEER: [&str; 6] = ["peer", "remote_addr", "remote_address", "peer_address", "client_ip", "remote"];

pub(crate) fn not_understood(vector: &Vector) -> Option<String> {
    let (_, given, wanted) = UNDERSTOOD.iter().find(|(kind, ..)| *kind == vector.kind)?;
    let strange = |value: &Value, known: &[&str]| {
        let mut keys = value.as_object()?.keys().filter(|key| *key != "note");
        keys.find(|key| !known.contains(&key.as_str()) && !PEER.contains(&key.as_str())).cloned()
    };
    let name = strange(&vector.input, given).or_else(|| strange(&vector.expect, wanted))?;
    Some(format!("the runner does not know what `{name}` means for {}", vector.kind))
}

async fn plain_call(
    vector: &Vector,
    config: Config,
    canned: Canned,
    headers: &[(String, String)],
) -> Result<(http::response::Parts, Value, Recorder), String> {
    let upstream = Recorder::new(canned);
    let service = gateway(vector, config)?.service(upstream.clone());
    let mut builder = Request::post("/call").version(http::Version::HTTP_2);
    for (name, value) in headers {
        builder = builder.header(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    if let Some(host) = vector.input["host"].as_str() {
        builder = builder.header("host", host);
    }
    let mut request = builder.body(Body::empty()).unwrap();
    request.extensions_mut().extend(peer(&vector.input));
    let response = service.handle(request).await;
    let (mut parts, body) = response.into_parts();
    let (body, _, trailers) = collect_body(body).await;
    parts.extensions.insert(trailers);
    Ok((parts, serde_json::from_slice(&body).unwrap_or_default(), upstream))
}

/// Where the request comes from, if a vector says so.
fn peer(input: &Value) -> http::Extensions {
    let text = PEER.iter().find_map(|name| input[*name].as_str());
    let address = text.and_then(|text| text.parse::<SocketAddr>().ok());
    let address = address.or_else(|| Some(SocketAddr::new(text?.parse().ok()?, 1)));
    let mut extensions = http::Extensions::new();
    if let Some(address) = address {
        extensions.insert(axum::extract::ConnectInfo(address));
    }
    extensions
}

pub(crate) async fn error_map(vector: &Vector, config: Config) -> Result<(), String> {
    let code = vector.input["grpc_code"].to_string();
    let succeeds = code == "0";
    let canned = Canned {
        // a call that succeeds has a message
        messages: if succeeds { vec![Vec::new()] } else { Vec::new() },
        trailers: Some(vec![("grpc-status".into(), code)]),
        trailers_only: !succeeds,
        ..Canned::default()
    };
    let (parts, body, _) = plain_call(vector, config, canned, &[]).await?;
    let name = vector.input["name"].as_str().filter(|_| !succeeds);
    if name.is_some_and(|name| body["error"]["status"] != name) {
        return Err(format!("body {body}"));
    }
    check_status(parts.status.as_u16(), vector.expect["http"].as_u64().unwrap_or(0), &body.to_string())
}

pub(crate) async fn http_to_code(vector: &Vector, config: Config) -> Result<(), String> {
    let http_status = vector.input["http"].as_u64().map(|status| status as u16);
    let (_, body, _) =
        plain_call(vector, config, Canned { http_status, plain: true, ..Canned::default() }, &[]).await?;
    if body["error"]["status"] == vector.expect["code"] { Ok(()) } else { Err(format!("body {body}")) }
}

pub(crate) fn one_message() -> Canned {
    Canned { messages: vec![Vec::new()], ..Canned::default() }
}

pub(crate) async fn metadata_in(vector: &Vector, config: Config) -> Result<(), String> {
    let (parts, body, upstream) =
        plain_call(vector, config, one_message(), &pairs(&vector.input["headers"])).await?;
    if let Some(wanted) = vector.expect["http"].as_u64() {
        return check_status(parts.status.as_u16(), wanted, &body.to_string());
    }
    let asked = upstream.asked().pop().ok_or("upstream was not called")?;
    for (name, values) in vector.expect["metadata"].as_object().into_iter().flatten() {
        let found: Vec<&str> =
            asked.metadata.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let wanted: Vec<String> = pairs(&json!({"": values})).into_iter().map(|(_, value)| value).collect();
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

pub(crate) async fn metadata_out(vector: &Vector, config: Config) -> Result<(), String> {
    let ok = ("grpc-status".to_owned(), "0".to_owned());
    let trailers = pairs(&vector.input["trailers"]).into_iter().chain([ok]).collect();
    let headers = pairs(&vector.input["response_metadata"]);
    let canned = Canned { headers, trailers: Some(trailers), ..one_message() };
    let (parts, ..) = plain_call(vector, config, canned, &pairs(&vector.input["request_headers"])).await?;
    let trailers = parts.extensions.get::<HeaderMap>().cloned().unwrap_or_default();
    check_headers(&vector.expect, &parts.headers)?;
    check_headers(&json!({"headers": vector.expect["http_trailers"]}), &trailers)?;
    let none = vector.expect["http_trailers"].as_object().is_some_and(Map::is_empty);
    if none && !trailers.is_empty() { Err(format!("trailers {trailers:?}")) } else { Ok(()) }
}

pub(crate) async fn deadline(vector: &Vector, config: Config) -> Result<(), String> {
    let delay = Duration::from_millis(vector.input["upstream_delay_ms"].as_u64().unwrap_or(0));
    let started = tokio::time::Instant::now();
    let canned = Canned { delay, ..one_message() };
    let (parts, body, upstream) =
        plain_call(vector, config, canned, &pairs(&vector.input["headers"])).await?;
    if vector.expect.get("upstream_cancelled_within_ms").is_some() && !upstream.has_ended() {
        return Err("upstream runs on".to_owned());
    }
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

pub(crate) async fn cancel(config: Config) -> Result<(), String> {
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
    tokio::time::timeout(Duration::from_secs(60), asked).await.map_err(|_| "upstream was not called")?;
    call.abort();
    tokio::time::timeout(Duration::from_secs(1), ended.notified())
        .await
        .map_err(|_| "upstream runs on".to_owned())
}

pub(crate) async fn health(vector: &Vector, config: Config) -> Result<(), String> {
    let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let status = vector.input["grpc_health"].as_str().unwrap_or("UNKNOWN");
    let status = names.iter().position(|name| *name == status).ok_or("no such status")? as u8;
    let code = ["grpc_code", "grpc_status", "grpc_error"].iter().find_map(|name| vector.input.get(*name));
    let code = code.map_or(Ok(0), code_number)?;
    let canned = match code {
        0 => Canned { messages: vec![vec![8, status]], ..Canned::default() },
        code => Canned {
            trailers: Some(vec![("grpc-status".into(), code.to_string())]),
            trailers_only: true,
            ..Canned::default()
        },
    };
    let upstream = Recorder::new(canned);
    let service = gateway(vector, config)?.service(upstream.clone());
    let query = vector.input["service"].as_str().map(|name| format!("?service={name}"));
    let request = Request::get(format!("/healthz{}", query.unwrap_or_default())).body(Body::empty()).unwrap();
    let (parts, body, _) = collect(service.handle(request).await).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    check_status(parts.status.as_u16(), vector.expect["http"].as_u64().unwrap_or(200), &text)?;
    check_headers(&vector.expect, &parts.headers)?;
    if let Some(name) = vector.expect["service"].as_str() {
        let asked = upstream.asked().pop().ok_or("upstream was not asked")?;
        let wanted = [&[0x0a, name.len() as u8], name.as_bytes()].concat();
        if asked.messages != [wanted] {
            return Err(format!("asked {:?}", asked.messages));
        }
    }
    check_body(vector, &text, false)
}

/// A code by its number or its name.
fn code_number(code: &Value) -> Result<i64, String> {
    let named =
        || (0..17).find(|number| Code::from_number(*number).name() == code.as_str().unwrap_or_default());
    code.as_i64().or_else(named).ok_or_else(|| format!("no code {code}"))
}
