//! `/metrics` as a scraper reads it: what a node counts of its processes and calls, and a gateway of its requests and nodes.

use arsenal_server::standalone::serve_gateway;
use arsenal_tests::{Api, SandboxConfig, Transport, on};
use serde_json::json;
use std::collections::HashSet;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What a scraper reads.
async fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    text
}

/// The sample of a metric.
async fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = scrape(address).await;
    let help = format!("# HELP {name} ");
    assert!(text.contains(&help), "{name} is not described");
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    sample.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn metrics_follow_what_the_node_does() {
    on(Transport::Rest, |sandbox, api| async move {
        let rest = sandbox.rest();
        assert_eq!(metric(rest, "arsenal_processes").await, 0.0);
        let events = metric(rest, "arsenal_events_total").await;
        let pid = api.start("counter", json!({})).await;
        assert_eq!(metric(rest, "arsenal_processes").await, 1.0);
        assert!(metric(rest, "arsenal_events_total").await > events);
        api.ok("KillProcess", json!({"process": pid})).await;
        let gone = || async { (metric(rest, "arsenal_processes").await == 0.0).then_some(()) };
        api.eventually(gone).await;
    });
}

/// Whether a scraper could read it: each sample belongs to the family that was described last, and no family comes twice.
fn assert_readable(text: &str) {
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let (mut families, mut family) = (HashSet::new(), "");
    for line in body.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            family = described.split(' ').next().unwrap();
            assert!(families.insert(family), "{family} comes twice");
        } else if !line.starts_with("# TYPE ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

/// Waits until all of these samples are there.
async fn eventually_told(api: &Api, address: SocketAddr, samples: &[&str]) {
    api.eventually(|| async {
        let text = scrape(address).await;
        assert_readable(&text);
        samples.iter().all(|sample| text.lines().any(|line| line == *sample)).then_some(())
    })
    .await;
}

#[test]
fn calls_are_counted_by_method_and_code_whichever_port_they_come_to() {
    on(Transport::Grpc, |sandbox, api| async move {
        let rest = sandbox.api(Transport::Rest).await;
        let pid = api.start("counter", json!({})).await;
        rest.ok("CallProcess", json!({"process": pid, "message": "get"})).await;
        for api in [&api, &rest] {
            api.err("GetProcessInfo", json!({"process": "n1.1.999999"})).await;
        }
        let mut watch = api.stream("WatchProcesses", json!({})).await;
        watch.next().await.unwrap().unwrap();
        let watched = r#"rpc_method="arsenal.v1.IntrospectionService/WatchProcesses""#;
        eventually_told(
            &api,
            sandbox.rest(),
            &[
                r#"rpc_server_calls_total{rpc_method="arsenal.v1.ProcessService/StartProcess",rpc_response_status_code="OK"} 1"#,
                r#"rpc_server_calls_total{rpc_method="arsenal.v1.IntrospectionService/GetProcessInfo",rpc_response_status_code="NOT_FOUND"} 2"#,
                r#"rpc_server_call_duration_seconds_count{rpc_method="arsenal.v1.MessagingService/CallProcess"} 1"#,
                r#"http_server_requests_total{http_request_method="POST",http_route="/v1/processes/{process}:call",http_response_status_code="200"} 1"#,
                r#"http_server_requests_total{http_request_method="GET",http_route="/v1/processes/{process}",http_response_status_code="404"} 1"#,
                &format!("rpc_server_active_calls{{{watched}}} 1"),
            ],
        )
        .await;
        drop(watch);
        let ended = [
            format!("rpc_server_active_calls{{{watched}}} 0"),
            format!("rpc_server_calls_total{{{watched},rpc_response_status_code=\"CANCELLED\"}} 1"),
        ];
        eventually_told(&api, sandbox.rest(), &ended.each_ref().map(String::as_str)).await;
    });
}

#[test]
fn whatever_is_asked_for_beyond_the_routes_has_one_label() {
    on(Transport::Rest, |sandbox, api| async move {
        let rest = sandbox.rest();
        for path in ["/nothing", "/v1/nothing", "/v1/processes/a/b/c/d"] {
            let mut stream = TcpStream::connect(rest).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: {rest}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
        eventually_told(
            &api,
            rest,
            &[
                r#"http_server_requests_total{http_request_method="_OTHER",http_route="unmatched",http_response_status_code="404"} 3"#,
                r#"gateway_failures_total{reason="ROUTE_NOT_FOUND"} 3"#,
            ],
        )
        .await;
        assert!(!scrape(rest).await.contains("nothing"));
    });
}

#[test]
fn a_gateway_of_its_own_counts_its_requests_and_its_nodes() {
    on(Transport::Grpc, |sandbox, api| async move {
        let mut config = SandboxConfig::default().config;
        config.listen.rest = ([127, 0, 0, 1], 0).into();
        // a node that is not there
        config.gateway.upstream = format!("http://{},http://127.0.0.1:1", sandbox.grpc());
        let (address, _serving, _stop) = serve_gateway(&config).await.unwrap();
        let rest = Api::rest(address);
        for _ in 0..10 {
            rest.ok("GetSystemInfo", json!({})).await;
        }
        let node = format!("upstream=\"http://{} at 127.0.0.1\"", sandbox.grpc());
        let samples = [
            format!("gateway_upstream_up{{{node}}} 1"),
            r#"gateway_upstream_up{upstream="http://127.0.0.1:1 at 127.0.0.1"} 0"#.to_owned(),
            format!("gateway_upstream_active_calls{{{node}}} 0"),
            format!("gateway_upstream_attempts_total{{{node},outcome=\"answered\"}} 10"),
            r#"arsenal_connections_refused_total{port="rest",reason="address"} 0"#.to_owned(),
            r#"http_server_request_duration_seconds_count{http_request_method="GET",http_route="/v1/system"} 10"#
                .to_owned(),
        ];
        eventually_told(&api, address, &samples.each_ref().map(String::as_str)).await;
    });
}
