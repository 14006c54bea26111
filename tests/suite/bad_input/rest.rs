//! What only HTTP can get wrong.

use super::still_serves;
use arsenal_tests::{DEADLINE, Transport, on};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer: status, the envelope's reason, the whole body.
#[derive(Debug)]
struct Answer {
    status: u16,
    reason: String,
    body: String,
}

/// Sends these bytes and reads until the other side closes.
async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // the node may answer and close before it has read all of it
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the connection is closed after the answer");
    answer
}

async fn send(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head = format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("content-length: {}\r\n", body.len());
    }
    let answer = raw(address, &[head.as_bytes(), b"\r\n", body].concat()).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{line}: no answer: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let details = json["error"]["details"].as_array().cloned().unwrap_or_default();
    let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or_default().to_owned();
    Answer { status: status.unwrap_or_else(|| panic!("{line}: {head}")), reason, body: body.to_owned() }
}

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

#[test]
fn a_body_that_is_not_the_request_is_refused() {
    let bodies: &[(&[u8], &str)] = &[
        (br#"{"module":"#, "the text ends"),
        (br#"{"module": "counter", "nonsense": 1}"#, "an unknown field"),
        (br#"{"module": 5}"#, "a number for a string"),
        (br#"{"module": "counter", "labels": []}"#, "a list for a map"),
        (br#"{"module": "counter", "priority": "NO_SUCH"}"#, "an unknown enum value"),
        (br#"{"module": "counter", "module": "kv"}"#, "a field twice"),
        (br#"{"module": "counter"} {}"#, "something after it"),
        (br#"["module"]"#, "a list for a message"),
        (b"\"counter\"", "a string for a message"),
        (b"{\"module\": \"\xff\xfe\"}", "no UTF-8"),
        (br#"{"module": "\ud800"}"#, "half a surrogate pair"),
        (br#"{"module": "counter", "args": 1e999}"#, "a number beyond all"),
        (b"{module: 'counter'}", "not JSON"),
    ];
    on(Transport::Rest, |sandbox, api| async move {
        for (body, what) in bodies {
            let answer = send(sandbox.rest(), "POST /v1/processes", JSON, body).await;
            assert_eq!((answer.status, &*answer.reason), (400, "INVALID_BODY"), "{what}: {answer:?}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn an_unknown_field_is_named() {
    on(Transport::Rest, |sandbox, _| async move {
        let body = br#"{"module": "counter", "nonsense": 1}"#;
        let answer = send(sandbox.rest(), "POST /v1/processes", JSON, body).await;
        assert!(answer.body.contains("nonsense"), "{answer:?}");
    });
}

#[test]
fn json_nests_a_hundred_deep_and_no_deeper() {
    on(Transport::Rest, |sandbox, api| async move {
        // the request itself is the first level, its args are the others
        let nested = |levels: usize| {
            format!(r#"{{"module": "kv", "args": {}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        let deep = send(sandbox.rest(), "POST /v1/processes", JSON, nested(101).as_bytes()).await;
        assert_eq!((deep.status, &*deep.reason), (400, "INVALID_BODY"), "{deep:?}");
        let deeper = send(sandbox.rest(), "POST /v1/processes", JSON, nested(1_000_000).as_bytes()).await;
        assert_eq!((deeper.status, &*deeper.reason), (400, "INVALID_BODY"));
        let shallow = send(sandbox.rest(), "POST /v1/processes", JSON, nested(100).as_bytes()).await;
        assert_eq!(shallow.status, 200, "{shallow:?}");
        still_serves(&api).await;
    });
}

#[test]
fn a_target_that_is_none_of_ours_is_refused() {
    let long = format!("GET /v1/processes?filter={}", "x".repeat(20_000));
    let targets: &[(&str, u16, &str)] = &[
        ("GET /v1/processes/%ff", 400, "INVALID_TARGET"),
        ("GET /v1/processes/%c3%28", 400, "INVALID_TARGET"),
        ("GET /v1/processes/%zz", 400, "INVALID_TARGET"),
        ("GET /v1/processes/a%2", 400, "INVALID_TARGET"),
        ("GET /v1/processes?filter=%ff", 400, "INVALID_TARGET"),
        ("GET /v1/processes?nonsense=1", 400, "UNKNOWN_QUERY_PARAMETER"),
        ("GET /v1/processes?page_size=many", 400, "INVALID_QUERY_PARAMETER"),
        ("GET /v1/processes?page_size=99999999999", 400, "INVALID_QUERY_PARAMETER"),
        ("GET /v1/nowhere", 404, "ROUTE_NOT_FOUND"),
        ("GET /", 404, "ROUTE_NOT_FOUND"),
        ("PATCH /v1/processes", 405, "METHOD_NOT_ALLOWED"),
        ("BREW /v1/processes", 405, "METHOD_NOT_ALLOWED"),
        ("GET /v1/processes/a:kill", 405, "METHOD_NOT_ALLOWED"),
        ("POST /v1/processes/a:klil", 404, "ROUTE_NOT_FOUND"),
        (&long, 414, "TARGET_TOO_LONG"),
    ];
    on(Transport::Rest, |sandbox, api| async move {
        for (line, status, reason) in targets {
            let answer = send(sandbox.rest(), line, &[], b"").await;
            assert_eq!((answer.status, &*answer.reason), (*status, *reason), "{line:.60}: {answer:?}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn a_verb_that_is_none_is_answered_with_the_nearest() {
    on(Transport::Rest, |sandbox, _| async move {
        let answer = send(sandbox.rest(), "POST /v1/processes/a:klil", JSON, b"{}").await;
        assert!(answer.body.contains("`:klil`") && answer.body.contains("`:kill`"), "{answer:?}");
    });
}

#[test]
fn headers_that_ask_for_what_cannot_be_are_refused() {
    let body = br#"{"module": "counter"}"#;
    let text: &[(&str, &str)] = &[("content-type", "text/plain")];
    let image: &[(&str, &str)] = &[("content-type", "application/json"), ("accept", "image/png")];
    let timeout: &[(&str, &str)] = &[("content-type", "application/json"), ("grpc-timeout", "soon")];
    on(Transport::Rest, |sandbox, api| async move {
        for (headers, status, reason) in [
            (text, 415, "UNSUPPORTED_MEDIA_TYPE"),
            (image, 406, "NOT_ACCEPTABLE"),
            (timeout, 400, "INVALID_HEADER"),
        ] {
            let answer = send(sandbox.rest(), "POST /v1/processes", headers, body).await;
            assert_eq!((answer.status, &*answer.reason), (status, reason), "{headers:?}: {answer:?}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn a_body_beyond_the_limit_is_too_large() {
    on(Transport::Rest, |sandbox, api| async move {
        let body = format!(r#"{{"module": "kv", "args": "{}"}}"#, "x".repeat(5 << 20));
        let answer = send(sandbox.rest(), "POST /v1/processes", JSON, body.as_bytes()).await;
        assert_eq!((answer.status, &*answer.reason), (413, "BODY_TOO_LARGE"), "{answer:?}");
        still_serves(&api).await;
    });
}

#[test]
fn too_many_headers_are_refused() {
    let headers: Vec<(String, &str)> = (0..200).map(|number| (format!("x-{number}"), "y")).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, *value)).collect();
    on(Transport::Rest, |sandbox, api| {
        let headers = headers.clone();
        async move {
            let answer = send(sandbox.rest(), "GET /v1/processes", &headers, b"").await;
            assert_eq!(answer.status, 431, "{answer:?}");
            still_serves(&api).await;
        }
    });
}

#[test]
fn a_body_that_breaks_off_harms_nobody() {
    on(Transport::Rest, |sandbox, api| async move {
        let head = "POST /v1/processes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                    content-length: 100\r\n\r\n{\"module\": \"counter\"";
        let mut stream = TcpStream::connect(sandbox.rest()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        drop(stream);
        still_serves(&api).await;
        assert_eq!(sandbox.node().waiting_requests(), 0);
    });
}

#[test]
fn what_is_no_http_harms_nobody() {
    on(Transport::Rest, |sandbox, api| async move {
        let garbage: &[&[u8]] = &[
            b"\x00\x01\x02\x03\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /v1/processes HTTP/1.1\r\nno colon\r\n\r\n",
            b"POST /v1/processes HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all",
        ];
        for bytes in garbage {
            let answer = raw(sandbox.rest(), bytes).await;
            let text = String::from_utf8_lossy(&answer);
            assert!(!text.starts_with("HTTP/1.1 2"), "{bytes:?}: {text}");
            raw(sandbox.grpc(), bytes).await;
        }
        still_serves(&api).await;
    });
}
