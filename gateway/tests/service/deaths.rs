//! What the end of a node costs, whether it dies, freezes or was never more than a socket: no idempotent request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arsenal_gateway::upstream::{Answer, CircuitLimits, PoolConfig, Remote, RemoteConfig, Unsent, Upstream};
use axum::body::Body;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;

use crate::{
    library::{self, Counters},
    pool::{BOOK, answering, ask, pooled},
};

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
            // as servers of gRPC say that they have no such method, that for their health among them
            let unimplemented = || async { [("content-type", "application/grpc"), ("grpc-status", "12")] };
            let router = library::router(Counters::default()).fallback(unimplemented);
            axum::serve(listener, router).await
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
async fn a_node_that_freezes_costs_no_idempotent_request_though_it_is_not_pinged() {
    let (mut first, second) = (Served::start(), Served::start());
    let config = PoolConfig { health_interval: Duration::from_millis(100), ..PoolConfig::default() };
    let (service, pool) = pooled(vec![first.remote(), second.remote()], config);
    let watch = tokio::spawn(pool.watch());
    for round in 0..6 {
        if round == 3 {
            first.freeze();
        }
        let statuses = join_all((0..32).map(|_| ask(&service, BOOK))).await;
        assert!(statuses.iter().all(|status| *status == 200), "round {round}: {statuses:?}");
    }
    watch.abort();
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

#[tokio::test]
async fn a_stream_of_a_client_that_never_left_goes_to_another_node() {
    // bound, so that nobody else gets the port, and listened to by nobody
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap()).parse().unwrap();
    let gone = Remote::new(&address, 1).unwrap();
    let good = Served::start();
    let circuit = CircuitLimits { failures_max: u32::MAX, ..CircuitLimits::default() };
    let nodes: Vec<Arc<dyn Upstream>> = vec![Arc::new(gone), good.remote()];
    let (service, _) = pooled(nodes, PoolConfig { circuit, ..PoolConfig::default() });
    for _ in 0..20 {
        // a server hands a body over without its size
        let lines = ["{\"title\":\"a\"}\n", "{\"title\":\"b\"}\n"].map(Ok::<_, axum::Error>);
        let request = Request::post("/v1/books:count")
            .header("content-type", "application/x-ndjson")
            .header("request-timeout", "60")
            .body(Body::from_stream(futures_util::stream::iter(lines)))
            .unwrap();
        let (parts, body) = service.handle(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.status, 200, "{body:?}");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["sequence"], "2", "{body:?}");
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
            return Box::pin(async { Err(Unsent::new("refused").into()) });
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
