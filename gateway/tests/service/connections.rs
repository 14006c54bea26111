//! What a server says about its connections is heard: how many calls it takes at a time, which it did not take, and that it
//! goes away. The servers here are h2's, so that they say it when the test wants it.

use std::{
    collections::HashSet,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arsenal_gateway::upstream::{BrokeOff, Pool, PoolConfig, Remote, Unsent, Upstream};
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::DEADLINE;

type Taken = (Request<RecvStream>, SendResponse<Bytes>);

/// A server of which each connection takes `streams` calls at a time; `answer` is called with each, and with the number of
/// its connection.
async fn server(
    streams: u32,
    answer: impl Fn(usize, Taken) -> bool + Clone + Send + 'static,
) -> (Remote, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let connections = Arc::<AtomicUsize>::default();
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream, streams, number, answer.clone()));
        }
    });
    (Remote::new(&address, 2).unwrap(), connections)
}

/// Until `answer` has the connection go away.
async fn serve(stream: TcpStream, streams: u32, number: usize, answer: impl Fn(usize, Taken) -> bool) {
    let mut connection = Builder::new().max_concurrent_streams(streams).handshake(stream).await.unwrap();
    while let Some(Ok(taken)) = connection.accept().await {
        if !answer(number, taken) {
            connection.graceful_shutdown();
        }
    }
}

/// Ends a call well.
fn end(mut respond: SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "application/grpc");
    let mut body = respond.send_response(head.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
    body.send_trailers(HeaderMap::from_iter([(
        "grpc-status".parse().unwrap(),
        HeaderValue::from_static("0"),
    )]))
    .unwrap();
}

fn call(path: &str) -> Request<Body> {
    Request::post(path).body(Body::from("\0\0\0\0\0")).unwrap()
}

async fn answered(upstream: &impl Upstream, path: &str) -> Bytes {
    let answer = tokio::time::timeout(DEADLINE, upstream.call(call(path))).await.unwrap().unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn calls_find_the_connections_that_have_room_beside_quiet_streams() {
    let (kept, mut quiet) = tokio::sync::mpsc::unbounded_channel();
    let (remote, connections) = server(2, move |_, (request, respond)| {
        match request.uri().path() {
            "/quiet" => kept.send(respond).unwrap(),
            _ => end(respond),
        }
        true
    })
    .await;
    // a connection takes as many as it likes until its server has said how many
    for _ in 0..2 {
        answered(&remote, "/quick").await;
    }
    let mut streams = Vec::new();
    for _ in 0..7 {
        let mut stream = Box::pin(remote.call(call("/quiet")));
        assert!((&mut stream).now_or_never().is_none());
        // it has come before the next is sent
        let taken = async {
            tokio::select! {
                answer = &mut stream => panic!("{answer:?}"),
                taken = quiet.recv() => taken.unwrap(),
            }
        };
        let taken = tokio::time::timeout(DEADLINE, taken).await.unwrap();
        streams.push((stream, taken));
    }
    for _ in 0..6 {
        assert_eq!(answered(&remote, "/quick").await.len(), 5);
    }
    assert!(connections.load(Ordering::Relaxed) > 2);
}

#[tokio::test]
async fn a_server_that_takes_no_more_calls_is_known_before_one_is_sent() {
    let (kept, mut quiet) = tokio::sync::mpsc::unbounded_channel();
    let (remote, _) = server(1, move |_, (_, respond)| {
        kept.send(respond).unwrap();
        true
    })
    .await;
    let mut streams = Vec::new();
    let refused = loop {
        assert!(streams.len() < 100);
        let mut stream = Box::pin(remote.call(call("/quiet")));
        let taken = async {
            tokio::select! {
                answer = &mut stream => Err(answer),
                taken = quiet.recv() => Ok(taken.unwrap()),
            }
        };
        match tokio::time::timeout(DEADLINE, taken).await.unwrap() {
            Ok(taken) => streams.push((stream, taken)),
            Err(answer) => break answer.unwrap_err(),
        }
    };
    let refused = refused.downcast::<Unsent>().unwrap();
    assert!(refused.to_string().contains("as many calls as the server takes"), "{refused}");
    let request = refused.take_request().unwrap();
    assert_eq!(request.into_body().collect().await.unwrap().to_bytes().len(), 5);
    drop(streams);
    // a cancelled call leaves its place
    let mut again = pin!(remote.call(call("/quiet")));
    tokio::select! {
        answer = &mut again => panic!("{answer:?}"),
        taken = tokio::time::timeout(DEADLINE, quiet.recv()) => assert!(taken.unwrap().is_some()),
    }
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_held_against_the_server() {
    let (remote, _) = server(100, |_, (request, respond)| {
        match request.uri().path() {
            // its body is waited for
            "/upload" => drop(tokio::spawn(async move {
                let (mut body, mut respond) = (request.into_body(), Some(respond));
                while let Some(Ok(_)) = body.data().await {}
                drop(respond.take());
            })),
            _ => end(respond),
        }
        true
    })
    .await;
    let pool = Pool::new(vec![Arc::new(remote)], HashSet::new(), PoolConfig::default());
    for _ in 0..5 {
        let pieces = [Ok(Bytes::from_static(&[0; 5])), Err(std::io::Error::other("no more"))];
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let upload = pool.call(Request::post("/upload").body(body).unwrap());
        let broken = tokio::time::timeout(DEADLINE, upload).await.unwrap().unwrap_err();
        assert!(broken.is::<BrokeOff>(), "{broken:?}");
    }
    assert_eq!(answered(&pool, "/quick").await.len(), 5);
}

#[tokio::test]
async fn an_answer_with_more_in_its_headers_than_is_read_is_not_held_against_the_server() {
    let (remote, _) = server(100, |_, (request, mut respond)| {
        let long = HeaderValue::from_bytes(&vec![b'm'; 17 << 20]).unwrap();
        match request.uri().path() {
            "/head" => {
                let head = Response::builder().header("grpc-message", long);
                respond.send_response(head.body(()).unwrap(), true).unwrap();
            }
            "/trailers" => {
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                let trailers = HeaderMap::from_iter([("grpc-message".parse().unwrap(), long)]);
                body.send_trailers(trailers).unwrap();
            }
            "/long" => {
                let mut body = respond.send_response(Response::new(()), false).unwrap();
                let told = HeaderValue::from_bytes(&vec![b'm'; 300_000]).unwrap();
                let trailers = HeaderMap::from_iter([("grpc-message".parse().unwrap(), told)]);
                body.send_trailers(trailers).unwrap();
            }
            _ => end(respond),
        }
        true
    })
    .await;
    let idempotent = HashSet::from(["/head".to_owned(), "/trailers".to_owned()]);
    let pool = Pool::new(vec![Arc::new(remote)], idempotent, PoolConfig::default());
    let long = tokio::time::timeout(DEADLINE, pool.call(call("/long"))).await.unwrap().unwrap();
    let long = long.into_body().collect().await.unwrap();
    assert_eq!(long.trailers().unwrap()["grpc-message"].len(), 300_000);
    for _ in 0..4 {
        let refused = tokio::time::timeout(DEADLINE, pool.call(call("/head"))).await.unwrap().unwrap_err();
        assert!(refused.to_string().contains("the answer cannot be read"), "{refused:?}");
        // of trailers that are too long h2 gives none
        let answer = tokio::time::timeout(DEADLINE, pool.call(call("/trailers"))).await.unwrap().unwrap();
        let read = answer.into_body().collect().await.unwrap();
        assert!(read.trailers().is_none_or(HeaderMap::is_empty), "{read:?}");
    }
    assert_eq!(answered(&pool, "/quick").await.len(), 5);
}

#[tokio::test]
async fn a_server_that_has_enough_to_do_is_not_held_for_dead() {
    let (kept, mut quiet) = tokio::sync::mpsc::unbounded_channel();
    let (remote, _) = server(1, move |_, (request, respond)| {
        match request.uri().path() {
            "/quiet" => kept.send(respond).unwrap(),
            _ => end(respond),
        }
        true
    })
    .await;
    let pool = Pool::new(vec![Arc::new(remote)], HashSet::new(), PoolConfig::default());
    let mut streams = Vec::new();
    loop {
        assert!(streams.len() < 1_000);
        let mut stream = Box::pin(pool.call(call("/quiet")));
        tokio::select! {
            answer = &mut stream => break assert!(answer.unwrap_err().downcast::<Unsent>().unwrap().is_busy()),
            taken = quiet.recv() => streams.push((stream, taken.unwrap())),
        }
    }
    for _ in 0..5 {
        let refused = tokio::time::timeout(DEADLINE, pool.call(call("/quick"))).await.unwrap().unwrap_err();
        assert!(refused.downcast::<Unsent>().unwrap().is_busy());
    }
    drop(streams);
    assert_eq!(answered(&pool, "/quick").await.len(), 5);
}

#[tokio::test]
async fn a_call_that_the_server_did_not_take_is_made_again_though_it_may_do_harm() {
    let refusals = Arc::<AtomicUsize>::default();
    let counted = refusals.clone();
    let (remote, connections) = server(100, move |number, (_, mut respond)| {
        if number == 0 {
            counted.fetch_add(1, Ordering::Relaxed);
            respond.send_reset(Reason::REFUSED_STREAM);
            return false;
        }
        end(respond);
        true
    })
    .await;
    let remote: Arc<dyn Upstream> = Arc::new(remote);
    let pool = Pool::new(vec![remote.clone(), remote], HashSet::new(), PoolConfig::default());
    for _ in 0..4 {
        assert_eq!(answered(&pool, "/change").await.len(), 5);
    }
    assert!(refusals.load(Ordering::Relaxed) > 0 && connections.load(Ordering::Relaxed) > 1);
}
