//! Requests: how long their parts may be and how slowly they may come, and by which name a node is asked.

use super::{connect, get, limited, read_to_end, serves_others, still_serves};
use arsenal_tests::Transport;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
            // beyond all that is read at once, in one field and in fields
            let endless = format!("x: {}\r\n", "y".repeat(1 << 20));
            let very_many = "x: y\r\n".repeat(120);
            for headers in [many, long, endless, very_many] {
                let mut stream = connect(sandbox.rest()).await;
                let head = format!(
                    "GET /v1/operations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"
                );
                // it may be closed before everything is written
                let _ = stream.write_all(head.as_bytes()).await;
                let answer = read_to_end(&mut stream).await;
                let told = answer.contains(r#""reason":"HEADERS_TOO_LARGE""#);
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
fn what_is_no_http_is_told_so_as_any_error_is() {
    limited(
        |_| {},
        |sandbox| async move {
            for head in ["GARBAGE\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nx\r\n\r\n"] {
                // a request before it changes nothing
                for first in [None, Some("/healthz")] {
                    let mut stream = connect(sandbox.rest()).await;
                    if let Some(path) = first {
                        get(&mut stream, path).await;
                    }
                    stream.write_all(head.as_bytes()).await.unwrap();
                    let answer = read_to_end(&mut stream).await;
                    assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
                    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
                    let error: serde_json::Value = serde_json::from_str(body).unwrap();
                    assert_eq!(error["error"]["details"][0]["reason"], "INVALID_HTTP", "{head:?}: {answer}");
                }
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
