//! HTTP/2 as no client library would speak it: frames by hand.

use super::{connect, limited, read_to_end, serves_others};
use arsenal_tests::Transport;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame as it came.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A connection of frames.
struct Raw(TcpStream);

impl Raw {
    /// Says the preface, and which settings this end has.
    async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self(connect(address).await);
        raw.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        raw.settings(settings).await;
        raw
    }

    async fn settings(&mut self, settings: &[(u16, u32)]) {
        let pairs = settings.iter().flat_map(|(id, value)| {
            let (id, value) = (id.to_be_bytes(), value.to_be_bytes());
            id.into_iter().chain(value)
        });
        self.send(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>()).await.unwrap();
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&frame(kind, flags, stream, payload)).await
    }

    async fn get(&mut self, stream: u32, path: &str) {
        let block = head(&[(":method", "GET"), (":path", path)]);
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await.unwrap();
    }

    /// The next frame, once what every client answers was answered; nothing once the other end has closed.
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            match (kind, flags & ACK) {
                // whoever closes meanwhile shows it when it is read from again
                (SETTINGS, 0) => drop(self.send(SETTINGS, ACK, 0, &[]).await),
                (PING, 0) => drop(self.send(PING, ACK, 0, &payload).await),
                (SETTINGS | PING, _) => {}
                _ => return Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload }),
            }
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length, &[kind, flags][..], &stream, payload].concat()
}

/// The fields of a request as HPACK has them without a table, with what every request has.
fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let common = [(":scheme", "http"), (":authority", "localhost")];
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let all = common.iter().chain(fields);
    all.flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

#[test]
fn a_stream_whose_client_gives_it_no_room_is_reset_and_the_connection_goes_on() {
    limited(
        |config| config.listen.write_idle_ms = 50,
        |sandbox| async move {
            let mut raw = Raw::open(sandbox.rest(), &[(INITIAL_WINDOW_SIZE, 100)]).await;
            // an answer that is there whole
            raw.get(1, "/openapi.json").await;
            let mut bytes = 0;
            let reset = loop {
                let frame = raw.frame().await.expect("the connection goes on");
                match frame.kind {
                    DATA => bytes += frame.payload.len(),
                    RST_STREAM => break frame,
                    _ => {}
                }
            };
            const CANCEL: [u8; 4] = 8u32.to_be_bytes();
            assert_eq!((reset.stream, &*reset.payload), (1, &CANCEL[..]));
            assert!(bytes <= 100, "{bytes} bytes");
            raw.settings(&[(INITIAL_WINDOW_SIZE, 65_535)]).await;
            raw.get(3, "/healthz").await;
            loop {
                let frame = raw.frame().await.expect("the connection goes on");
                if frame.stream == 3 && frame.flags & END_STREAM != 0 {
                    break;
                }
            }
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

/// Sends the same again and again until the other end has had enough of it: it says so, or closes, or takes nothing more.
/// Others are served meanwhile and behind it.
fn is_not_taken_for_ever(write_idle_ms: u64, mut more: impl FnMut(u32) -> Vec<u8>) {
    limited(
        |config| config.listen.write_idle_ms = write_idle_ms,
        |sandbox| async move {
            let mut raw = Raw::open(sandbox.rest(), &[]).await;
            let mut count = 0;
            while raw.0.write_all(&more(count)).await.is_ok() {
                count += 1;
            }
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn streams_that_are_reset_as_quickly_as_they_are_opened_leave_nothing_behind() {
    limited(
        |config| config.gateway.streams_per_connection_max = 10,
        |sandbox| async move {
            let cancel = 8u32.to_be_bytes();
            let block = head(&[(":method", "GET"), (":path", "/v1/processes:watch")]);
            let mut raw = Raw::open(sandbox.rest(), &[]).await;
            for stream in (1..20_000).step_by(2) {
                let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
                let pair = [opened, frame(RST_STREAM, 0, stream, &cancel)].concat();
                // the other end may have enough of it
                if raw.0.write_all(&pair).await.is_err() {
                    break;
                }
            }
            serves_others(&sandbox, Transport::Rest).await;
            let api = sandbox.api(Transport::Rest).await;
            let gone = || async {
                let mut stream = connect(sandbox.rest()).await;
                let asked = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
                stream.write_all(asked).await.unwrap();
                let metrics = read_to_end(&mut stream).await;
                let mut active =
                    metrics.lines().filter(|line| line.starts_with("http_server_active_requests"));
                active.all(|line| !line.contains(":watch") || line.ends_with(" 0")).then_some(())
            };
            api.eventually(gone).await;
        },
    );
}

#[test]
fn headers_that_go_on_for_ever_end_the_connection() {
    for field in [("x", "y"), ("", "")] {
        is_not_taken_for_ever(60_000, |count| {
            let (name, value) = field;
            let block = if name.is_empty() { Vec::new() } else { head(&[(name, value)]) };
            match count {
                0 => frame(HEADERS, 0, 1, &head(&[(":method", "GET"), (":path", "/v1/operations")])),
                _ => frame(CONTINUATION, 0, 1, &block),
            }
        });
    }
}

#[test]
fn a_client_that_pings_and_reads_no_answer_is_closed() {
    is_not_taken_for_ever(50, |_| frame(PING, 0, 0, b"and now?").repeat(1_000));
}

#[test]
fn a_frame_that_is_none_ends_its_connection_with_a_word() {
    limited(
        |_| {},
        |sandbox| async move {
            let head = head(&[(":method", "GET"), (":path", "/v1/operations")]);
            let cases = [
                ("a window that grows by nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
                ("a window larger than any", frame(WINDOW_UPDATE, 0, 0, &i32::MAX.to_be_bytes())),
                ("data of no stream", frame(DATA, 0, 0, b"x")),
                ("a stream of the server's own", frame(HEADERS, END_HEADERS | END_STREAM, 2, &head)),
                ("settings of half a value", frame(SETTINGS, 0, 0, &[0; 5])),
                ("a frame beyond all bounds", frame(DATA, 0, 1, &[0; 20_000])),
                ("headers that are no HPACK", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 10])),
            ];
            for (what, bytes) in cases {
                let mut raw = Raw::open(sandbox.rest(), &[]).await;
                raw.0.write_all(&bytes).await.unwrap();
                let mut last = None;
                while let Some(frame) = raw.frame().await {
                    last = Some(frame.kind);
                }
                assert_eq!(last, Some(GOAWAY), "{what}");
            }
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}
