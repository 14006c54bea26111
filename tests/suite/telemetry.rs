//! Traces as a collector sees them: the caller's context, the gateway's span, the RPC's, the turn's, in one trace.

use arsenal_server::telemetry::{self, Telemetry};
use arsenal_tests::{Api, Cluster, DEADLINE, Sandbox, SandboxConfig, Transport};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use parking_lot::Mutex;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tonic::{Request, Response, Status};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Keeps the spans that are exported to it.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
        self.0.lock().extend(spans.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(self.clone());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        address
    }

    /// The first span in the caller's trace that is so, once it is exported: it may end after the answer has come.
    async fn find(&self, telemetry: &Arc<Telemetry>, is: impl Fn(&Span) -> bool) -> Option<Span> {
        let found = async {
            loop {
                flush(telemetry).await;
                let of_trace = |span: &&Span| hex(&span.trace_id) == TRACE && is(span);
                let found = self.0.lock().iter().find(of_trace).cloned();
                if let Some(span) = found {
                    return span;
                }
            }
        };
        tokio::time::timeout(DEADLINE, found).await.ok()
    }

    /// The span of this name in the caller's trace.
    async fn span(&self, telemetry: &Arc<Telemetry>, name: &str) -> Span {
        let span = self.find(telemetry, |span| span.name == name).await;
        span.unwrap_or_else(|| {
            let names: Vec<String> = self.0.lock().iter().map(|span| span.name.clone()).collect();
            panic!("no span `{name}` in the caller's trace, only {names:?}")
        })
    }

    /// The span of this name and kind in the caller's trace, below another.
    async fn child(&self, telemetry: &Arc<Telemetry>, name: &str, kind: SpanKind, parent: &[u8]) -> Span {
        let is =
            |span: &Span| span.name == name && span.kind == i32::from(kind) && span.parent_span_id == parent;
        let span = self.find(telemetry, is).await;
        span.unwrap_or_else(|| panic!("no {kind:?} `{name}` below {}", hex(parent)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(span: &Span, key: &str) -> String {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key);
    match attribute.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Attribute::StringValue(text)) => text,
        Some(Attribute::IntValue(number)) => number.to_string(),
        other => panic!("`{key}` of span `{}` is {other:?}", span.name),
    }
}

/// Where there is but one subscriber, `tracing` asks the first thread that comes to a span, which may be another test's
/// and have none, whether anybody wants it, and believes it ever after. With two it asks the subscribers.
static ANOTHER: LazyLock<tracing::Dispatch> =
    LazyLock::new(|| tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new()));

/// A node that exports to a collector, and what the test does with it, with spans made on this thread alone.
fn traced<F: Future<Output = ()>>(test: impl FnOnce(Collector, Arc<Sandbox>, Arc<Telemetry>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        LazyLock::force(&ANOTHER);
        let collector = Collector::default();
        let mut config = SandboxConfig::default();
        config.config.telemetry.otlp_endpoint = format!("http://{}", collector.serve().await);
        let (subscriber, telemetry) = telemetry::prepare(&config.config.telemetry).unwrap();
        let _ours = tracing::subscriber::set_default(subscriber);
        let sandbox = Arc::new(Sandbox::start_with(config).await);
        telemetry.watch(sandbox.node());
        let telemetry = Arc::new(telemetry);
        let outcome =
            tokio::time::timeout(DEADLINE * 2, test(collector, Arc::clone(&sandbox), telemetry)).await;
        assert!(outcome.is_ok(), "the test did not end within {:?}", DEADLINE * 2);
    });
}

async fn flush(telemetry: &Arc<Telemetry>) {
    let telemetry = Arc::clone(telemetry);
    tokio::task::spawn_blocking(move || telemetry.flush()).await.unwrap();
}

fn in_trace(api: &Api, sampled: bool) -> Api {
    api.with_header("traceparent", &format!("00-{TRACE}-{CALLER}-0{}", u8::from(sampled)))
}

#[test]
fn a_call_to_a_process_of_another_node_is_one_trace_across_the_hop() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        LazyLock::force(&ANOTHER);
        let collector = Collector::default();
        let mut config = SandboxConfig::default().config;
        config.telemetry.otlp_endpoint = format!("http://{}", collector.serve().await);
        let (subscriber, telemetry) = telemetry::prepare(&config.telemetry).unwrap();
        let _ours = tracing::subscriber::set_default(subscriber);
        let sandbox = |_| SandboxConfig { config: config.clone(), ..SandboxConfig::default() };
        let cluster = Cluster::start_with(2, sandbox).await;
        let api = cluster.api(1, Transport::Grpc).await;
        let pid = cluster.api(2, Transport::Grpc).await.start("counter", json!({})).await;
        in_trace(&api, true).ok("CallProcess", json!({"process": pid, "message": ["add", 1]})).await;
        let telemetry = Arc::new(telemetry);
        let name = "arsenal.v1.MessagingService/CallProcess";
        let caller: Vec<u8> =
            (0..8).map(|at| u8::from_str_radix(&CALLER[2 * at..2 * at + 2], 16).unwrap()).collect();
        let asked = collector.child(&telemetry, name, SpanKind::Server, &caller).await;
        let hop = collector.child(&telemetry, name, SpanKind::Client, &asked.span_id).await;
        assert_eq!(text(&hop, "server.address"), "n2");
        collector.child(&telemetry, name, SpanKind::Server, &hop.span_id).await;
    });
}

#[test]
fn a_rest_call_is_one_trace_down_to_the_turn() {
    traced(|collector, sandbox, telemetry| async move {
        let api = sandbox.api(Transport::Rest).await;
        let pid = api.start("counter", json!({})).await;
        let call = json!({"process": pid, "message": ["add", 1]});
        in_trace(&api, true).ok("CallProcess", call).await;
        let gateway = collector.span(&telemetry, "rest").await;
        let rpc = collector.span(&telemetry, "arsenal.v1.MessagingService/CallProcess").await;
        let turn = collector.span(&telemetry, "turn counter").await;
        assert_eq!(hex(&gateway.parent_span_id), CALLER);
        assert_eq!(rpc.parent_span_id, gateway.span_id);
        assert_eq!(turn.parent_span_id, rpc.span_id);
        assert_eq!(text(&gateway, "http.route"), "/v1/processes/{process}:call");
        assert_eq!(text(&gateway, "http.response.status_code"), "200");
        assert_eq!(text(&rpc, "rpc.system"), "grpc");
        assert_eq!(text(&rpc, "rpc.service"), "arsenal.v1.MessagingService");
        assert_eq!(text(&rpc, "rpc.method"), "CallProcess");
        assert_eq!(text(&rpc, "rpc.grpc.status_code"), "0");
        assert_eq!(text(&turn, "arsenal.process"), pid);
        assert_eq!(text(&turn, "arsenal.message.kind"), "call");
        assert_eq!(text(&turn, "arsenal.operation_id"), text(&rpc, "arsenal.operation_id"));
    });
}

#[test]
fn a_read_over_grpc_leads_to_its_turn_too() {
    traced(|collector, sandbox, telemetry| async move {
        let api = sandbox.api(Transport::Grpc).await;
        let pid = api.start("counter", json!({})).await;
        in_trace(&api, true).ok("GetProcessState", json!({"process": pid})).await;
        let rpc = collector.span(&telemetry, "arsenal.v1.IntrospectionService/GetProcessState").await;
        let turn = collector.span(&telemetry, "turn counter").await;
        assert_eq!(hex(&rpc.parent_span_id), CALLER);
        assert_eq!(turn.parent_span_id, rpc.span_id);
        assert_eq!(text(&turn, "arsenal.message.kind"), "system");
    });
}

#[test]
fn what_a_turn_causes_hangs_from_the_same_call() {
    traced(|collector, sandbox, telemetry| async move {
        let api = sandbox.api(Transport::Grpc).await;
        let recorder = api.start("recorder", json!({})).await;
        let relay = api.start("relay", json!({"to": recorder})).await;
        in_trace(&api, true).ok("SendMessage", json!({"process": relay, "message": "hello"})).await;
        let received = || async {
            let state = api.ok("GetProcessState", json!({"process": recorder})).await;
            state.to_string().contains("hello").then_some(())
        };
        api.eventually(received).await;
        let rpc = collector.span(&telemetry, "arsenal.v1.MessagingService/SendMessage").await;
        assert_eq!(collector.span(&telemetry, "turn relay").await.parent_span_id, rpc.span_id);
        assert_eq!(collector.span(&telemetry, "turn recorder").await.parent_span_id, rpc.span_id);
    });
}

#[test]
fn a_gateway_of_its_own_hands_its_span_on() {
    traced(|collector, sandbox, telemetry| async move {
        let mut config = SandboxConfig::default().config;
        config.telemetry.otlp_endpoint = "http://127.0.0.1:4317".into();
        config.listen.rest = SocketAddr::from(([127, 0, 0, 1], 0));
        config.gateway.upstream = format!("http://{}", sandbox.grpc());
        let (address, _serving, _stop) = arsenal_server::standalone::serve_gateway(&config).await.unwrap();
        in_trace(&Api::rest(address), true).ok("GetSystemInfo", json!({})).await;
        let gateway = collector.span(&telemetry, "rest").await;
        let rpc = collector.span(&telemetry, "arsenal.v1.IntrospectionService/GetSystemInfo").await;
        assert_eq!(hex(&gateway.parent_span_id), CALLER);
        assert_eq!(rpc.parent_span_id, gateway.span_id);
    });
}

#[test]
fn a_trace_that_its_caller_does_not_sample_is_not_exported() {
    traced(|collector, sandbox, telemetry| async move {
        let api = in_trace(&sandbox.api(Transport::Rest).await, false);
        let pid = api.start("counter", json!({})).await;
        api.ok("CallProcess", json!({"process": pid, "message": ["add", 1]})).await;
        flush(&telemetry).await;
        assert!(collector.0.lock().is_empty());
    });
}

#[test]
fn a_failed_call_and_a_followed_stream_say_how_they_ended() {
    traced(|collector, sandbox, telemetry| async move {
        let api = in_trace(&sandbox.api(Transport::Grpc).await, true);
        api.err("GetProcessInfo", json!({"process": "n1.1.999999"})).await;
        let mut watch = api.stream("WatchProcesses", json!({})).await;
        watch.next().await.unwrap().unwrap();
        drop(watch);
        let name = "arsenal.v1.IntrospectionService/WatchProcesses";
        let failed = collector.span(&telemetry, "arsenal.v1.IntrospectionService/GetProcessInfo").await;
        assert_eq!(text(&failed, "rpc.grpc.status_code"), "5");
        // the client's mistake is no fault of the server's
        assert_eq!(failed.status.unwrap_or_default().code, 0);
        assert_eq!(text(&collector.span(&telemetry, name).await, "rpc.grpc.status_code"), "1");
    });
}
