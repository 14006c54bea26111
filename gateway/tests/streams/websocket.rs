//! WebSockets: frames both ways, ends and errors by close codes, and nobody who is slow makes a buffer grow.

use std::{sync::atomic::Ordering, time::Duration};

use arsenal_gateway::{Config, GatewayService, Limits};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, header};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest as _, protocol::CloseFrame},
};

use crate::{PIPE_BYTES, chat, is_soon_done, let_others_run, soon, stalled::held_answer_bytes};

type Socket = WebSocketStream<DuplexStream>;

/// A connection to the gateway, as its listener would serve it.
pub(crate) fn connection(service: &GatewayService) -> DuplexStream {
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let service = TowerToHyperService::new(service.clone());
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        hyper::service::Service::call(&service, request.map(axum::body::Body::new))
    });
    tokio::spawn(async move {
        let http = hyper::server::conn::http1::Builder::new();
        let _ = http.serve_connection(TokioIo::new(server), service).with_upgrades().await;
    });
    client
}

async fn shake(
    service: &GatewayService,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(Socket, Response<Option<Vec<u8>>>), tungstenite::Error> {
    let mut request = format!("ws://gateway{path}").into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    soon(tokio_tungstenite::client_async(request, connection(service))).await
}

async fn open(service: &GatewayService, path: &str) -> Socket {
    shake(service, path, &[]).await.unwrap().0
}

async fn say(socket: &mut Socket, text: &str) {
    soon(socket.send(Message::text(text))).await.unwrap();
}

async fn frame(socket: &mut Socket) -> Message {
    loop {
        match soon(socket.next()).await.expect("no end yet").unwrap() {
            Message::Ping(_) | Message::Pong(_) => {}
            frame => return frame,
        }
    }
}

async fn json(socket: &mut Socket) -> Value {
    serde_json::from_str(frame(socket).await.to_text().unwrap()).unwrap()
}

async fn close(socket: &mut Socket) -> CloseFrame {
    match frame(socket).await {
        Message::Close(Some(close)) => close,
        other => panic!("{other:?}, where a close is expected"),
    }
}

/// The error frame and the close behind it.
async fn failure(socket: &mut Socket) -> (Value, u16, String) {
    let error = json(socket).await["error"].clone();
    let close = close(socket).await;
    (error, close.code.into(), close.reason.to_string())
}

#[tokio::test]
async fn frames_go_both_ways_while_the_stream_is_open_and_an_empty_one_ends_it() {
    let (service, _) = chat(Config::default());
    let mut socket = open(&service, "/v1/rooms/blue:talk").await;
    for (text, sequence) in [("hello", "1"), ("again", "2")] {
        say(&mut socket, &json!({ "text": text, "room": "not this one" }).to_string()).await;
        let line = json(&mut socket).await;
        assert_eq!(line, json!({"room": "blue", "text": text, "sequence": sequence}));
    }
    say(&mut socket, "").await;
    let close = close(&mut socket).await;
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1000, ""));
}

#[tokio::test]
async fn a_client_stream_with_one_answer_and_a_request_with_a_body_work_alike() {
    let (service, _) = chat(Config::default());
    let mut socket = open(&service, "/v1/lines:tally").await;
    for _ in 0..3 {
        say(&mut socket, "{}").await;
    }
    say(&mut socket, "").await;
    assert_eq!(json(&mut socket).await["sequence"], "3");
    assert_eq!(u16::from(close(&mut socket).await.code), 1000);
    let mut socket = open(&service, "/v1/lines:search").await;
    say(&mut socket, r#"{"sequence": 2}"#).await;
    assert_eq!(json(&mut socket).await["sequence"], "1");
    assert_eq!(json(&mut socket).await["sequence"], "2");
    assert_eq!(u16::from(close(&mut socket).await.code), 1000);
}

#[tokio::test]
async fn a_message_may_have_many_times_its_size_as_json() {
    let mut config =
        Config { limits: Limits { response_bytes_max: 1, ..Limits::default() }, ..Config::default() };
    config.json.emit_defaults = true;
    let (service, _) = chat(config);
    let mut socket = open(&service, "/v1/lines:tally").await;
    say(&mut socket, "").await;
    // of no bytes at all
    assert_eq!(json(&mut socket).await, json!({"room": "", "text": "", "sequence": "0"}));
}

#[tokio::test]
async fn a_server_stream_needs_no_frame_of_the_client_and_bytes_come_as_bytes() {
    let (service, _) = chat(Config::default());
    let mut socket = open(&service, "/v1/lines:follow?sequence=1").await;
    assert_eq!(json(&mut socket).await["sequence"], "1");
    assert_eq!(u16::from(close(&mut socket).await.code), 1000);
    let mut socket = open(&service, "/v1/file").await;
    assert_eq!(frame(&mut socket).await, Message::binary(b"one ".as_slice()));
    assert_eq!(frame(&mut socket).await, Message::binary(b"two".as_slice()));
}

#[tokio::test]
async fn a_binary_frame_is_a_piece_of_an_upload() {
    let (service, _) = chat(Config::default());
    let mut socket = open(&service, "/v1/file:upload").await;
    for piece in [b"one ".as_slice(), b"", b"{two"] {
        soon(socket.send(Message::binary(piece))).await.unwrap();
    }
    say(&mut socket, "").await;
    assert_eq!(json(&mut socket).await["text"], "one ||{two");
    assert_eq!(u16::from(close(&mut socket).await.code), 1000);
}

#[tokio::test]
async fn the_close_code_carries_the_status_and_the_frame_before_it_the_details() {
    let (service, _) = chat(Config::default());
    let mut socket = open(&service, "/v1/rooms/a:talk").await;
    say(&mut socket, r#"{"text": "fail"}"#).await;
    let (error, code, reason) = failure(&mut socket).await;
    assert_eq!(
        (&error["status"], &error["message"]),
        (&json!("FAILED_PRECONDITION"), &json!("not in the mood"))
    );
    assert_eq!((code, &*reason), (4009, "FAILED_PRECONDITION: not in the mood"));
}

#[tokio::test]
async fn each_status_has_a_close_code_of_its_own() {
    let (service, _) = chat(Config::default());
    // a number that is no code is UNKNOWN
    for (status, code) in (1..=16).map(|code| (code, code)).chain([(17, 2), (99, 2)]) {
        let mut socket = open(&service, "/v1/rooms/a:talk").await;
        say(&mut socket, &json!({ "text": format!("fail {status}") }).to_string()).await;
        let (error, closed, reason) = failure(&mut socket).await;
        assert_eq!(closed, 4000 + code, "{error}");
        let name = error["status"].as_str().unwrap();
        assert_eq!(reason, format!("{name}: asked for"));
    }
}

#[tokio::test]
async fn a_frame_that_is_no_message_is_refused_precisely_and_upstream_sees_a_break() {
    let limits = Limits { request_bytes_max: 64, ..Limits::default() };
    let (service, seen) = chat(Config { limits, ..Config::default() });
    let cases = [
        (Message::text(r#"{"txet": "a"}"#), 4003, "did you mean `text`?"),
        (Message::text("{"), 4003, "at byte 1"),
        (Message::binary(b"{}".as_slice()), 4003, "a binary frame"),
        (Message::text(format!(r#"{{"text": "{}"}}"#, "a".repeat(100))), 4008, "112 > 64"),
    ];
    for (frame, expected, words) in cases {
        let mut socket = open(&service, "/v1/rooms/a:talk").await;
        say(&mut socket, "{}").await;
        json(&mut socket).await;
        soon(socket.send(frame)).await.unwrap();
        let (error, code, _) = failure(&mut socket).await;
        assert_eq!(code, expected);
        assert!(error["message"].as_str().unwrap().contains(words), "{error}");
        soon(seen.broken.notified()).await;
    }
    let mut socket = open(&service, "/v1/lines:follow").await;
    say(&mut socket, "{}").await;
    let (mut code, mut message) = (0, Value::Null);
    while code == 0 {
        match frame(&mut socket).await {
            Message::Close(close) => code = close.unwrap().code.into(),
            other => message = serde_json::from_str(other.to_text().unwrap()).unwrap(),
        }
    }
    assert_eq!((code, &message["error"]["message"]), (4003, &json!("a message behind the last one")));
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call_with_a_break_and_not_with_an_end() {
    let (service, seen) = chat(Config::default());
    for orderly in [true, false] {
        let mut socket = open(&service, "/v1/rooms/a:talk").await;
        say(&mut socket, "{}").await;
        json(&mut socket).await;
        if orderly {
            soon(socket.close(None)).await.unwrap();
        }
        drop(socket);
        soon(seen.broken.notified()).await;
        soon(seen.dropped.notified()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_closes_with_its_code() {
    let (service, seen) = chat(Config::default());
    let (mut socket, _) = shake(&service, "/v1/lines:ignore", &[("request-timeout", "0.02")]).await.unwrap();
    let (_, code, reason) = failure(&mut socket).await;
    assert_eq!((code, &*reason), (4004, "DEADLINE_EXCEEDED: the deadline passed in mid stream"));
    soon(seen.dropped.notified()).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_the_producer_back() {
    let (service, seen) = chat(Config::default());
    let mut socket = open(&service, "/v1/lines:follow").await;
    for _ in 0..3 {
        json(&mut socket).await;
    }
    let_others_run().await;
    let produced = seen.produced.load(Ordering::SeqCst);
    // the pipe has room for four lines, and one is in each hand on the way
    assert!(produced <= 3 + 4 + 4, "{produced} lines for a reader of 3");
    drop(socket);
    soon(seen.dropped.notified()).await;
}

#[tokio::test]
async fn a_frame_that_the_client_does_not_read_counts_as_large_as_it_is() {
    let config = Config::default();
    let metrics = config.metrics.clone();
    let held = || held_answer_bytes(&metrics).parse::<usize>().unwrap();
    let (service, _) = chat(config);
    let mut socket = open(&service, "/v1/rooms/blue:talk").await;
    // a byte in the message, and six in its JSON
    let text = "\u{1}".repeat(30_000);
    say(&mut socket, &json!({ "text": text }).to_string()).await;
    soon(async {
        while held() < 6 * text.len() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(json(&mut socket).await["text"], text);
    say(&mut socket, "").await;
    assert_eq!(u16::from(close(&mut socket).await.code), 1000);
    assert_eq!(held(), 0);
}

#[tokio::test]
async fn a_service_that_does_not_read_holds_the_client_back() {
    let (service, _) = chat(Config::default());
    let mut socket = open(&service, "/v1/lines:ignore").await;
    let line = json!({ "text": "x".repeat(1000) }).to_string();
    let mut sent = 0;
    while sent < 1000 {
        if !is_soon_done(socket.send(Message::text(&line))).await {
            break;
        }
        sent += 1;
    }
    // the gateway reads up to 128 KiB at once; beyond that and the pipe nothing is taken
    assert!(sent < 200, "{sent} messages taken for a service that reads none");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_client_is_pinged_and_one_that_never_answers_is_given_up() {
    let config = || Config { heartbeat: Duration::from_millis(5), ..Config::default() };
    let (service, seen) = chat(config());
    let mut socket = open(&service, "/v1/rooms/a:talk").await;
    // reading answers pings, more of them than a silent client is allowed
    for _ in 0..10 {
        assert!(matches!(soon(socket.next()).await.unwrap().unwrap(), Message::Ping(_)));
    }
    say(&mut socket, "{}").await;
    json(&mut socket).await;
    // not reading does not
    soon(seen.dropped.notified()).await;
    drop(socket);
}

#[tokio::test]
async fn the_subprotocol_is_chosen_and_may_bring_the_token() {
    let (service, seen) = chat(Config::default());
    let offered = [("sec-websocket-protocol", "grpc-json.v1, bearer.abc.def")];
    let (mut socket, response) = shake(&service, "/v1/rooms/a:talk", &offered).await.unwrap();
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "grpc-json.v1");
    say(&mut socket, "{}").await;
    json(&mut socket).await;
    assert_eq!(seen.authorization.lock().unwrap().as_deref(), Some("Bearer abc.def"));
}

async fn refused(service: &GatewayService, path: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
    match shake(service, path, headers).await {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_wrong_before_the_first_frame_has_an_http_status() {
    let (service, _) = chat(Config { origins: vec!["https://friend.example".into()], ..Config::default() });
    assert_eq!(refused(&service, "/v1/nothing", &[]).await.0, 404);
    assert_eq!(refused(&service, "/v1/lines:follow?sequense=1", &[]).await.0, 400);
    // a method without a stream answers as if no WebSocket had been asked for
    assert_eq!(refused(&service, "/v1/say", &[]).await.0, 200);
    let old = [("sec-websocket-version", "8")];
    match shake(&service, "/v1/rooms/a:talk", &old).await {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 426);
            assert_eq!(response.headers()["upgrade"], "websocket");
            assert_eq!(response.headers()["sec-websocket-version"], "13");
        }
        other => panic!("{other:?}"),
    }
    let (status, body) = refused(&service, "/v1/rooms/a:talk", &[("origin", "https://evil.example")]).await;
    assert_eq!(status, 403);
    assert!(body.contains("ORIGIN_NOT_ALLOWED"), "{body}");
    for origin in ["https://friend.example", "https://gateway"] {
        shake(&service, "/v1/rooms/a:talk", &[("origin", origin)]).await.unwrap();
    }
}
