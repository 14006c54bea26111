//! Nodes behind a name: found, joined by others, gone, and what that costs calls.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arsenal_gateway::{
    Gateway, GatewayService,
    upstream::{Address, Discovery, Pool, PoolConfig, RemoteConfig, Resolver, Resolving},
};
use axum::body::Body;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use tower::util::MapRequestLayer;

use crate::{
    DEADLINE,
    library::{self, Counters},
    protos,
};

/// Says what it is told to say, and counts who asks.
#[derive(Clone, Default)]
struct Book {
    addresses: Arc<Mutex<Option<Vec<IpAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Book {
    fn write(&self, nodes: &[u8]) {
        *self.addresses.lock().unwrap() = Some(nodes.iter().copied().map(address).collect());
    }

    fn lose(&self) {
        *self.addresses.lock().unwrap() = None;
    }
}

impl Resolver for Book {
    fn resolve<'r>(&'r self, name: &'r str) -> Resolving<'r> {
        assert_eq!(name, "nodes.test");
        self.asked.fetch_add(1, Ordering::SeqCst);
        let found = self.addresses.lock().unwrap().clone();
        Box::pin(async move { found.ok_or_else(|| io::Error::other("the resolver is down")) })
    }
}

/// Node addresses on loopback, of which Linux has many.
fn address(node: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 7, node).into()
}

/// A node on an address of its own and a runtime of its own, which dies with all its connections when it is dropped.
struct Served {
    calls: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Served {
    /// On this port, or on a free one.
    fn start(node: u8, port: u16) -> (Self, u16) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(SocketAddr::new(address(node), port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let router = library::router(Counters::default()).layer(MapRequestLayer::new(
            move |request: Request<Body>| {
                counted.fetch_add(1, Ordering::SeqCst);
                request
            },
        ));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await
        });
        (Self { calls, runtime: Some(runtime) }, port)
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A gateway before `http://nodes.test:PORT`.
fn before(book: &Book, port: u16) -> (GatewayService, Pool, Discovery) {
    let gateway = Gateway::builder(protos::descriptor_set(library::PROTO).unwrap()).build().unwrap();
    let idempotent = gateway.idempotent(|_| false);
    assert_eq!(idempotent, HashSet::from(["/t.Library/GetBook".to_owned()]));
    let pool = Pool::new(Vec::new(), idempotent, PoolConfig { budget: 10_000, ..PoolConfig::default() });
    let url = format!("http://nodes.test:{port}").parse().unwrap();
    let discovery = Discovery::new(vec![Address::new(&url, &RemoteConfig::default()).unwrap()], book.clone());
    (gateway.service(pool.clone()), pool, discovery)
}

async fn read(service: &GatewayService) -> u16 {
    let request = Request::get("/v1/shelves/1/books/2").header("request-timeout", "60");
    let asked = service.handle(request.body(Body::empty()).unwrap());
    let response = tokio::time::timeout(DEADLINE, asked).await.unwrap();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    status
}

/// So many rounds of calls side by side, none of which fails.
async fn load(service: &GatewayService, rounds: usize) {
    for round in 0..rounds {
        let statuses = join_all((0..16).map(|_| read(service))).await;
        assert!(statuses.iter().all(|status| *status == 200), "round {round}: {statuses:?}");
    }
}

#[tokio::test]
async fn nodes_that_come_and_go_under_load_cost_no_idempotent_request() {
    let book = Book::default();
    let (first, port) = Served::start(1, 0);
    let (service, pool, mut discovery) = before(&book, port);
    assert_eq!(read(&service).await, 503, "no node is known yet");
    book.write(&[1]);
    discovery.look(&pool).await;
    load(&service, 5).await;
    // one comes, and gets its share
    let (second, _) = Served::start(2, port);
    book.write(&[1, 2]);
    let ((), ()) = tokio::join!(load(&service, 5), discovery.look(&pool));
    load(&service, 5).await;
    assert!(second.calls() > 0);
    // one goes: nothing new comes to it, and it may die
    book.write(&[2]);
    let ((), ()) = tokio::join!(load(&service, 5), discovery.look(&pool));
    let before = first.calls();
    load(&service, 5).await;
    assert_eq!(first.calls(), before);
    drop(first);
    load(&service, 5).await;
    // and one that dies first is noticed by its calls, which are made again elsewhere
    let (third, _) = Served::start(3, port);
    book.write(&[2, 3]);
    discovery.look(&pool).await;
    load(&service, 2).await;
    let ((), ()) = tokio::join!(load(&service, 20), async {
        tokio::task::yield_now().await;
        drop(second);
    });
    assert!(third.calls() > 0);
}

#[tokio::test]
async fn a_stream_goes_on_at_a_node_that_is_no_longer_named() {
    let book = Book::default();
    let (_first, port) = Served::start(11, 0);
    let (_second, _) = Served::start(12, port);
    let (service, pool, mut discovery) = before(&book, port);
    book.write(&[11]);
    discovery.look(&pool).await;
    let request = Request::get("/v1/events:watch").body(Body::empty()).unwrap();
    let mut events = service.handle(request).await.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(DEADLINE, events.frame()).await.unwrap();
        frame.expect("the stream goes on").unwrap()
    };
    next().await;
    book.write(&[12]);
    discovery.look(&pool).await;
    load(&service, 5).await;
    for _ in 0..1000 {
        next().await;
    }
}

#[tokio::test]
async fn a_resolver_that_is_down_or_finds_nothing_changes_nothing() {
    let book = Book::default();
    let (_node, port) = Served::start(21, 0);
    let (service, pool, mut discovery) = before(&book, port);
    book.write(&[21]);
    discovery.look(&pool).await;
    book.lose();
    discovery.look(&pool).await;
    load(&service, 2).await;
    book.write(&[]);
    discovery.look(&pool).await;
    load(&service, 2).await;
}

#[tokio::test]
async fn a_node_that_fails_has_its_name_looked_up_at_once() {
    let book = Book::default();
    let (first, port) = Served::start(31, 0);
    let (_second, _) = Served::start(32, port);
    let (service, pool, discovery) = before(&book, port);
    book.write(&[31]);
    let following = tokio::spawn(discovery.follow(pool, Duration::from_secs(3600)));
    let until_served = async {
        while read(&service).await != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, until_served).await.unwrap();
    let looked = book.asked.load(Ordering::SeqCst);
    book.write(&[32]);
    drop(first);
    let until_served_again = async {
        while read(&service).await != 200 || book.asked.load(Ordering::SeqCst) == looked {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, until_served_again).await.unwrap();
    following.abort();
}
