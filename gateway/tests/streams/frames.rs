//! WebSockets as no client library would speak them: frames by hand, wrong, in pieces, slow, or too many.

use std::time::Duration;

use arsenal_gateway::{Config, GatewayService, Limits, Metrics};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::{chat, is_soon_done, let_others_run, soon, websocket::connection};

const FINAL: u8 = 0x80;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame of a client, whose mask is of zeros; `length` may be another than the payload's.
fn announced(flags: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    const MASKED: u8 = 0x80;
    let mut frame = vec![flags];
    match length {
        0..126 => frame.push(MASKED | length as u8),
        126..65_536 => {
            frame.push(MASKED | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        _ => {
            frame.push(MASKED | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    announced(flags, payload.len(), payload)
}

/// The client's end.
struct Client(DuplexStream);

impl Client {
    async fn open(service: &GatewayService, path: &str) -> Self {
        let mut client = Self(connection(service));
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: soap, wamp\r\n\r\n"
        );
        client.send(head.as_bytes()).await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(soon(client.0.read_u8()).await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // the key and its proof are those of RFC 6455, 1.3
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(!answer.contains("sec-websocket-protocol"), "one was chosen that is not spoken: {answer}");
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        soon(self.0.write_all(bytes)).await.unwrap();
    }

    /// The next frame, of the server's: flags and payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let (flags, length) = (soon(self.0.read_u8()).await.unwrap(), soon(self.0.read_u8()).await.unwrap());
        let length = match length {
            126 => usize::from(soon(self.0.read_u16()).await.unwrap()),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        soon(self.0.read_exact(&mut payload)).await.unwrap();
        (flags, payload)
    }

    async fn json(&mut self) -> Value {
        let (flags, payload) = self.frame().await;
        assert_eq!(flags, FINAL | TEXT, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// The code and the reason with which the server closes, behind which it sends nothing.
    async fn closed(&mut self) -> (u16, String) {
        let (flags, payload) = self.frame().await;
        assert_eq!(flags, FINAL | CLOSE, "{payload:?}");
        let (code, reason) = payload.split_first_chunk().unwrap();
        // it may have closed altogether
        let _ = self.0.write_all(&frame(FINAL | CLOSE, code)).await;
        let mut rest = Vec::new();
        soon(self.0.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "{rest:?}");
        (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap())
    }
}

fn limited(limits: Limits) -> (GatewayService, Metrics) {
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    (chat(config).0, metrics)
}

fn held_body_bytes(metrics: &Metrics) -> usize {
    let mut text = arsenal_metrics::Text::default();
    metrics.write(&mut text);
    let text = text.into_string();
    let held = text.lines().find_map(|line| line.strip_prefix("gateway_held_body_bytes "));
    held.expect("it is told").parse().unwrap()
}

#[tokio::test]
async fn a_client_that_closes_has_its_close_answered() {
    let (service, seen) = chat(Config::default());
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    client.send(&frame(FINAL | TEXT, b"{}")).await;
    client.json().await;
    client.send(&frame(FINAL | CLOSE, &[0x03, 0xe9, b'b', b'y', b'e'])).await;
    assert_eq!(client.closed().await, (1001, "bye".to_owned()));
    soon(seen.broken.notified()).await;
}

#[tokio::test]
async fn what_is_no_websocket_is_closed_as_a_protocol_error() {
    let unmasked = [FINAL | TEXT, 2, b'{', b'}'].to_vec();
    let cases = [
        ("an unmasked frame", unmasked),
        ("a reserved bit", frame(FINAL | 0x40 | TEXT, b"{}")),
        ("an unknown kind of data", frame(FINAL | 3, b"{}")),
        ("an unknown kind of control", frame(FINAL | 11, b"{}")),
        ("a control frame in parts", frame(PING, b"x")),
        ("a control frame that is too long", frame(FINAL | PING, &[b'x'; 126])),
        ("a continuation of nothing", frame(FINAL | CONTINUATION, b"{}")),
        ("a message within another", [frame(TEXT, b"{"), frame(FINAL | TEXT, b"}")].concat()),
        ("a close of half a code", frame(FINAL | CLOSE, b"x")),
    ];
    let (service, seen) = chat(Config::default());
    for (what, bytes) in cases {
        let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
        client.send(&frame(FINAL | TEXT, b"{}")).await;
        client.json().await;
        // what comes behind it is nobody's concern any more
        client.send(&[bytes, vec![b'x'; 1_000]].concat()).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, 1002, "{what}: {reason}");
        assert!(!reason.is_empty(), "{what}");
        soon(seen.broken.notified()).await;
    }
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_refused_in_one_frame_and_in_parts() {
    let (service, _) = chat(Config::default());
    for bytes in [
        frame(FINAL | TEXT, b"{\"text\": \"\xff\"}"),
        [frame(TEXT, b"{\"text\": \"\xc3"), frame(FINAL | CONTINUATION, b"(\"}")].concat(),
    ] {
        let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
        client.send(&bytes).await;
        let error = client.json().await["error"].clone();
        assert_eq!(error["details"][0]["reason"], "INVALID_BODY", "{error}");
        assert_eq!(client.closed().await.0, 4003);
    }
}

#[tokio::test]
async fn a_message_in_parts_with_pings_between_them_is_one_message() {
    let (service, _) = chat(Config::default());
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    // a part ends within a letter
    client.send(&frame(TEXT, b"{\"text\": \"\xc3")).await;
    client.send(&frame(FINAL | PING, b"there?")).await;
    assert_eq!(client.frame().await, (FINAL | PONG, b"there?".to_vec()));
    client.send(&frame(CONTINUATION, b"")).await;
    client.send(&frame(FINAL | CONTINUATION, b"\xa9\"}")).await;
    assert_eq!(client.json().await, json!({"room": "a", "text": "é", "sequence": "1"}));
}

#[tokio::test]
async fn a_message_that_grows_beyond_the_limit_in_parts_is_refused_before_it_is_whole() {
    let (service, _) = limited(Limits { request_bytes_max: 100, ..Limits::default() });
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    client.send(&frame(TEXT, &[b'x'; 60])).await;
    client.send(&frame(CONTINUATION, &[b'x'; 60])).await;
    assert_eq!(client.json().await["error"]["details"][0]["reason"], "BODY_TOO_LARGE");
    assert_eq!(client.closed().await.0, 4008);
    // one that only says how long it is
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    client.send(&announced(FINAL | TEXT, 1 << 40, b"{")).await;
    assert_eq!(client.json().await["error"]["details"][0]["reason"], "BODY_TOO_LARGE");
    assert_eq!(client.closed().await.0, 4008);
}

#[tokio::test]
async fn messages_that_are_not_whole_count_as_held_and_one_without_room_is_refused() {
    let limits = Limits { bodies_bytes_max: 1 << 20, room_wait_max: Duration::ZERO, ..Limits::default() };
    let (service, metrics) = limited(limits);
    let mut in_parts = Client::open(&service, "/v1/rooms/a:talk").await;
    in_parts.send(&frame(TEXT, &[b' '; 100_000])).await;
    in_parts.send(&frame(CONTINUATION, &[b' '; 100_000])).await;
    let mut begun = Client::open(&service, "/v1/rooms/a:talk").await;
    begun.send(&announced(FINAL | TEXT, 500_000, b"{")).await;
    let_others_run().await;
    assert_eq!(held_body_bytes(&metrics), 12 << 16);
    let mut refused = Client::open(&service, "/v1/rooms/a:talk").await;
    refused.send(&announced(FINAL | TEXT, 500_000, b"{")).await;
    assert_eq!(refused.json().await["error"]["details"][0]["reason"], "OVERLOADED");
    assert_eq!(refused.closed().await.0, 4014);
    // one that is whole is held until upstream has it
    begun.send(&[b" ".repeat(499_998), b"}".to_vec()].concat()).await;
    assert_eq!(begun.json().await["sequence"], "1");
    in_parts.send(&frame(FINAL | CONTINUATION, b"{}")).await;
    assert_eq!(in_parts.json().await["sequence"], "1");
    let_others_run().await;
    assert_eq!(held_body_bytes(&metrics), 0);
}

#[tokio::test]
async fn a_large_message_is_held_whatever_comes_together_with_its_end() {
    let rest = frame(FINAL | CONTINUATION, b"}");
    let small = frame(FINAL | TEXT, b"");
    let ping = frame(FINAL | PING, b"");
    let cases = [
        ("nothing", rest.clone()),
        ("a small message", [&*rest, &*small].concat()),
        ("a ping before it", [&*ping, &*rest].concat()),
    ];
    for (what, end) in cases {
        let (service, metrics) = limited(Limits::default());
        // upstream reads nothing, and one message lies before it
        let mut client = Client::open(&service, "/v1/lines:ignore").await;
        client.send(&frame(FINAL | TEXT, b"{}")).await;
        client.send(&frame(TEXT, &[b"{".to_vec(), b" ".repeat(1_000_000)].concat())).await;
        let_others_run().await;
        client.send(&end).await;
        let_others_run().await;
        assert_eq!(held_body_bytes(&metrics), 16 << 16, "with {what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_let_itself_be_waited_for_keeps_room_for_what_has_come_alone() {
    let (service, metrics) = limited(Limits::default());
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    client.send(&announced(FINAL | TEXT, 1_000_000, &[b' '; 100_000])).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(held_body_bytes(&metrics), 16 << 16);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(held_body_bytes(&metrics), 2 << 16);
    client.send(&[b' '; 100_000]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(held_body_bytes(&metrics), 4 << 16);
    client.send(&[b" ".repeat(799_998), b"{}".to_vec()].concat()).await;
    assert_eq!(client.json().await["sequence"], "1");
}

#[tokio::test]
async fn a_message_waits_for_room_until_others_are_whole() {
    let limits = Limits { bodies_bytes_max: 1 << 20, ..Limits::default() };
    let (service, _) = limited(limits);
    let mut first = Client::open(&service, "/v1/rooms/a:talk").await;
    first.send(&announced(FINAL | TEXT, 1_000_000, b"{")).await;
    let_others_run().await;
    let mut second = Client::open(&service, "/v1/rooms/a:talk").await;
    let begun = tokio::spawn(async move {
        second
            .send(&frame(FINAL | TEXT, &[b"{".to_vec(), b" ".repeat(500_000), b"}".to_vec()].concat()))
            .await;
        second.json().await
    });
    let_others_run().await;
    assert!(!begun.is_finished());
    first.send(&[b" ".repeat(999_998), b"}".to_vec()].concat()).await;
    assert_eq!(first.json().await["sequence"], "1");
    assert_eq!(soon(begun).await.unwrap()["sequence"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_drips_or_stops_is_too_slow_and_a_client_between_two_may_rest() {
    let (service, _) = limited(Limits::default());
    let heartbeat = Config::default().heartbeat;
    let mut resting = Client::open(&service, "/v1/rooms/a:talk").await;
    for _ in 0..10 {
        assert_eq!(resting.frame().await.0, FINAL | PING);
        resting.send(&frame(FINAL | PONG, b"")).await;
    }
    resting.send(&frame(FINAL | TEXT, b"{}")).await;
    resting.json().await;
    // its answers to pings keep the one with half a message alive, and its message is as late
    let mut stopped = Client::open(&service, "/v1/rooms/a:talk").await;
    stopped.send(&frame(TEXT, b"{")).await;
    // a byte each second
    let mut dripping = Client::open(&service, "/v1/rooms/a:talk").await;
    dripping.send(&announced(FINAL | TEXT, 1_000, b"{")).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = dripping.0.write_all(b" ").await;
    }
    assert!(Duration::from_secs(5) < heartbeat);
    for client in [&mut stopped, &mut dripping] {
        let error = client.json().await["error"].clone();
        assert_eq!(error["details"][0]["reason"], "BODY_TOO_SLOW", "{error}");
        assert_eq!(client.closed().await.0, 4004);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_message_at_an_even_pace_is_no_silence() {
    let (service, _) = limited(Limits::default());
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    client.send(&announced(FINAL | TEXT, 100_002, b"{")).await;
    // many times as long as an answer to a ping may take, and none can be sent within a frame
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        client.send(&[b' '; 1_000]).await;
    }
    client.send(b"}").await;
    loop {
        match client.frame().await {
            (flags, _) if flags == FINAL | PING => {}
            (flags, line) => {
                assert_eq!(flags, FINAL | TEXT, "{}", String::from_utf8_lossy(&line));
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_pings_and_reads_nothing_is_not_read_from_any_more() {
    let (service, _) = chat(Config::default());
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    let pings = frame(FINAL | PING, &[b'x'; 125]).repeat(100);
    let mut sent = 0;
    while sent < 1_000 {
        if !is_soon_done(client.0.write_all(&pings)).await {
            break;
        }
        sent += 1;
    }
    assert!(sent < 20, "{sent} times a hundred pings taken of a client that reads no answer");
}

#[tokio::test]
async fn a_binary_frame_where_text_is_expected_is_refused() {
    let (service, _) = chat(Config::default());
    let mut client = Client::open(&service, "/v1/rooms/a:talk").await;
    client.send(&frame(FINAL | BINARY, b"{}")).await;
    assert_eq!(client.json().await["error"]["details"][0]["reason"], "INVALID_BODY");
    assert_eq!(client.closed().await.0, 4003);
}
