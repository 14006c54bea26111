use super::*;
use crate::Shared;
use crate::process::ProcessApi;
use crate::session::SessionApi;
use crate::wire::{Facts, Table, WireLimits};
use arsenal_runtime::NodeConfig;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Semaphore;

const PATH: &str = "/arsenal.v1.ProcessService/StartProcess";
/// Not unary.
const STREAM: &str = "/arsenal.v1.SessionService/OpenSession";

/// Answers each request with how many there were, and fails those whose body is `fail`.
#[derive(Clone)]
struct Counting {
    runs: Arc<AtomicU32>,
    gate: Option<Arc<Semaphore>>,
}

impl Service<Call> for Counting {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Call { request, .. }: Call) -> Self::Future {
        let run = self.runs.fetch_add(1, SeqCst) + 1;
        let gate = self.gate.clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            let input = request.into_body().collect().await.unwrap().to_bytes();
            if input == "fail" {
                return Ok(Status::unavailable("try again").into_http());
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = Whole { data: Some(run.to_string().into()), trailers: Some(trailers) };
            Ok(Response::new(Body::new(frames)))
        })
    }
}

struct Bench {
    node: Node,
    rpcs: Table,
    service: IdempotencyService<Counting>,
}

fn changing(path: &str) -> (String, Facts) {
    (path.to_owned(), Facts { changes: true, ..Facts::default() })
}

fn bench(gate: Option<Arc<Semaphore>>) -> Bench {
    let node = Node::deterministic(NodeConfig::default());
    let layer = IdempotencyLayer::new(node.clone(), 100);
    let mut rpcs = Table::new(WireLimits::default(), [PATH, STREAM].map(changing));
    let shared = Shared::alone(node.clone(), "127.0.0.1:7450");
    arsenal_proto::v1::list_process_service(&Arc::new(ProcessApi::new(shared.clone())), &mut rpcs);
    arsenal_proto::v1::list_session_service(&Arc::new(SessionApi::new(shared)), &mut rpcs);
    Bench { node, rpcs, service: layer.layer(Counting { runs: Arc::default(), gate }) }
}

impl Bench {
    /// How many requests have been run.
    fn runs(&self) -> u32 {
        self.service.inner.runs.load(SeqCst)
    }

    fn ask(&self, path: &str, key: Option<&str>, input: &str) -> impl Future<Output = Seen> + use<> {
        self.ask_as(None, path, key, input)
    }

    fn ask_as(
        &self,
        principal: Option<&str>,
        path: &str,
        key: Option<&str>,
        input: &str,
    ) -> impl Future<Output = Seen> + use<> {
        let mut request = Request::builder().uri(path);
        if let Some(key) = key {
            request = request.header(IDEMPOTENCY_HEADER, key);
        }
        if let Some(principal) = principal {
            request = request.extension(Principal::new(principal));
        }
        let request = request.body(Body::from(input.to_owned())).unwrap();
        let call = Call { rpc: self.rpcs.find(path), request, ahead: Ahead::default() };
        let mut service = self.service.clone();
        async move { Seen::of(service.call(call).await.unwrap()).await }
    }
}

#[derive(Debug, PartialEq)]
struct Seen {
    text: String,
    code: Code,
    replayed: bool,
}

impl Seen {
    async fn of(response: Response<Body>) -> Self {
        let replayed = response.headers().contains_key(REPLAYED_HEADER);
        let early = Status::from_header_map(response.headers()).map(|status| status.code());
        let collected = response.into_body().collect().await.unwrap();
        let late = collected.trailers().and_then(Status::from_header_map).map(|status| status.code());
        let text = String::from_utf8(collected.to_bytes().to_vec()).unwrap();
        Self { text, code: early.or(late).unwrap_or(Code::Ok), replayed }
    }
}

fn seen(text: &str, replayed: bool) -> Seen {
    Seen { text: text.into(), code: Code::Ok, replayed }
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_runs_nothing() {
    let bench = bench(None);
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("1", false));
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("1", true));
    assert_eq!(bench.ask(PATH, Some("other"), "a").await, seen("2", false));
}

#[tokio::test]
async fn without_a_key_or_on_a_path_that_is_not_unary_everything_runs() {
    let bench = bench(None);
    assert_eq!(bench.ask(PATH, None, "a").await, seen("1", false));
    assert_eq!(bench.ask(PATH, None, "a").await, seen("2", false));
    assert_eq!(bench.ask(STREAM, Some("k"), "a").await, seen("3", false));
    assert_eq!(bench.ask(STREAM, Some("k"), "a").await, seen("4", false));
}

#[tokio::test]
async fn another_input_under_a_key_is_refused() {
    let bench = bench(None);
    bench.ask(PATH, Some("k"), "a").await;
    assert_eq!(bench.ask(PATH, Some("k"), "b").await.code, Code::InvalidArgument);
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("1", true));
}

#[tokio::test]
async fn nobody_gets_the_answer_of_another_principal() {
    let bench = bench(None);
    assert_eq!(bench.ask_as(Some("me"), PATH, Some("k"), "a").await, seen("1", false));
    assert_eq!(bench.ask_as(Some("you"), PATH, Some("k"), "a").await, seen("2", false));
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("3", false));
    assert_eq!(bench.ask_as(Some("me"), PATH, Some("k"), "a").await, seen("1", true));
}

#[tokio::test]
async fn a_key_or_a_request_beyond_its_bound_is_refused() {
    let bench = bench(None);
    assert_eq!(bench.ask(PATH, Some(&"k".repeat(256)), "a").await.code, Code::InvalidArgument);
    assert_eq!(bench.ask(PATH, Some(""), "a").await.code, Code::InvalidArgument);
    assert_eq!(bench.ask(PATH, Some("k"), &"a".repeat(101)).await.code, Code::ResourceExhausted);
}

#[tokio::test]
async fn a_repeat_waits_for_a_first_that_runs() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = bench(Some(Arc::clone(&gate)));
    let first = tokio::spawn(bench.ask(PATH, Some("k"), "a"));
    tokio::task::yield_now().await;
    let repeat = tokio::spawn(bench.ask(PATH, Some("k"), "a"));
    tokio::task::yield_now().await;
    assert!(!repeat.is_finished());
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), seen("1", false));
    assert_eq!(repeat.await.unwrap(), seen("1", true));
}

#[tokio::test]
async fn a_first_whose_client_goes_away_is_run_once_and_answers_the_repeat() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = bench(Some(Arc::clone(&gate)));
    let first = tokio::spawn(bench.ask(PATH, Some("k"), "a"));
    while bench.runs() == 0 {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.add_permits(2);
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("1", true));
    assert_eq!(bench.runs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_that_never_answers_makes_room_for_the_next_once_it_is_given_up() {
    let gate = Arc::new(Semaphore::new(0));
    let bench = bench(Some(Arc::clone(&gate)));
    assert_eq!(bench.ask(PATH, Some("k"), "a").await.code, Code::Aborted);
    gate.add_permits(1);
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("2", false));
}

#[tokio::test]
async fn beyond_the_bound_on_those_that_run_a_first_is_refused_before_it_runs() {
    let mut bench = bench(None);
    bench.service.layer.firsts = Arc::new(Semaphore::new(0));
    assert_eq!(bench.ask(PATH, Some("k"), "a").await.code, Code::ResourceExhausted);
    bench.service.layer.firsts.add_permits(1);
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("1", false));
    assert_eq!(bench.ask(PATH, Some("l"), "a").await, seen("2", false));
}

#[tokio::test]
async fn an_answer_that_asks_for_a_retry_is_not_kept() {
    let bench = bench(None);
    assert_eq!(bench.ask(PATH, Some("k"), "fail").await.code, Code::Unavailable);
    let again = bench.ask(PATH, Some("k"), "fail").await;
    assert_eq!((again.code, again.replayed), (Code::Unavailable, false));
}

#[tokio::test]
async fn an_answer_is_forgotten_after_ten_minutes() {
    let bench = bench(None);
    bench.ask(PATH, Some("k"), "a").await;
    bench.node.advance(store::KEPT - Duration::from_secs(1));
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("1", true));
    bench.node.advance(Duration::from_secs(1));
    assert_eq!(bench.ask(PATH, Some("k"), "a").await, seen("2", false));
}

#[test]
fn the_oldest_answers_go_when_there_are_too_many() {
    let store = Arc::new(Store::new(Node::deterministic(NodeConfig::default()), 2, 1_000));
    let key = |name: &'static str| Key {
        path: PATH.into(),
        key: Bytes::from_static(name.as_bytes()),
        principal: None,
    };
    let keep = |name, bytes: usize| {
        let Claim::First(first) = store.claim(&key(name), b"x") else { panic!("{name} was there") };
        first.answer(Answer { headers: HeaderMap::new(), body: vec![0; bytes].into(), trailers: None });
    };
    let kept = |name| matches!(store.claim(&key(name), b"x"), Claim::Answered(_));
    for name in ["a", "b", "c"] {
        keep(name, 1);
    }
    assert_eq!([kept("a"), kept("b"), kept("c")], [false, true, true]);
    keep("d", 999);
    assert_eq!([kept("b"), kept("c"), kept("d")], [false, true, true]);
    keep("e", 1_001);
    assert!(!kept("e"));
}
