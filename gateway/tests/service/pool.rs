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
    upstream::{Answer, CircuitLimits, Pool, PoolConfig, Remote, RemoteConfig, Unsent, Upstream},
};
use axum::body::Body;
use futures_util::{FutureExt as _, future::join_all};
use http::{Request, Response};
use http_body_util::BodyExt as _;

use crate::{
    DEADLINE,
    canned::{Canned, Recorder},
    library::{self, Counters},
    protos,
};

const BOOK: &str = "/v1/shelves/1/books/2";
const SEND: &str = "/v1/processes/a:send";

fn gateway() -> Gateway {
    Gateway::builder(protos::descriptor_set(library::PROTO).unwrap()).build().unwrap()
}

/// Reading a book does no harm; sending does.
fn pooled(nodes: Vec<Arc<dyn Upstream>>, config: PoolConfig) -> (GatewayService, Pool) {
    let gateway = gateway();
    let idempotent = gateway.idempotent(|_| false);
    assert_eq!(idempotent, HashSet::from(["/t.Library/GetBook".to_owned()]));
    let pool = Pool::new(nodes, idempotent, config);
    (gateway.service(pool.clone()), pool)
}

async fn ask(service: &GatewayService, path: &str) -> u16 {
    let builder = if path == BOOK { Request::get(path) } else { Request::post(path) };
    let request = builder.header("request-timeout", "10").body(Body::from("{}")).unwrap();
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
            How::Unsent => return Box::pin(async { Err(Unsent("refused".into()).into()) }),
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

fn answering() -> Recorder {
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

/// A node on a socket and a runtime of its own, which dies with all its connections when it is dropped.
struct Served {
    address: http::Uri,
    runtime: Option<tokio::runtime::Runtime>,
    /// Thaws it when it is dropped.
    frozen: Option<std::sync::mpsc::Sender<()>>,
}

impl Served {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, library::router(Counters::default())).await
        });
        Self { address, runtime: Some(runtime), frozen: None }
    }

    fn remote(&self) -> Arc<dyn Upstream> {
        Arc::new(Remote::new(&self.address, 1).unwrap())
    }

    /// Its one thread does nothing any more, as that of a process that is stopped; its kernel still takes connections.
    fn freeze(&mut self) {
        let (thaw, thawed) = std::sync::mpsc::channel::<()>();
        let (frozen, freezes) = std::sync::mpsc::channel();
        self.runtime.as_ref().unwrap().spawn(async move {
            frozen.send(()).unwrap();
            let _ = thawed.recv();
        });
        freezes.recv().unwrap();
        self.frozen = Some(thaw);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn quick_to_notice(address: &http::Uri) -> Arc<dyn Upstream> {
    let config = RemoteConfig {
        connections: 1,
        ping_interval: Duration::from_millis(100),
        // a machine with much else to do answers late
        ping_max: Duration::from_secs(2),
        ..RemoteConfig::default()
    };
    Arc::new(Remote::with(address, &config).unwrap())
}

#[tokio::test]
async fn a_node_that_freezes_costs_no_idempotent_request() {
    let (mut first, second) = (Served::start(), Served::start());
    let (service, _) = pooled(vec![quick_to_notice(&first.address), second.remote()], PoolConfig::default());
    for round in 0..6 {
        if round == 3 {
            first.freeze();
        }
        let statuses = join_all((0..32).map(|_| ask(&service, BOOK))).await;
        assert!(statuses.iter().all(|status| *status == 200), "round {round}: {statuses:?}");
    }
}

#[tokio::test]
async fn a_node_that_accepts_and_never_answers_costs_no_idempotent_request() {
    // the kernel accepts; nobody reads
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap()).parse().unwrap();
    let good = Served::start();
    let nodes = vec![quick_to_notice(&address), good.remote()];
    let (service, _) = pooled(nodes, PoolConfig::default());
    let statuses = join_all((0..32).map(|_| ask(&service, BOOK))).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
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
async fn the_death_of_a_node_costs_no_idempotent_request() {
    let mut nodes: Vec<Served> = (0..3).map(|_| Served::start()).collect();
    let remotes = nodes.iter().map(Served::remote).collect();
    let (service, _) = pooled(remotes, PoolConfig::default());
    for round in 0..30 {
        let under_way = (0..32).map(|_| ask(&service, BOOK));
        let (statuses, ()) = tokio::join!(join_all(under_way), async {
            tokio::task::yield_now().await;
            if round == 5 || round == 15 {
                nodes.pop();
            }
        });
        assert!(statuses.iter().all(|status| *status == 200), "round {round}: {statuses:?}");
    }
}

/// A node that takes calls until so many were asked of all, then breaks those that it has, and cannot be reached any more.
#[derive(Clone)]
struct Dying {
    all: Arc<AtomicUsize>,
    dies_at: usize,
    broken: Arc<AtomicUsize>,
    dead: Arc<tokio::sync::watch::Sender<bool>>,
}

impl Upstream for Dying {
    fn call(&self, _: Request<Body>) -> Answer {
        if *self.dead.borrow() {
            return Box::pin(async { Err(Unsent("refused".into()).into()) });
        }
        self.broken.fetch_add(1, Ordering::SeqCst);
        let mut dead = self.dead.subscribe();
        if self.all.fetch_add(1, Ordering::SeqCst) + 1 == self.dies_at {
            self.dead.send_replace(true);
        }
        Box::pin(async move {
            let _ = dead.wait_for(|dead| *dead).await;
            Err("reset".into())
        })
    }
}

/// A node that counts its calls as one that dies does, and answers them once that one is dead.
struct Surviving(Dying);

impl Upstream for Surviving {
    fn call(&self, request: Request<Body>) -> Answer {
        let (mut dead, answer) = (self.0.dead.subscribe(), answering().call(request));
        if self.0.all.fetch_add(1, Ordering::SeqCst) + 1 == self.0.dies_at {
            self.0.dead.send_replace(true);
        }
        Box::pin(async move {
            let _ = dead.wait_for(|dead| *dead).await;
            answer.await
        })
    }
}

#[tokio::test]
async fn a_node_may_die_with_more_calls_than_are_repeated_in_the_long_run() {
    const CALLS: usize = 512;
    let dying = Dying { all: Arc::default(), dies_at: CALLS, broken: Arc::default(), dead: Arc::default() };
    let nodes: Vec<Arc<dyn Upstream>> = vec![Arc::new(dying.clone()), Arc::new(Surviving(dying.clone()))];
    let (service, _) = pooled(nodes, PoolConfig::default());
    let statuses = join_all((0..CALLS).map(|_| ask(&service, BOOK))).await;
    let failed = statuses.iter().filter(|status| **status != 200).count();
    let broken = dying.broken.load(Ordering::SeqCst);
    assert!(broken > PoolConfig::default().budget as usize, "only {broken} calls broke");
    assert_eq!(failed, 0, "of {broken} that broke");
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
        let request = Request::post("/t.Library/GetBook").header("content-type", "application/grpc");
        let response = service.handle(request.body(body).unwrap()).await;
        assert!(!response.headers().contains_key("grpc-status"), "{:?}", response.headers());
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
    }
    assert!(bad.asked() > 0);
    assert_eq!(good.asked().len(), 20);
}
