//! Vectors about gRPC's own framing, and about grpc-web's.

use arsenal_gateway::{Config, code::Code, grpc::Deframer};
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use serde_json::json;

use crate::{
    Vector,
    call_vectors::one_message,
    canned::Recorder,
    http_vectors::{canned, collect, gateway, pairs},
    json_vectors::{hex, unhex},
};

pub(crate) async fn grpc_web(vector: &Vector, config: Config) -> Result<(), String> {
    let gateway = gateway(vector, config)?;
    let canned = match vector.input.get("upstream") {
        Some(upstream) => canned(upstream, vector, &gateway)?,
        None => one_message(),
    };
    let service = gateway.service(Recorder::new(canned));
    let hex_body = vector.input["body_hex"].as_str().map(unhex);
    let body = hex_body.unwrap_or_else(|| vector.input["body"].as_str().unwrap_or_default().into());
    let mut builder = Request::post(vector.input["path"].as_str().unwrap_or("/t.S/Call"))
        .header("content-type", vector.input["request_content_type"].as_str().unwrap_or_default());
    for (name, value) in pairs(&vector.input["headers"]) {
        builder = builder.header(name, value);
    }
    let request = builder.body(Body::from(body)).map_err(|error| error.to_string())?;
    let (parts, body, _) = collect(service.handle(request).await).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    let plain = match parts.headers.get("content-type") {
        Some(value) if value.as_bytes().starts_with(b"application/grpc-web-text") => unbase64(&text),
        _ => body.clone(),
    };
    let (messages, trailer) = web_frames(&plain);
    let header = parts.headers.get("grpc-status").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let told = trailer.split("grpc-status:").nth(1).and_then(|rest| rest.split("\r\n").next()).map(str::trim);
    let found = header.as_deref().or(told).and_then(|code| code.parse().ok());
    let name = found.map(|code| Code::from_number(code).name());
    let content_type = parts.headers.get("content-type").and_then(|value| value.to_str().ok());
    let checks = [
        ("grpc_code", json!(name)),
        ("http", json!(parts.status.as_u16())),
        ("content_type", json!(content_type)),
        ("body_hex", json!(hex(&body))),
        ("messages_hex", json!(messages)),
    ];
    for (wanted, found) in checks {
        if vector.expect.get(wanted).is_some_and(|wanted| *wanted != found) {
            return Err(format!("{wanted} is {found}: {} {text}", parts.status));
        }
    }
    for (name, value) in pairs(&vector.expect["trailers"]) {
        if !trailer
            .lines()
            .any(|line| line.split_once(':').is_some_and(|(n, v)| n == name && v.trim() == value))
        {
            return Err(format!("trailers {trailer}"));
        }
    }
    Ok(())
}

/// The text of several pieces of base64, each padded on its own.
fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let quads = text.as_bytes().chunks(4);
    quads
        .flat_map(|quad| base64::engine::general_purpose::STANDARD.decode(quad).unwrap_or_default())
        .collect()
}

/// The messages of a grpc-web body in hexadecimal, and the text of its last frame.
fn web_frames(mut body: &[u8]) -> (Vec<String>, String) {
    let (mut messages, mut trailer) = (Vec::new(), String::new());
    while let Some((prefix, rest)) = body.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        let (payload, behind) = rest.split_at(length.min(rest.len()));
        match prefix[0] & 0x80 {
            0 => messages.push(hex(payload)),
            _ => trailer = String::from_utf8_lossy(payload).into_owned(),
        }
        body = behind;
    }
    (messages, trailer)
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
