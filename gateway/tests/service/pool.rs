//! Many nodes as one: which is asked, what is asked again, and what a node's death costs.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arsenal_gateway::{
    Gateway, GatewayService,
    upstream::{Answer, CircuitLimits, Pool, PoolConfig, Remote, Unsent, Upstream},
};
use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::Notify;

use crate::{
    DEADLINE,
    canned::{Canned, Recorder},
    library, protos,
};

pub(crate) const BOOK: &str = "/v1/shelves/1/books/2";
const SEND: &str = "/v1/processes/a:send";

fn gateway() -> Gateway {
    Gateway::builder(protos::descriptor_set(library::PROTO).unwrap()).build().unwrap()
}

/// Reading a book does no harm; sending does.
pub(crate) fn pooled(nodes: Vec<Arc<dyn Upstream>>, config: PoolConfig) -> (GatewayService, Pool) {
    let gateway = gateway();
    let idempotent = gateway.idempotent(|_| false);
    assert_eq!(idempotent, HashSet::from(["/t.Library/GetBook".to_owned()]));
    let pool = Pool::new(nodes, idempotent, config);
    (gateway.service(pool.clone()), pool)
}

pub(crate) async fn ask(service: &GatewayService, path: &str) -> u16 {
    let builder = if path == BOOK { Request::get(path) } else { Request::post(path) };
    let request = builder.header("request-timeout", "60").body(Body::from("{}")).unwrap();
    let response = tokio::time::timeout(DEADLINE, service.handle(request)).await.unwrap();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    status
}

/// A node that fails as it is told to, and counts.
#[derive(Clone)]
struct Failing {
    how: How,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum How {
    Unsent,
    Broken,
    BrokenAnswer,
    Unavailable,
    NeverAnswers,
}

impl Failing {
    fn new(how: How) -> Self {
        Self { how, asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Upstream for Failing {
    fn call(&self, request: Request<Body>) -> Answer {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let canned = match self.how {
            How::Unsent => return Box::pin(async { Err(Unsent::new("refused").into()) }),
            How::Broken => return Box::pin(async { Err("reset".into()) }),
            How::NeverAnswers => return Box::pin(std::future::pending::<Result<Response<Body>, _>>()),
            How::BrokenAnswer => Canned { messages: vec![vec![]], abort: true, ..Canned::default() },
            How::Unavailable => Canned {
                trailers: Some(vec![("grpc-status".into(), "14".into())]),
                trailers_only: true,
                ..Canned::default()
            },
        };
        Recorder::new(canned).call(request)
    }
}

pub(crate) fn answering() -> Recorder {
    Recorder::new(Canned { messages: vec![vec![]], ..Canned::default() })
}

#[test]
fn a_read_is_idempotent_and_so_is_what_says_it_is() {
    let proto = r#"syntax = "proto3"; package t; import "google/api/annotations.proto"; message M {}
        service S {
          rpc Get(M) returns (M) { option (google.api.http) = { get: "/m" }; }
          rpc Follow(M) returns (stream M) { option (google.api.http) = { get: "/m:follow" }; }
          rpc Put(M) returns (M) { option (google.api.http) = { put: "/m" }; option idempotency_level = IDEMPOTENT; }
          rpc Ask(M) returns (M) { option idempotency_level = NO_SIDE_EFFECTS; }
          rpc Post(M) returns (M) { option (google.api.http) = { post: "/m" }; }
          rpc Also(M) returns (M);
        }"#;
    let gateway = Gateway::builder(protos::descriptor_set(proto).unwrap()).build().unwrap();
    let idempotent = gateway.idempotent(|method| method.name() == "Also");
    let paths = ["/t.S/Get", "/t.S/Put", "/t.S/Ask", "/t.S/Also"].map(str::to_owned);
    assert_eq!(idempotent, HashSet::from(paths));
}

#[tokio::test]
async fn an_idempotent_call_is_made_again_elsewhere_and_another_only_if_it_never_left() {
    for how in [How::Unsent, How::Broken, How::BrokenAnswer, How::Unavailable] {
        let (bad, good) = (Failing::new(how), answering());
        let circuit = CircuitLimits { failures_max: u32::MAX, ..CircuitLimits::default() };
        let config = PoolConfig { circuit, ..PoolConfig::default() };
        let (service, _) = pooled(vec![Arc::new(bad.clone()), Arc::new(good.clone())], config);
        for _ in 0..20 {
            assert_eq!(ask(&service, BOOK).await, 200);
        }
        assert_eq!(good.asked().len(), 20);
        assert!(bad.asked() > 0);
        let before = bad.asked();
        let mut failed = 0;
        for _ in 0..20 {
            failed += usize::from(ask(&service, SEND).await != 200);
        }
        let tried = bad.asked() - before;
        assert_eq!(failed, if matches!(how, How::Unsent) { 0 } else { tried });
        // each that was not made again was asked of one node alone
        assert_eq!(good.asked().len() - 20 + failed, 20);
    }
}

#[tokio::test]
async fn calls_under_one_key_go_to_one_node_whichever_gateway_they_come_through() {
    let nodes: Vec<Recorder> = (0..5).map(|_| answering()).collect();
    let upstreams = || nodes.iter().map(|node| Arc::new(node.clone()) as Arc<dyn Upstream>).collect();
    let gateways = [0, 1].map(|_| pooled(upstreams(), PoolConfig::default()).0);
    let asked = || nodes.iter().map(|node| node.asked().len()).collect::<Vec<_>>();
    let mut used = HashSet::new();
    for key in 0..20 {
        let before = asked();
        for gateway in gateways.iter().cycle().take(6) {
            let request = Request::post(SEND).header("idempotency-key", format!("key-{key}"));
            let response = gateway.handle(request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(response.status(), 200);
        }
        let got: Vec<usize> = asked().iter().zip(before).map(|(now, before)| now - before).collect();
        assert!(got.contains(&6), "key-{key}: {got:?}");
        used.insert(got);
    }
    assert!(used.len() > 1, "all keys go to one node");
}

#[tokio::test]
async fn attempts_are_bounded_and_each_has_what_is_left_of_the_deadline() {
    let recorder = Recorder::new(Canned {
        trailers: Some(vec![("grpc-status".into(), "14".into())]),
        ..Canned::default()
    });
    let config = PoolConfig { backoff: Duration::from_millis(2), ..PoolConfig::default() };
    let (service, _) = pooled(vec![Arc::new(recorder.clone())], config);
    assert_eq!(ask(&service, BOOK).await, 503);
    let asked = recorder.asked();
    let left: Vec<u64> = asked
        .iter()
        .map(|asked| asked.metadata["grpc-timeout"].to_str().unwrap().trim_end_matches('u').parse().unwrap())
        .collect();
    assert_eq!(left.len(), 3);
    assert!(left[0] > left[1] && left[1] > left[2], "{left:?}");
}

#[tokio::test]
async fn a_node_that_fails_is_left_alone() {
    let (bad, good) = (Failing::new(How::Unsent), answering());
    let circuit = CircuitLimits {
        open_min: Duration::from_secs(600),
        open_max: Duration::from_secs(600),
        failures_max: 2,
    };
    let config = PoolConfig { circuit, ..PoolConfig::default() };
    let (service, _) = pooled(vec![Arc::new(bad.clone()), Arc::new(good.clone())], config);
    for _ in 0..50 {
        assert_eq!(ask(&service, SEND).await, 200);
    }
    assert_eq!((bad.asked(), good.asked().len()), (2, 50));
    let (service, _) = pooled(vec![Arc::new(bad.clone())], PoolConfig { circuit, ..PoolConfig::default() });
    let statuses = [ask(&service, BOOK).await, ask(&service, BOOK).await];
    assert_eq!((statuses, bad.asked()), ([503, 503], 4));
}

#[tokio::test]
async fn a_node_that_is_left_alone_is_told_with_the_reason() {
    let (failing, well) = (Failing::new(How::Broken), answering());
    let circuit = CircuitLimits { failures_max: 1, open_min: DEADLINE, open_max: DEADLINE };
    let config = PoolConfig { circuit, attempts_max: 1, ..PoolConfig::default() };
    let (service, pool) = pooled(vec![Arc::new(well), Arc::new(failing.clone())], config);
    assert_eq!(pool.failures(), []);
    while failing.asked() == 0 {
        ask(&service, SEND).await;
    }
    assert_eq!(pool.failures(), [("1".to_owned(), "reset".to_owned())]);
}

#[tokio::test]
async fn a_node_with_much_under_way_gets_less() {
    let (slow, quick) = (Failing::new(How::NeverAnswers), answering());
    let (service, _) = pooled(vec![Arc::new(slow.clone()), Arc::new(quick.clone())], PoolConfig::default());
    for _ in 0..100 {
        let (before, service) = (slow.asked(), service.clone());
        let call = tokio::spawn(async move { ask(&service, SEND).await });
        while !call.is_finished() && slow.asked() == before {
            tokio::task::yield_now().await;
        }
    }
    assert!(slow.asked() <= 1, "{} calls on a node that answers none", slow.asked());
}

/// Says that it serves, and counts how often it was asked for that.
struct Healthy(Recorder, Arc<tokio::sync::Semaphore>);
impl Upstream for Healthy {
    fn call(&self, request: Request<Body>) -> Answer {
        if request.uri().path() == "/grpc.health.v1.Health/Check" {
            self.1.add_permits(1);
            return Recorder::new(Canned { messages: vec![vec![8, 1]], ..Canned::default() }).call(request);
        }
        self.0.call(request)
    }
}

#[tokio::test]
async fn a_node_that_says_that_it_stops_is_not_asked() {
    /// Tells its health, and counts other calls.
    #[derive(Clone)]
    struct Stopping(Failing);
    impl Upstream for Stopping {
        fn call(&self, request: Request<Body>) -> Answer {
            if request.uri().path() == "/grpc.health.v1.Health/Check" {
                // NOT_SERVING
                return Recorder::new(Canned { messages: vec![vec![8, 2]], ..Canned::default() })
                    .call(request);
            }
            self.0.call(request)
        }
    }
    let stopping = Stopping(Failing::new(How::Unavailable));
    let (good, asked) = (answering(), Arc::new(tokio::sync::Semaphore::new(0)));
    let nodes: Vec<Arc<dyn Upstream>> =
        vec![Arc::new(stopping.clone()), Arc::new(Healthy(good.clone(), asked.clone()))];
    let (service, pool) =
        pooled(nodes, PoolConfig { health_interval: Duration::from_millis(1), ..PoolConfig::default() });
    let watch = tokio::spawn(pool.watch());
    let _ = tokio::time::timeout(DEADLINE, asked.acquire_many(5)).await.unwrap().unwrap();
    for _ in 0..30 {
        assert_eq!(ask(&service, SEND).await, 200);
    }
    assert_eq!((stopping.0.asked(), good.asked().len()), (0, 30));
    watch.abort();
}

#[tokio::test]
async fn a_node_that_does_not_tell_its_health_gets_no_calls() {
    /// Counts calls, but those for its health.
    #[derive(Clone)]
    struct Dumb(Failing);
    impl Upstream for Dumb {
        fn call(&self, request: Request<Body>) -> Answer {
            if request.uri().path() == "/grpc.health.v1.Health/Check" {
                return Box::pin(std::future::pending());
            }
            self.0.call(request)
        }
    }
    let (dumb, good) = (Dumb(Failing::new(How::NeverAnswers)), answering());
    let healthy = Healthy(good.clone(), Arc::new(tokio::sync::Semaphore::new(0)));
    let nodes: Vec<Arc<dyn Upstream>> = vec![Arc::new(dumb.clone()), Arc::new(healthy)];
    let config = PoolConfig { health_timeout: Duration::from_millis(20), ..PoolConfig::default() };
    let (service, pool) = pooled(nodes, config);
    let watch = tokio::spawn(pool.clone().watch());
    tokio::time::timeout(DEADLINE, pool.failed()).await.unwrap();
    for _ in 0..30 {
        assert_eq!(ask(&service, SEND).await, 200);
    }
    assert_eq!(dumb.0.asked(), 0);
    watch.abort();
}

#[tokio::test]
async fn what_never_left_is_tried_on_each_node() {
    let bad: Vec<Failing> = (0..8).map(|_| Failing::new(How::Unsent)).collect();
    let good = answering();
    let all = bad.iter().map(|bad| Arc::new(bad.clone()) as Arc<dyn Upstream>);
    let nodes = all.chain([Arc::new(good.clone()) as Arc<dyn Upstream>]).collect();
    let circuit = CircuitLimits { failures_max: u32::MAX, ..CircuitLimits::default() };
    let (service, _) = pooled(nodes, PoolConfig { circuit, ..PoolConfig::default() });
    for _ in 0..20 {
        assert_eq!(ask(&service, SEND).await, 200);
    }
    assert_eq!(good.asked().len(), 20);
    let (service, _) = pooled(vec![Arc::new(bad[0].clone())], PoolConfig::default());
    let before = bad[0].asked();
    assert_eq!(ask(&service, SEND).await, 503);
    assert_eq!(bad[0].asked() - before, 3, "alone it is asked as often as ever");
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_keep_a_node_shut_that_he_was_the_one_to_try() {
    /// Breaks the first call, never answers the second, and answers all others.
    #[derive(Clone)]
    struct Coming(Failing, Arc<Notify>);
    impl Upstream for Coming {
        fn call(&self, request: Request<Body>) -> Answer {
            match self.0.asked.fetch_add(1, Ordering::SeqCst) {
                0 => Box::pin(async { Err("reset".into()) }),
                1 => {
                    self.1.notify_one();
                    Box::pin(std::future::pending())
                }
                _ => answering().call(request),
            }
        }
    }
    let node = Coming(Failing::new(How::NeverAnswers), Arc::default());
    // open for no time, so that the next call tries; and for very long if nothing is heard of that
    let circuit =
        CircuitLimits { failures_max: 1, open_min: Duration::ZERO, open_max: Duration::from_secs(600) };
    let (service, _) = pooled(vec![Arc::new(node.clone())], PoolConfig { circuit, ..PoolConfig::default() });
    assert_eq!(ask(&service, SEND).await, 503);
    let trying = tokio::spawn({
        let service = service.clone();
        async move { ask(&service, SEND).await }
    });
    tokio::time::timeout(DEADLINE, node.1.notified()).await.unwrap();
    trying.abort();
    assert!(trying.await.unwrap_err().is_cancelled());
    assert_eq!(ask(&service, SEND).await, 200);
}

#[tokio::test]
async fn calls_that_begin_together_share_the_connection_that_is_opened() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let remote = Remote::new(&address, 1).unwrap();
    let call = || remote.call(Request::post("/t.Library/GetBook").body(Body::empty()).unwrap());
    let calls: Vec<_> = (0..32).map(|_| tokio::spawn(call())).collect();
    let _open = tokio::time::timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(listener.accept().now_or_never().is_none(), "a second connection");
    calls.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_call_of_a_client_with_stubs_is_made_again_as_any_other() {
    let (bad, good) = (Failing::new(How::Broken), answering());
    let circuit = CircuitLimits { failures_max: u32::MAX, ..CircuitLimits::default() };
    let config = PoolConfig { circuit, ..PoolConfig::default() };
    let (service, _) = pooled(vec![Arc::new(bad.clone()), Arc::new(good.clone())], config);
    for _ in 0..20 {
        // a server hands a body over without its size
        let body = Body::from_stream(futures_util::stream::iter([Ok::<_, axum::Error>("\0\0\0\0\0")]));
        let request = Request::post("/t.Library/GetBook").version(http::Version::HTTP_2);
        let request = request.header("content-type", "application/grpc");
        let response = service.handle(request.body(body).unwrap()).await;
        assert!(!response.headers().contains_key("grpc-status"), "{:?}", response.headers());
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    }
    assert!(bad.asked() > 0);
    assert_eq!(good.asked().len(), 20);
}
