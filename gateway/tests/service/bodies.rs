//! What the bodies of all requests together may have of memory.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write as _,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use arsenal_gateway::{
    Config, Limits, Metrics,
    grpc::{PREFIX, seal},
    upstream::{Answer, Upstream},
};
use arsenal_metrics::Text;
use axum::{body::Body, response::IntoResponse as _};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::Request;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{
    DEADLINE,
    canned::{Canned, Recorder},
    embedded, gateway,
};

type Pieces = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A request whose body is sent piece by piece: JSON, or lines of it for a client's stream.
fn request(path: &str) -> (Pieces, Request<Body>) {
    let (pieces, body) = mpsc::unbounded_channel();
    let content_type = if path.ends_with(":count") { "application/x-ndjson" } else { "application/json" };
    let request = Request::post(path).header("content-type", content_type);
    (pieces, request.body(Body::from_stream(UnboundedReceiverStream::new(body))).unwrap())
}

/// What is told of a gauge.
fn held(metrics: &Metrics, gauge: &str) -> f64 {
    let mut text = Text::default();
    metrics.write(&mut text);
    let text = text.into_string();
    text.lines().find_map(|line| line.strip_prefix(gauge)).unwrap().parse().unwrap()
}

/// A message but for its end.
fn text(field: &str, letters: usize) -> Bytes {
    format!(r#"{{"{field}":"{}"#, "x".repeat(letters)).into()
}

#[tokio::test]
async fn a_body_beyond_what_all_may_have_together_is_refused_until_others_are_done() {
    let room_wait_max = Duration::ZERO;
    let limits = Limits { bodies_bytes_max: 256 << 10, room_wait_max, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    let held = || held(&metrics, "gateway_held_body_bytes ");
    let (service, _) = embedded(config);
    let ask = async |request| {
        let response = tokio::time::timeout(DEADLINE, service.handle(request)).await.unwrap();
        let (parts, body) = response.into_parts();
        let told = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status.as_u16(), parts.headers.contains_key("retry-after"), told.contains("OVERLOADED"))
    };
    let whole = |letters| {
        let (pieces, request) = request("/v1/processes/a:send");
        pieces.send(Ok(text("word", letters))).unwrap();
        pieces.send(Ok("\"}".into())).unwrap();
        request
    };
    for (path, field) in [("/v1/processes/a:send", "word"), ("/v1/books:count", "title")] {
        let (pieces, slow) = request(path);
        pieces.send(Ok(text(field, 200 << 10))).unwrap();
        let slow = {
            let service = service.clone();
            tokio::spawn(async move { service.handle(slow).await.status().as_u16() })
        };
        until(&|| held() >= f64::from(200 << 10)).await;
        assert_eq!(ask(whole(100 << 10)).await, (503, true, true));
        assert_eq!(ask(whole(1 << 10)).await, (200, false, false));
        pieces.send(Ok("\"}".into())).unwrap();
        drop(pieces);
        assert_eq!(tokio::time::timeout(DEADLINE, slow).await.unwrap().unwrap(), 200);
        assert_eq!(ask(whole(100 << 10)).await, (200, false, false));
        // alone it may have more than all
        assert_eq!(ask(whole(1 << 20)).await, (200, false, false));
        until(&|| held() == 0.0).await;
    }
}

#[tokio::test]
async fn large_answers_that_nobody_reads_leave_room_for_small_ones_alone() {
    let room_wait_max = Duration::ZERO;
    let limits = Limits { answers_bytes_max: 256 << 10, room_wait_max, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    let held = || held(&metrics, "gateway_held_answer_bytes ");
    let built = gateway(config);
    let (large, small) = (built.service(answering(200 << 10)), built.service(answering(1 << 10)));
    for path in ["/v1/shelves/1/books/2", "/v1/events:watch"] {
        let get = || Request::get(path).body(Body::empty()).unwrap();
        let unread = large.handle(get()).await;
        assert_eq!(unread.status(), 200);
        let mut body = unread.into_body();
        let piece = body.frame().await.unwrap().unwrap();
        assert!(held() >= f64::from(200 << 10), "{path}");
        let refused = large.handle(get()).await;
        let refused = refused.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&refused).contains("OVERLOADED"), "{path}");
        let answered = small.handle(get()).await.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&answered).contains("xxx"), "{path}");
        drop((piece, body));
        assert_eq!(held(), 0.0, "{path}");
        let answered = large.handle(get()).await.into_body().collect().await.unwrap().to_bytes();
        assert!(answered.len() > 200 << 10, "{path}");
    }
}

#[tokio::test]
async fn an_answer_whose_json_is_larger_than_the_limit_is_refused_and_a_stream_ends_with_that() {
    let limits = Limits { json_bytes_max: 100 << 10, ..Limits::default() };
    let built = gateway(Config { limits, ..Config::default() });
    for path in ["/v1/shelves/1/books/2", "/v1/events:watch"] {
        let ask = async |bytes| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = built.service(answering(bytes)).handle(request).await;
            String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
        };
        assert!(!ask(99 << 10).await.contains("error"), "{path}");
        let refused = ask(100 << 10).await;
        assert!(refused.contains("RESPONSE_TOO_LARGE"), "{path}: {refused}");
        assert!(refused.contains("more than 102400 bytes of JSON"), "{path}: {refused}");
    }
}

#[tokio::test]
async fn json_beyond_what_is_held_for_it_is_in_the_account_before_it_is_printed() {
    let limits = Limits { answers_bytes_max: 3 << 20, room_wait_max: Duration::ZERO, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    let built = gateway(config);
    let ask = async |letter: &str| {
        let upstream = answering_text(letter.repeat(400 << 10));
        let request = Request::get("/v1/shelves/1/books/2").body(Body::empty()).unwrap();
        built.service(upstream).handle(request).await
    };
    // six bytes each
    let mut body = ask("\u{1}").await.into_body();
    let piece = body.frame().await.unwrap().unwrap();
    let taken = held(&metrics, "gateway_held_answer_bytes ");
    assert!(taken >= f64::from(2400 << 10), "{taken}");
    assert_eq!(ask("\u{1}").await.status(), 503);
    assert_eq!(ask("a").await.status(), 200);
    drop((piece, body));
    assert_eq!(ask("\u{1}").await.status(), 200);
}

#[tokio::test]
async fn a_body_waits_until_there_is_room_for_all_of_it() {
    let limits = Limits { bodies_bytes_max: 256 << 10, room_wait_max: FOR_EVER, ..Limits::default() };
    let (service, _) = embedded(Config { limits, ..Config::default() });
    let (pieces, first) = request("/v1/processes/a:send");
    pieces.send(Ok(text("word", 100 << 10))).unwrap();
    let mut first = pin!(service.handle(first));
    assert!(rests(&mut first).await);
    let body = Announced::new([text("word", 200 << 10), "\"}".into()]);
    let second = Request::post("/v1/processes/b:send").header("content-type", "application/json");
    let mut second = pin!(service.handle(second.body(Body::new(body)).unwrap()));
    assert!(rests(&mut second).await);
    pieces.send(Ok("\"}".into())).unwrap();
    drop(pieces);
    assert_eq!(first.await.status(), 200);
    assert_eq!(tokio::time::timeout(DEADLINE, second).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_keeps_no_room_from_others() {
    let limits = Limits { bodies_bytes_max: 256 << 10, ..Limits::default() };
    let (service, _) = embedded(Config { limits, ..Config::default() });
    let post = |body: Announced| {
        let request = Request::post("/v1/processes/a:send").header("content-type", "application/json");
        request.body(Body::new(body)).unwrap()
    };
    let begun = Announced { bytes: 250 << 10, ..Announced::new([text("word", 20 << 10)]) };
    let mut slow = pin!(service.handle(post(Announced { stays: true, ..begun })));
    assert!(rests(&mut slow).await);
    let other = service.handle(post(Announced::new([text("word", 100 << 10), "\"}".into()])));
    let (slow, other) = tokio::join!(slow, other);
    assert_eq!((slow.status().as_u16(), other.status().as_u16()), (408, 200));
}

#[tokio::test]
async fn a_compressed_message_counts_as_large_as_it_is_inflated() {
    let limits = Limits { answers_bytes_max: 512 << 10, room_wait_max: FOR_EVER, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    let service = gateway(config).service(Unending(pressed(200 << 10)));
    let get = || Request::get("/v1/shelves/1/books/2").body(Body::empty()).unwrap();
    let mut first = pin!(service.handle(get()));
    assert!(rests(&mut first).await, "its status does not come");
    assert!(held(&metrics, "gateway_held_answer_bytes ") >= f64::from(200 << 10));
    let refused = tokio::time::timeout(DEADLINE, service.handle(get())).await.unwrap();
    assert_eq!(refused.status(), 503, "it has a part already, and does not wait for more");
}

/// A framed message in gzip, with a text of so many letters in field 2.
fn pressed(letters: usize) -> Bytes {
    let mut message = Vec::new();
    prost::encoding::string::encode(2, &"x".repeat(letters), &mut message);
    let mut gzip = flate2::write::GzEncoder::new(vec![0; PREFIX], flate2::Compression::default());
    gzip.write_all(&message).unwrap();
    let mut frame = gzip.finish().unwrap();
    seal(&mut frame);
    frame[0] = 1;
    frame.into()
}

/// Upstream that answers with this and then tells nothing more.
struct Unending(Bytes);

impl Upstream for Unending {
    fn call(&self, _: Request<Body>) -> Answer {
        let frame = Ok::<_, Infallible>(self.0.clone());
        let body = Body::from_stream(stream::iter([frame]).chain(stream::pending()));
        let headers = [("content-type", "application/grpc"), ("grpc-encoding", "gzip")];
        Box::pin(async move { Ok((headers, body).into_response()) })
    }
}

#[tokio::test]
async fn a_large_answer_waits_until_another_was_read() {
    let limits = Limits { answers_bytes_max: 256 << 10, room_wait_max: FOR_EVER, ..Limits::default() };
    let service = gateway(Config { limits, ..Config::default() }).service(answering(200 << 10));
    for path in ["/v1/shelves/1/books/2", "/v1/events:watch"] {
        let get = || Request::get(path).body(Body::empty()).unwrap();
        let read = async |body: Body| body.collect().await.unwrap().to_bytes().len();
        let unread = service.handle(get()).await.into_body();
        let mut second = pin!(async { read(service.handle(get()).await.into_body()).await });
        let begun = match path {
            // a stream has no room before its first item is read
            "/v1/events:watch" => {
                let mut unread = unread;
                (unread.frame().await.unwrap().unwrap().into_data().unwrap(), unread)
            }
            _ => (Bytes::new(), unread),
        };
        assert!(rests(&mut second).await, "{path}");
        drop(begun);
        assert!(tokio::time::timeout(DEADLINE, second).await.unwrap() > 200 << 10, "{path}");
    }
}

/// What nothing here waits for.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

/// Whether a future waits for something that nobody does by himself.
async fn rests<F: Future>(future: &mut Pin<&mut F>) -> bool {
    for _ in 0..100 {
        if future.as_mut().now_or_never().is_some() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

/// Upstream that answers with a text of so many letters, in field 2, which is one in each message here.
fn answering(letters: usize) -> Recorder {
    answering_text("x".repeat(letters))
}

fn answering_text(text: String) -> Recorder {
    let mut message = Vec::new();
    prost::encoding::string::encode(2, &text, &mut message);
    Recorder::new(Canned { messages: vec![message], ..Canned::default() })
}

/// A body whose length is known from the start.
struct Announced {
    pieces: VecDeque<Bytes>,
    bytes: usize,
    /// Nothing comes behind the pieces, not even an end.
    stays: bool,
}

impl Announced {
    fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<_> = pieces.into_iter().collect();
        Self { bytes: pieces.iter().map(Bytes::len).sum(), pieces, stays: false }
    }
}

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.pieces.pop_front() {
            None if self.stays => Poll::Pending,
            piece => Poll::Ready(piece.map(|piece| {
                self.bytes -= piece.len();
                Ok(Frame::data(piece))
            })),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes as u64)
    }
}

async fn until(holds: &(dyn Fn() -> bool + Sync)) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap();
}
