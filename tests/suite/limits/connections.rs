//! Connections: how many there are, what they may carry at once, and how long one may say or take nothing.

use super::{connect, get, limited, read_to_end, serves_others, still_serves};
use arsenal_tests::Transport;
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

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
