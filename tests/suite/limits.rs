//! What is bounded: connections, streams, what may stay half open, what a node keeps for a slow or vanished client. Each
//! bound is a setting, and beyond it comes a precise status or a wait that ends.

use arsenal_server::config::Config;
use arsenal_tests::{Api, DEADLINE, Sandbox, SandboxConfig, Transport, both_with};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A node with other settings.
fn limited<F: Future<Output = ()>>(set: impl FnOnce(&mut Config), test: impl FnOnce(Arc<Sandbox>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = SandboxConfig::default();
        set(&mut config.config);
        let sandbox = Arc::new(Sandbox::start_with(config).await);
        let outcome = tokio::time::timeout(DEADLINE, test(sandbox)).await;
        assert!(outcome.is_ok(), "the test did not end within {DEADLINE:?}");
    });
}

async fn still_serves(api: &Api) {
    let pid = api.start("counter", json!({})).await;
    let call = json!({"process": pid, "message": ["add", 2]});
    assert_eq!(api.ok("CallProcess", call).await["reply"], json!(2));
}

/// Returns once a new client is served by a node whose patience is so short that it may end for anybody whom the machine
/// keeps waiting: that one asks again.
async fn serves_others(sandbox: &Arc<Sandbox>, transport: Transport) {
    let served = || {
        let sandbox = Arc::clone(sandbox);
        tokio::spawn(async move { still_serves(&sandbox.api(transport).await).await })
    };
    while served().await.is_err() {}
}

/// What the other side sends until it closes.
async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // a reset is an end too
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An HTTP/1 request on a connection that stays open; gives the status line.
async fn get(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection was closed");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return head.lines().next().unwrap_or_default().to_owned();
        }
    }
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    limited(
        |config| config.listen.first_byte_ms = 50,
        |sandbox| async move {
            for address in [sandbox.rest(), sandbox.grpc()] {
                let answer = read_to_end(&mut connect(address).await).await;
                assert!(!answer.contains("200"), "{answer}");
            }
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn a_client_that_reads_none_of_its_answers_is_closed() {
    limited(
        |config| config.listen.write_idle_ms = 50,
        |sandbox| async move {
            let mut deaf = connect(sandbox.rest()).await;
            // answers fill what lies between, then requests do; only the other end's going can end this
            let request = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
            while deaf.write_all(request).await.is_ok() {}
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn headers_that_never_end_close_the_connection() {
    limited(
        |config| config.gateway.header_read_ms = 50,
        |sandbox| async move {
            let mut slow = connect(sandbox.rest()).await;
            // it may be closed already, if the machine kept this one waiting
            let _ = slow.write_all(b"GET /v1/processes HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
            let answer = read_to_end(&mut slow).await;
            assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn a_preface_that_never_ends_closes_the_connection() {
    limited(
        |config| config.listen.first_byte_ms = 50,
        |sandbox| async move {
            for address in [sandbox.rest(), sandbox.grpc()] {
                let mut slow = connect(address).await;
                // it may be closed already, if the machine kept this one waiting
                let _ = slow.write_all(b"PRI * HTTP/2.0\r\n\r\nS").await;
                read_to_end(&mut slow).await;
            }
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn headers_that_are_too_many_or_too_long_are_431() {
    limited(
        |config| {
            config.gateway.headers_max = 40;
            config.gateway.header_bytes_max = 8_000;
        },
        |sandbox| async move {
            let many = "x: y\r\n".repeat(45);
            let long = format!("x: {}\r\n", "y".repeat(8_000));
            // beyond all that is read at once
            let endless = format!("x: {}\r\n", "y".repeat(1 << 20));
            for headers in [many, long, endless] {
                let mut stream = connect(sandbox.rest()).await;
                let head = format!(
                    "GET /v1/operations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
                );
                // it may be closed before everything is written
                let _ = stream.write_all(head.as_bytes()).await;
                let answer = read_to_end(&mut stream).await;
                let told = answer.contains("HEADERS_TOO_LARGE") || headers.len() > 1 << 16;
                assert!(answer.starts_with("HTTP/1.1 431") && told, "{} bytes: {answer}", headers.len());
            }
            // over HTTP/2 the connection goes on
            let stream = hyper_util::rt::TokioIo::new(connect(sandbox.rest()).await);
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            for (length, status) in [(1_000, 200), (9_000, 431), (1_000, 200)] {
                let request =
                    http::Request::get("http://localhost/v1/operations").header("x", "y".repeat(length));
                let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
                assert_eq!(sender.send_request(request).await.unwrap().status(), status, "{length}");
            }
            still_serves(&sandbox.api(Transport::Rest).await).await;
        },
    );
}

#[test]
fn a_body_that_stops_coming_is_408() {
    limited(
        |config| config.gateway.body_idle_ms = 50,
        |sandbox| async move {
            let mut slow = connect(sandbox.rest()).await;
            let head = "POST /v1/processes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                        content-type: application/json\r\ncontent-length: 100\r\n\r\n{\"module\"";
            slow.write_all(head.as_bytes()).await.unwrap();
            let answer = read_to_end(&mut slow).await;
            assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("BODY_TOO_SLOW"), "{answer}");
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn a_body_that_drips_is_408_over_either_protocol() {
    limited(
        |config| {
            // no client is that quick
            config.gateway.body_bytes_per_second_min = u32::MAX;
            config.gateway.body_grace_ms = 50;
        },
        |sandbox| async move {
            let (mut read, mut write) = connect(sandbox.rest()).await.into_split();
            let head = "POST /v1/processes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                        content-length: 4000000\r\n\r\n";
            write.write_all(head.as_bytes()).await.unwrap();
            // a byte for each request that another client has answered meanwhile
            let mut other = connect(sandbox.rest()).await;
            let drip = async {
                while write.write_all(b" ").await.is_ok() {
                    get(&mut other, "/healthz").await;
                }
                std::future::pending::<()>().await;
            };
            let mut answer = Vec::new();
            tokio::select! {
                // a reset is an end too
                _ = read.read_to_end(&mut answer) => {}
                () = drip => {}
            }
            let answer = String::from_utf8_lossy(&answer);
            let told = answer.contains("BODY_TOO_SLOW") && answer.contains(" a second");
            assert!(answer.starts_with("HTTP/1.1 408") && told, "{answer}");

            let stream = hyper_util::rt::TokioIo::new(connect(sandbox.rest()).await);
            let executor = hyper_util::rt::TokioExecutor::new();
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
            tokio::spawn(connection);
            let other = connect(sandbox.rest()).await;
            let drops = futures_util::stream::unfold(other, |mut other| async {
                get(&mut other, "/healthz").await;
                let drop = hyper::body::Frame::data(bytes::Bytes::from_static(b" "));
                Some((Ok::<_, std::convert::Infallible>(drop), other))
            });
            let body = http_body_util::StreamBody::new(Box::pin(drops));
            let request = http::Request::post("http://localhost/v1/processes").body(body).unwrap();
            assert_eq!(sender.send_request(request).await.unwrap().status(), 408);
            serves_others(&sandbox, Transport::Rest).await;
        },
    );
}

#[test]
fn a_unary_call_without_its_message_exceeds_its_deadline() {
    use arsenal_proto::v1::{StartProcessRequest, StartProcessResponse};
    limited(
        |config| config.grpc.request_idle_ms = 50,
        |sandbox| async move {
            let channel =
                tonic::transport::Channel::from_shared(format!("http://{}", sandbox.grpc())).unwrap();
            let mut client = tonic::client::Grpc::new(channel.connect().await.unwrap());
            client.ready().await.unwrap();
            let path = http::uri::PathAndQuery::from_static("/arsenal.v1.ProcessService/StartProcess");
            // headers, and then nothing
            let silence = tonic::Request::new(futures_util::stream::pending::<StartProcessRequest>());
            let codec = tonic_prost::ProstCodec::<StartProcessRequest, StartProcessResponse>::default();
            let status = client.streaming(silence, path, codec).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "{status:?}");
            assert!(status.message().contains("nothing more of the request"), "{status:?}");
            serves_others(&sandbox, Transport::Grpc).await;
        },
    );
}

#[test]
fn a_message_beyond_the_limit_gets_the_same_status_over_grpc_and_rest() {
    limited(
        |config| {
            config.grpc.message_bytes_max = 1_000;
            config.grpc.response_bytes_max = 1_000;
        },
        |sandbox| async move {
            for transport in [Transport::Grpc, Transport::Rest] {
                let api = sandbox.api(transport).await;
                let asked = json!({"module": "counter", "key": "k".repeat(1_000)});
                let failure = api.err("StartProcess", asked).await;
                let reason = (&*failure.code, &*failure.reason);
                assert_eq!(reason, ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"), "{transport:?}");
                for _ in 0..20 {
                    api.start("counter", json!({})).await;
                }
                let failure = api.err("ListAllProcesses", json!({})).await;
                let reason = (&*failure.code, &*failure.reason);
                assert_eq!(reason, ("RESOURCE_EXHAUSTED", "RESPONSE_TOO_LARGE"), "{transport:?}");
            }
        },
    );
}

#[test]
fn connections_beyond_the_limit_wait_until_one_ends() {
    limited(
        |config| config.listen.connections_max = 2,
        |sandbox| async move {
            let mut held = [connect(sandbox.rest()).await, connect(sandbox.rest()).await];
            for stream in &mut held {
                assert_eq!(get(stream, "/metrics").await, "HTTP/1.1 200 OK");
            }
            let mut third = connect(sandbox.rest()).await;
            let mut waits = Box::pin(get(&mut third, "/metrics"));
            assert!(waits.as_mut().now_or_never().is_none());
            // those that have a place are served meanwhile
            for _ in 0..20 {
                for stream in &mut held {
                    assert_eq!(get(stream, "/healthz").await, "HTTP/1.1 200 OK");
                }
                assert!(waits.as_mut().now_or_never().is_none(), "the third was served beside the other two");
            }
            drop(held);
            assert_eq!(waits.await, "HTTP/1.1 200 OK");
        },
    );
}

#[test]
fn connections_of_one_address_beyond_the_limit_are_closed_and_counted() {
    limited(
        |config| config.listen.connections_per_address_max = 2,
        |sandbox| async move {
            let mut held = [connect(sandbox.rest()).await, connect(sandbox.rest()).await];
            for stream in &mut held {
                assert_eq!(get(stream, "/healthz").await, "HTTP/1.1 200 OK");
            }
            assert_eq!(read_to_end(&mut connect(sandbox.rest()).await).await, "");
            // those that are there go on, and the other port counts for itself
            let [mut first, second] = held;
            first
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let metrics = read_to_end(&mut first).await;
            for sample in [
                "arsenal_connections{port=\"rest\"} 2",
                "arsenal_connections_refused_total{port=\"rest\",reason=\"address\"} 1",
            ] {
                assert!(metrics.lines().any(|line| line == sample), "{sample} is not in\n{metrics}");
            }
            still_serves(&sandbox.api(Transport::Grpc).await).await;
            drop((first, second));
            // its place is free once the other end has seen that it went
            loop {
                let mut next = connect(sandbox.rest()).await;
                let _ = next
                    .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    .await;
                if read_to_end(&mut next).await.starts_with("HTTP/1.1 200") {
                    break;
                }
                tokio::task::yield_now().await;
            }
        },
    );
}

#[test]
fn streams_beyond_the_limit_of_a_connection_wait_until_one_ends() {
    limited(
        |config| config.grpc.streams_per_connection_max = 2,
        |sandbox| async move {
            let api = sandbox.api(Transport::Grpc).await;
            let first = api.stream("WatchProcesses", json!({})).await;
            let _second = api.stream("WatchProcesses", json!({})).await;
            let mut waits = Box::pin(api.call("GetSystemInfo", json!({})));
            let other = sandbox.api(Transport::Grpc).await;
            for _ in 0..20 {
                assert!(
                    waits.as_mut().now_or_never().is_none(),
                    "a third stream was served beside the other two"
                );
                // another connection is served meanwhile
                other.ok("GetSystemInfo", json!({})).await;
            }
            drop(first);
            waits.await.unwrap();
        },
    );
}

#[test]
fn headers_beyond_the_limit_fail_their_call_and_not_the_connection() {
    limited(
        |config| config.grpc.header_bytes_max = 8_000,
        |sandbox| async move {
            let api = sandbox.api(Transport::Grpc).await;
            let long = api.with_header("x-long", &"x".repeat(10_000));
            long.err("GetSystemInfo", json!({})).await;
            still_serves(&api).await;
        },
    );
}

#[test]
fn a_client_that_vanishes_in_mid_call_leaves_nothing_behind() {
    both_with(|sandbox, api| async move {
        let pid = api.start("counter", json!({})).await;
        api.ok("SuspendProcess", json!({"process": pid, "holder": "test"})).await;
        let call = json!({"process": pid, "message": ["add", 5], "timeout": "20s"});
        // a connection of its own, which goes with the client
        let vanishing = sandbox.api(api.transport()).await;
        let waiting = tokio::spawn(async move { vanishing.call("CallProcess", call).await });
        api.eventually(|| async { (sandbox.node().waiting_requests() == 1).then_some(()) }).await;
        waiting.abort();
        api.eventually(|| async { (sandbox.node().waiting_requests() == 0).then_some(()) }).await;
        api.ok("ResumeProcess", json!({"process": pid, "holder": "test"})).await;
        // the call was sent, and is handled; its answer goes nowhere
        let count = || async {
            let reply = api.ok("CallProcess", json!({"process": pid, "message": "get"})).await;
            (reply["reply"] == json!(5)).then_some(())
        };
        api.eventually(count).await;
        assert_eq!(sandbox.node().waiting_requests(), 0);
    });
}

#[test]
fn requests_that_wait_are_bounded() {
    limited(
        |config| config.limits.waiting_requests_max = 1,
        |sandbox| async move {
            let api = sandbox.api(Transport::Grpc).await;
            let node = sandbox.node();
            let pid = api.start("recorder", json!({})).await;
            api.ok("PauseProcessScheduling", json!({"process": pid, "holder": "test"})).await;
            let waiting = api.clone();
            let call = json!({"process": pid, "message": "first", "timeout": "20s"});
            let first = tokio::spawn(async move { waiting.call("CallProcess", call).await });
            api.eventually(|| async { (node.waiting_requests() == 1).then_some(()) }).await;
            let failure = api.err("CallProcess", json!({"process": pid, "message": "second"})).await;
            assert_eq!(
                (&*failure.code, &*failure.reason),
                ("RESOURCE_EXHAUSTED", "SYSTEM_LIMIT"),
                "{failure:?}"
            );
            first.abort();
        },
    );
}

#[test]
fn processes_are_bounded_and_a_place_comes_back() {
    limited(
        |config| config.limits.processes_max = 3,
        |sandbox| async move {
            for transport in [Transport::Grpc, Transport::Rest] {
                let api = sandbox.api(transport).await;
                let mut pids = Vec::new();
                for _ in 0..3 {
                    pids.push(api.start("counter", json!({})).await);
                }
                let failure = api.err("StartProcess", json!({"module": "counter"})).await;
                assert_eq!((&*failure.code, &*failure.reason), ("RESOURCE_EXHAUSTED", "SYSTEM_LIMIT"));
                for pid in pids {
                    api.ok("KillProcess", json!({"process": pid})).await;
                }
                api.eventually(|| async { (sandbox.node().process_count() == 0).then_some(()) }).await;
                still_serves(&api).await;
                api.eventually(|| async {
                    for process in api.ok("ListAllProcesses", json!({})).await["processes"]
                        .as_array()
                        .into_iter()
                        .flatten()
                    {
                        // it may be gone already
                        let _ = api.call("KillProcess", json!({"process": process["pid"]})).await;
                    }
                    (sandbox.node().process_count() == 0).then_some(())
                })
                .await;
            }
        },
    );
}

#[test]
fn a_message_beyond_the_limit_is_refused_and_the_mailbox_is_unharmed() {
    limited(
        |config| config.limits.message_bytes_max = 1_000,
        |sandbox| async move {
            for transport in [Transport::Grpc, Transport::Rest] {
                let api = sandbox.api(transport).await;
                let pid = api.start("recorder", json!({})).await;
                let message = json!({"process": pid, "message": "x".repeat(2_000)});
                for rpc in ["SendMessage", "CallProcess"] {
                    let failure = api.err(rpc, message.clone()).await;
                    assert_eq!(
                        (&*failure.code, &*failure.reason),
                        ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"),
                        "{rpc}"
                    );
                }
                let state = api.ok("GetProcessState", json!({"process": pid})).await;
                assert_eq!(state["state"]["messages"], json!([]), "{state}");
            }
        },
    );
}

/// More changes than the event log keeps and the buffers on the way hold.
const CHANGES: usize = 60_000;

#[test]
fn a_slow_reader_of_a_watch_is_told_what_it_lost() {
    for transport in [Transport::Grpc, Transport::Rest] {
        limited(
            |config| config.limits.events_per_scheduler_max = 1_000,
            |sandbox| async move {
                let api = sandbox.api(transport).await;
                let pid = api.start("counter", json!({})).await;
                let node = sandbox.node();
                let me = pid.parse().unwrap();
                let mut watch = api.stream("WatchProcesses", json!({})).await;
                until(&mut watch, "SNAPSHOT_END").await;
                // nothing is read meanwhile
                for change in 0..CHANGES {
                    node.record("process.label", me, me, arsenal_runtime::Term::Null, 0);
                    if change % 1_000 == 0 {
                        still_answers(&api).await;
                    }
                }
                let lost = until(&mut watch, "DROPPED").await;
                let dropped = lost["dropped"].as_str().unwrap_or_default().parse::<u64>().unwrap();
                assert!(dropped > 0 && dropped <= CHANGES as u64, "{lost}");
                // and begins anew
                let picture = until(&mut watch, "SNAPSHOT").await;
                assert_eq!(picture["process"]["pid"], json!(pid));
            },
        );
    }
}

async fn until(watch: &mut arsenal_tests::Answers, kind: &str) -> Value {
    loop {
        let item = watch.next().await.expect("the watch goes on").unwrap();
        if item["kind"] == json!(kind) {
            return item;
        }
    }
}

async fn still_answers(api: &Api) {
    api.ok("GetSystemInfo", json!({})).await;
}

#[test]
fn a_name_that_nobody_told_a_node_on_loopback_reads_nothing_there() {
    limited(
        |config| config.gateway.hosts = vec!["known.test".into()],
        |sandbox| async move {
            for path in ["/v1/processes", "/metrics", "/openapi.json"] {
                for (host, status) in
                    [("localhost", 200), ("127.0.0.1:1", 200), ("known.test:80", 200), ("x.test", 421)]
                {
                    let mut stream = connect(sandbox.rest()).await;
                    let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let answer = read_to_end(&mut stream).await;
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}{path}: {answer}");
                    assert_eq!(
                        answer.contains(r#""reason":"HOST_NOT_ALLOWED""#),
                        status == 421,
                        "{host}{path}: {answer}"
                    );
                }
            }
        },
    );
}
