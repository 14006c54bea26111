//! What the bodies of all requests together may have of memory.

use arsenal_gateway::{Config, Limits, Metrics};
use arsenal_metrics::Text;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::{
    DEADLINE,
    canned::{Canned, Recorder},
    embedded, gateway,
};

type Pieces = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A request whose body is sent piece by piece.
fn request(path: &str) -> (Pieces, Request<Body>) {
    let (pieces, body) = mpsc::unbounded_channel();
    let request = Request::post(path).header("content-type", "application/json");
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
    let limits = Limits { bodies_bytes_max: 256 << 10, ..Limits::default() };
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
    let limits = Limits { answers_bytes_max: 256 << 10, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let metrics = config.metrics.clone();
    let held = || held(&metrics, "gateway_held_answer_bytes ");
    // its field 2 is a text in each message that is answered with
    let answering = |letters: usize| {
        let mut message = Vec::new();
        prost::encoding::string::encode(2, &"x".repeat(letters), &mut message);
        Recorder::new(Canned { messages: vec![message], ..Canned::default() })
    };
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

async fn until(holds: &(dyn Fn() -> bool + Sync)) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap();
}
