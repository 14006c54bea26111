//! One client interface over both transports: RPCs by name, JSON in, JSON out.

use crate::rest::RestClient;
use crate::{DEADLINE, Transport};
use arsenal_server::dynamic;
use arsenal_services::operations::{self, Operation};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tonic::transport::Channel;

static OPERATIONS: LazyLock<HashMap<String, Operation>> = LazyLock::new(|| {
    operations::all().into_iter().map(|operation| (operation.method.name().to_owned(), operation)).collect()
});

/// The operation behind an RPC's bare name.
pub fn operation(rpc: &str) -> &'static Operation {
    OPERATIONS.get(rpc).unwrap_or_else(|| panic!("no RPC is called {rpc}"))
}

/// A client.
#[derive(Clone)]
pub struct Api {
    client: Client,
    headers: Vec<(String, String)>,
}

#[derive(Clone)]
enum Client {
    Grpc(Channel),
    Rest(Arc<RestClient>),
}

/// A failed call, the same over both transports.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The canonical code, `NOT_FOUND`.
    pub code: String,
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// The message.
    pub message: String,
    /// `ExitDetail.reason`, if there is one.
    pub exit: Option<Value>,
    /// All details, each with its type under `@type`.
    pub details: Vec<Value>,
}

/// The answers of a stream.
pub struct Answers(BoxStream<'static, Result<Value, Failure>>);

impl Answers {
    pub(crate) fn new(answers: BoxStream<'static, Result<Value, Failure>>) -> Self {
        Self(answers)
    }

    /// The next answer; nothing at the end. Fails the test if none comes in time.
    pub async fn next(&mut self) -> Option<Result<Value, Failure>> {
        let next = tokio::time::timeout(DEADLINE, self.0.next()).await;
        next.unwrap_or_else(|_| panic!("no answer on the stream within {DEADLINE:?}"))
    }
}

impl Failure {
    /// Of a code, a message and details with `@type`.
    pub fn new(code: String, message: String, details: Vec<Value>) -> Self {
        let of = |name: &str| {
            let is = |detail: &&Value| detail["@type"].as_str().is_some_and(|kind| kind.ends_with(name));
            details.iter().find(is)
        };
        let reason = of("google.rpc.ErrorInfo")
            .and_then(|info| info["reason"].as_str())
            .unwrap_or_default()
            .to_owned();
        let exit = of("arsenal.v1.ExitDetail").map(|detail| detail["reason"].clone());
        Self { code, reason, message, exit, details }
    }

    fn of_status(status: &tonic::Status) -> Self {
        let details = dynamic::details(status).into_iter().map(|(name, mut json)| {
            json["@type"] = format!("type.googleapis.com/{name}").into();
            json
        });
        Self::new(code_name(status.code()), status.message().to_owned(), details.collect())
    }
}

fn code_name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

impl Api {
    /// A client over gRPC.
    pub async fn grpc(address: SocketAddr) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}"));
        let endpoint = endpoint.unwrap_or_else(|error| panic!("{address} is no address: {error}"));
        let channel =
            endpoint.connect().await.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Self { client: Client::Grpc(channel), headers: Vec::new() }
    }

    /// A client over a connection of the test's own.
    pub fn over(channel: Channel) -> Self {
        Self { client: Client::Grpc(channel), headers: Vec::new() }
    }

    /// A client over REST.
    pub fn rest(address: SocketAddr) -> Self {
        Self { client: Client::Rest(Arc::new(RestClient::new(address))), headers: Vec::new() }
    }

    /// Which transport this is.
    pub fn transport(&self) -> Transport {
        match self.client {
            Client::Grpc(_) => Transport::Grpc,
            Client::Rest(_) => Transport::Rest,
        }
    }

    /// The same client, acting for a session.
    #[must_use]
    pub fn with_session(&self, session: &str) -> Self {
        self.with_header("arsenal-session", session)
    }

    /// The same client with one more request header.
    #[must_use]
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut with = self.clone();
        with.headers.push((name.to_owned(), value.to_owned()));
        with
    }

    /// Calls an RPC.
    ///
    /// # Errors
    /// What the service answered.
    pub async fn call(&self, rpc: &str, request: Value) -> Result<Value, Failure> {
        let call = async {
            match &self.client {
                Client::Grpc(_) => {
                    let mut answers = self.answers(rpc, &request).await?;
                    let none =
                        Failure::new("OK".into(), "the call ended without an answer".into(), Vec::new());
                    answers.0.next().await.unwrap_or(Err(none))
                }
                Client::Rest(client) => client.call(operation(rpc), &request, &self.headers).await,
            }
        };
        tokio::time::timeout(DEADLINE, call)
            .await
            .unwrap_or_else(|_| panic!("{rpc} was not answered in {DEADLINE:?}"))
    }

    /// Calls an RPC that must succeed.
    pub async fn ok(&self, rpc: &str, request: Value) -> Value {
        let outcome = self.call(rpc, request.clone()).await;
        outcome.unwrap_or_else(|failure| panic!("{rpc} {request} over {:?}: {failure:?}", self.transport()))
    }

    /// Calls an RPC that must fail.
    pub async fn err(&self, rpc: &str, request: Value) -> Failure {
        match self.call(rpc, request.clone()).await {
            Ok(answer) => panic!("{rpc} {request} over {:?} answered {answer}", self.transport()),
            Err(failure) => failure,
        }
    }

    /// Opens a server stream that must open.
    pub async fn stream(&self, rpc: &str, request: Value) -> Answers {
        let answers = self.answers(rpc, &request).await;
        answers.unwrap_or_else(|failure| panic!("{rpc} {request} over {:?}: {failure:?}", self.transport()))
    }

    /// Opens a server stream.
    ///
    /// # Errors
    /// What the service answered instead.
    pub async fn answers(&self, rpc: &str, request: &Value) -> Result<Answers, Failure> {
        let operation = operation(rpc);
        match &self.client {
            Client::Rest(client) => client.stream(operation, request, &self.headers).await,
            Client::Grpc(channel) => {
                let encoded = dynamic::encode(operation, request).map_err(|error| {
                    Failure::new("INVALID_ARGUMENT".into(), format!("not a request: {error}"), Vec::new())
                })?;
                let answers =
                    dynamic::call(channel.clone(), operation, stream::iter([encoded]), &self.headers).await;
                let answers = answers.map_err(|status| Failure::of_status(&status))?;
                let answers = answers.map(|answer| answer.map_err(|status| Failure::of_status(&status)));
                Ok(Answers::new(answers.boxed()))
            }
        }
    }

    /// Starts a process of `module` and gives its pid.
    pub async fn start(&self, module: &str, args: Value) -> String {
        let started = self.ok("StartProcess", serde_json::json!({"module": module, "args": args})).await;
        started["pid"].as_str().unwrap_or_else(|| panic!("no pid in {started}")).to_owned()
    }

    /// Polls until `check` gives something. Fails the test if it does not in time.
    pub async fn eventually<T, F: Future<Output = Option<T>>>(&self, check: impl Fn() -> F) -> T {
        let poll = async {
            loop {
                if let Some(found) = check().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(DEADLINE, poll)
            .await
            .unwrap_or_else(|_| panic!("it did not become so in {DEADLINE:?}"))
    }
}
