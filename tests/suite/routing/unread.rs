//! Answers of other nodes that their clients do not read.

use super::add;
use arsenal_server::dynamic;
use arsenal_tests::{Api, Cluster, DEADLINE, SandboxConfig, Transport, api::operation};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Bytes that the client takes of an answer before it has to say that it wants more.
const WINDOW: u32 = 1_024;

/// An answer of which nothing is read but the headers, on a connection of its own.
struct Unread {
    _sender: http2::SendRequest<Full<Bytes>>,
    _answer: http::Response<Incoming>,
}

/// Asks for what it does not read.
async fn unread(address: SocketAddr, rpc: &str, request: &Value) -> Unread {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let operation = operation(rpc);
    let message = dynamic::encode(operation, request).unwrap();
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap());
    body.put_slice(&message);
    let request = http::Request::post(format!("http://{address}{}", operation.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::<Bytes>::from(body.freeze()))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.headers().get("grpc-status")), (http::StatusCode::OK, None));
    Unread { _sender: sender, _answer: answer }
}

/// Whether a request is refused since too much is not read.
async fn is_refused(api: &Api, rpc: &str, request: &Value) -> bool {
    match api.call(rpc, request.clone()).await {
        Ok(_) => false,
        Err(failure) => {
            assert_eq!((&*failure.code, &*failure.reason), ("RESOURCE_EXHAUSTED", "SYSTEM_LIMIT"));
            true
        }
    }
}

/// Runs a test among two nodes, of which the first keeps so many bytes of answers that nobody reads.
fn among_two<F: Future<Output = ()>>(answers_bytes_max: usize, test: impl FnOnce(Cluster, Api) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let with = |_| {
            let mut with = SandboxConfig::default();
            with.config.grpc.answers_bytes_max = answers_bytes_max;
            with
        };
        let cluster = Cluster::start_with(2, with).await;
        let api = cluster.api(1, Transport::Grpc).await;
        let outcome = tokio::time::timeout(DEADLINE * 2, test(cluster, api)).await;
        assert!(outcome.is_ok(), "the test did not end within {:?}", DEADLINE * 2);
    });
}

/// A recorder on n2, of which the state has six megabytes.
async fn large(api: &Api) -> String {
    let started = api.ok("StartProcess", json!({"node": "n2", "module": "recorder", "args": {}})).await;
    let pid = started["pid"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        api.ok("CastMessage", json!({"process": pid, "message": "x".repeat(2_000_000)})).await;
    }
    pid
}

#[test]
fn answers_of_another_node_that_are_not_read_count_on_the_node_that_was_asked() {
    among_two(1 << 20, |cluster, api| async move {
        let state = json!({"process": large(&api).await});
        let answer = unread(cluster.node(1).grpc(), "GetProcessState", &state).await;
        assert!(is_refused(&api, "GetProcessState", &state).await);
        drop(answer);
        api.eventually(|| async { (!is_refused(&api, "GetProcessState", &state).await).then_some(()) }).await;
    });
}

#[test]
fn answers_that_were_gathered_and_are_not_read_count_on_the_node_that_was_asked() {
    among_two(32 << 10, |cluster, api| async move {
        for number in 0..100 {
            let labels = json!({"number": format!("{number:0>250}")});
            api.ok("StartProcess", json!({"node": "n2", "module": "counter", "labels": labels})).await;
        }
        let all = json!({"node": "-", "pageSize": 1_000, "readMask": "pid,labels"});
        let answer = unread(cluster.node(1).grpc(), "ListAllProcesses", &all).await;
        assert!(is_refused(&api, "ListAllProcesses", &all).await);
        drop(answer);
        api.eventually(|| async { (!is_refused(&api, "ListAllProcesses", &all).await).then_some(()) }).await;
    });
}

#[test]
fn answers_that_are_not_read_hold_up_no_other_request_on_its_way_to_the_same_node() {
    among_two(256 << 20, |cluster, api| async move {
        let state = json!({"process": large(&api).await});
        let started = api.ok("StartProcess", json!({"node": "n2", "module": "counter", "args": {}})).await;
        let mut unread_yet = Vec::new();
        // together more than the connection between the nodes has on its way at a time
        for _ in 0..5 {
            unread_yet.push(unread(cluster.node(1).grpc(), "GetProcessState", &state).await);
        }
        assert_eq!(add(&api, started["pid"].as_str().unwrap(), 1).await, json!(1));
    });
}
