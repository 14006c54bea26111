//! The RPCs by path, and a request on its way to one of them.

use super::ahead::Ahead;
use super::budget::Answers;
use super::{WireLimits, streaming, unary};
use crate::operations::Route;
use crate::status::failure;
use arsenal_metrics::Calls;
use arsenal_proto::Rpcs;
use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::codegen::tokio_stream::Stream;
use tonic::server::NamedService;
use tonic::{Code, Status, Streaming};
use tower::{Service, ServiceExt as _};

/// An answer to come.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// An RPC, and what the layers need to know of it.
pub struct Rpc {
    /// `/package.Service/Method`.
    pub path: Box<str>,
    /// Whether the client streams.
    pub client_streaming: bool,
    /// Whether the answer is a stream.
    pub server_streaming: bool,
    /// Whether it changes something.
    pub changes: bool,
    /// Where it is answered.
    pub route: Route,
    /// What is counted of its calls; they end by the number of their code.
    pub calls: Calls<CODES>,
    run: Handler,
}

/// How many codes of gRPC there are.
pub const CODES: usize = 17;

/// In the extensions of an answer that another node gives: its status may come behind its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relayed;

type Handler = Box<dyn Fn(Request<Body>, Ahead) -> Answering + Send + Sync>;

/// What the contract says of an RPC beside its messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Whether it changes something.
    pub changes: bool,
    /// Where it is answered.
    pub route: Route,
}

impl Rpc {
    /// Whether one message is asked and one answered.
    pub fn is_unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A request on its way to an RPC, through the layers.
#[derive(Debug)]
pub struct Call {
    /// What it is for.
    pub rpc: Arc<Rpc>,
    /// The request.
    pub request: Request<Body>,
    /// What is known of its body already.
    pub ahead: Ahead,
}

/// The innermost service: runs the RPC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run;

impl Service<Call> for Run {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Call { rpc, request, ahead }: Call) -> Answering {
        (rpc.run)(request, ahead)
    }
}

/// The RPCs of a node. Services of the contract list theirs ([`Rpcs`]); others are added as tonic made them.
#[derive(Debug)]
pub struct Table {
    rpcs: HashMap<Box<str>, Arc<Rpc>>,
    unknown: Arc<Rpc>,
    facts: HashMap<String, Facts>,
    limits: WireLimits,
    /// What has been answered and is not read.
    answers: Answers,
}

impl Table {
    /// No RPC yet. What `facts` say is by path; an RPC of which they say nothing changes nothing and is answered here.
    pub fn new(limits: WireLimits, facts: impl IntoIterator<Item = (String, Facts)>) -> Self {
        let unknown = Rpc {
            path: "".into(),
            client_streaming: false,
            server_streaming: false,
            changes: false,
            route: Route::Local,
            calls: Calls::default(),
            run: Box::new(|request, _| ready(Ok(unimplemented(request.uri().path()).into_http())).boxed()),
        };
        let (rpcs, facts) = (HashMap::new(), facts.into_iter().collect());
        let answers = Answers::new(limits.answers_bytes_max);
        Self { rpcs, unknown: Arc::new(unknown), facts, limits, answers }
    }

    /// What has been answered and is not read.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What the path names.
    pub fn find(&self, path: &str) -> Arc<Rpc> {
        Arc::clone(self.rpcs.get(path).unwrap_or(&self.unknown))
    }

    /// All of them, and last what stands for whatever else is asked for.
    pub fn rpcs(&self) -> impl Iterator<Item = &Arc<Rpc>> {
        self.rpcs.values().chain([&self.unknown])
    }

    /// Adds the methods of a service as tonic made it, each with whether its client and its server stream.
    pub fn add_service<S, B>(&mut self, service: &S, methods: &[(&str, bool, bool)])
    where
        S: NamedService
            + Service<Request<Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<tower::BoxError>,
    {
        for (method, client_streaming, server_streaming) in methods {
            let service = service.clone();
            let run = move |request: Request<Body>, ahead: Ahead| {
                let answer = service.clone().oneshot(ahead.put_back(request));
                async move { answer.await.map(|response| response.map(Body::new)) }.boxed()
            };
            self.add(&format!("/{}/{method}", S::NAME), *client_streaming, *server_streaming, Box::new(run));
        }
    }

    fn add(&mut self, path: &str, client_streaming: bool, server_streaming: bool, run: Handler) {
        let Facts { changes, route } = self.facts.get(path).copied().unwrap_or_default();
        let calls = Calls::default();
        let rpc = Rpc { path: path.into(), client_streaming, server_streaming, changes, route, calls, run };
        self.rpcs.insert(path.into(), Arc::new(rpc));
    }
}

/// `UNIMPLEMENTED UNKNOWN_METHOD`.
fn unimplemented(path: &str) -> Status {
    failure(Code::Unimplemented, "UNKNOWN_METHOD", format!("no RPC has the path `{path}`")).status()
}

impl Rpcs for Table {
    fn unary<T, C, Q, R, F>(&mut self, path: &'static str, service: &Arc<T>, call: C)
    where
        T: Send + Sync + 'static,
        C: Fn(Arc<T>, tonic::Request<Q>) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Result<tonic::Response<R>, Status>> + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static,
    {
        let changes = self.facts.get(path).is_some_and(|facts| facts.changes);
        let (service, limits, answers) = (Arc::clone(service), self.limits, self.answers.of(changes));
        let run = move |request, ahead| -> Answering {
            let (service, answers) = (Arc::clone(&service), answers.clone());
            Box::pin(unary::answer(limits, answers, request, ahead, move |request| call(service, request)))
        };
        self.add(path, false, false, Box::new(run));
    }

    fn server_streaming<T, C, Q, R, S, F>(&mut self, path: &'static str, service: &Arc<T>, call: C)
    where
        T: Send + Sync + 'static,
        C: Fn(Arc<T>, tonic::Request<Q>) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Result<tonic::Response<S>, Status>> + Send + 'static,
        S: Stream<Item = Result<R, Status>> + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static,
    {
        let (service, limits, answers) = (Arc::clone(service), self.limits, self.answers.clone());
        let run = move |request, ahead| -> Answering {
            let (service, answers) = (Arc::clone(&service), answers.clone());
            Box::pin(streaming::answers_of_one(limits, answers, request, ahead, move |request| {
                call(service, request)
            }))
        };
        self.add(path, false, true, Box::new(run));
    }

    fn streaming<T, C, Q, R, S, F>(&mut self, path: &'static str, service: &Arc<T>, call: C)
    where
        T: Send + Sync + 'static,
        C: Fn(Arc<T>, tonic::Request<Streaming<Q>>) -> F + Send + Sync + Copy + 'static,
        F: Future<Output = Result<tonic::Response<S>, Status>> + Send + 'static,
        S: Stream<Item = Result<R, Status>> + Send + 'static,
        Q: prost::Message + Default + Send + 'static,
        R: prost::Message + Send + 'static,
    {
        let (service, limits, answers) = (Arc::clone(service), self.limits, self.answers.clone());
        let run = move |request, ahead: Ahead| -> Answering {
            let (service, answers) = (Arc::clone(&service), answers.clone());
            let request = ahead.put_back(request);
            Box::pin(streaming::answers_of_many(limits, answers, request, move |request| {
                call(service, request)
            }))
        };
        self.add(path, true, true, Box::new(run));
    }
}
