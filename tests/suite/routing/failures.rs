//! What is said when the other node does not answer.

use super::{among, counter_on_2};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

#[test]
fn a_request_that_came_from_another_node_goes_no_further() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        let spent = first.with_header("arsenal-hops-left", "0");
        if transport == arsenal_tests::Transport::Rest {
            // the gateway passes on no header that it was not told of
            return;
        }
        let refused = spent.err("CallProcess", json!({"process": pid, "message": "get"})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("UNAVAILABLE", "NOCONNECTION"));
        assert!(!refused.message.contains("nothing was sent to n2"), "it was not tried: {}", refused.message);
    });
}

#[test]
fn a_node_that_is_down_or_cannot_be_connected_to_was_sent_nothing() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        let call = || first.err("CallProcess", json!({"process": pid, "message": "get"}));
        cluster.mark_down(2);
        let down = call().await;
        assert_eq!((&*down.code, &*down.reason), ("UNAVAILABLE", "NOCONNECTION"));
        let (_nobody, address) = arsenal_tests::nobody();
        cluster.move_to(2, address);
        let refused = call().await;
        assert_eq!((&*refused.code, &*refused.reason), ("UNAVAILABLE", "NOCONNECTION"));
    });
}

/// Reads each request to its end, and then breaks the connection.
async fn breaks_off() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let read = Arc::new(tokio::sync::Notify::new());
            let noting = Arc::clone(&read);
            let service =
                hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let read = Arc::clone(&noting);
                    async move {
                        let _ = http_body_util::BodyExt::collect(request.into_body()).await;
                        read.notify_one();
                        std::future::pending::<Result<hyper::Response<String>, std::convert::Infallible>>()
                            .await
                    }
                });
            let executor = hyper_util::rt::TokioExecutor::new();
            let socket = hyper_util::rt::TokioIo::new(socket);
            let connection =
                hyper::server::conn::http2::Builder::new(executor).serve_connection(socket, service);
            tokio::select! {
                _ = connection => {}
                () = read.notified() => {}
            }
        }
    });
    address
}

#[test]
fn a_connection_that_is_lost_after_sending_leaves_the_outcome_unknown() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        cluster.move_to(2, breaks_off().await);
        let lost = first.err("CallProcess", json!({"process": pid, "message": "get"})).await;
        assert_eq!((&*lost.code, &*lost.reason), ("ABORTED", "OUTCOME_UNKNOWN"));
        assert_eq!(lost.exit, Some(json!("noconnection")));
    });
}

#[test]
fn the_deadline_of_a_request_holds_on_the_node_that_answers_it() {
    among(2, |cluster, transport| async move {
        if transport == arsenal_tests::Transport::Rest {
            return;
        }
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        first.ok("SuspendProcess", json!({"process": pid})).await;
        let hurried = first.with_header("grpc-timeout", "200m");
        let late = hurried.err("CallProcess", json!({"process": pid, "message": "get"})).await;
        // the client's own clock may be first
        assert!(["CANCELLED", "DEADLINE_EXCEEDED"].contains(&&*late.code), "{late:?}");
        // its node has given it up too: nothing waits there any more
        let node = cluster.node(2).node().clone();
        first.eventually(|| async { (node.waiting_requests() == 0).then_some(()) }).await;
    });
}

#[test]
fn a_header_that_names_no_node_of_the_cluster_is_refused_whatever_is_asked() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        for name in ["n9", "n02", "there"] {
            let nowhere = first.with_header("arsenal-node", name);
            for (rpc, request) in [
                ("StartProcess", json!({"module": "counter"})),
                ("ListAllProcesses", json!({})),
                ("ListAllProcesses", json!({"node": "-"})),
                ("CallProcess", json!({"process": pid, "message": "get"})),
                ("GetCluster", json!({})),
            ] {
                let refused = nowhere.err(rpc, request).await;
                assert_eq!(
                    (&*refused.code, &*refused.reason),
                    ("NOT_FOUND", "UNKNOWN_NODE"),
                    "{rpc} on `{name}`"
                );
                assert!(refused.message.contains(name), "{}", refused.message);
            }
        }
    });
}

#[test]
fn what_is_on_no_node_of_the_cluster_is_answered_by_the_node_that_was_asked() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        for pid in ["n9.1.5", "n2.9.5", "n1.7.5"] {
            let dead = first.err("GetProcessInfo", json!({"process": pid})).await;
            assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "NOPROC"), "{pid}");
        }
        let unknown = first.err("CallProcess", json!({"process": "a@n9", "message": "get"})).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}
