//! One request asked of every node, and their answers made one.
//!
//! The messages are read by their descriptors, so that a list needs nothing of its own here: each node filters, orders and
//! pages its part, and [`merge`](super::merge) joins the parts. Invariants: a node that does not answer in time is named
//! and not waited for; this node's own refusal, or another's of the request itself, is the answer; what guards a change
//! by a count is checked against the sum before anybody changes anything.

use super::Router;
use super::cursor::{Cursor, Position};
use super::forward::Hop;
use super::merge::{Merge, Shape};
use crate::layer::deadline;
use crate::messaging::check_count;
use crate::page;
use crate::status::bad_argument;
use crate::wire::{Ahead, Call, Rpc, encode_one, read_answer, read_message, write_answer};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tower::Service;

/// How long another node has for its part, where the request has no deadline that is closer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node answered.
pub(super) struct Part {
    /// Its number.
    pub(super) node: u32,
    pub(super) headers: HeaderMap,
    pub(super) message: DynamicMessage,
}

/// A request on its way to all nodes.
pub(super) struct Gathering<'a, S> {
    pub(super) router: &'a Router,
    /// What answers here.
    pub(super) inner: S,
    pub(super) rpc: Arc<Rpc>,
    pub(super) parts: Parts,
    pub(super) message: DynamicMessage,
    patience: Duration,
}

impl Router {
    /// Has a request answered by all nodes.
    pub(super) async fn gather<S>(&self, inner: S, call: Call) -> Result<Response<Body>, Status>
    where
        S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync,
    {
        let Call { rpc, request, ahead } = call;
        let Some(method) = self.gathered.get(&*rpc.path) else {
            return Ok(self.here(inner, Call { rpc, request, ahead }).await);
        };
        let (parts, body) = request.into_parts();
        let bytes = read_message(&parts.headers, body, ahead, self.message_bytes_max).await?;
        let message = DynamicMessage::decode(method.input(), bytes.clone());
        let message =
            message.map_err(|error| bad_argument("", format!("the message is not valid: {error}")))?;
        // a search is of every node unless it names one
        let named = text(&message, "node");
        if !named.is_empty() && named != "-" {
            let ahead = Ahead { head: encode_one(&message, self.message_bytes_max)?, meant: None };
            let call = Call { rpc, request: Request::from_parts(parts, Body::empty()), ahead };
            let since = Instant::now();
            return Ok(match self.numbered(&named)? {
                node if node == self.shared.node.id() => self.here(inner, call).await,
                node => self.forward(call, Hop { node, meant: None, hops_left: 0, since }).await,
            });
        }
        let patience =
            deadline::timeout(&parts.headers).map_or(PATIENCE, |timeout| PATIENCE.min(timeout * 3 / 4));
        let streams = rpc.server_streaming;
        let gathering = Gathering { router: self, inner, rpc, parts, message, patience };
        if streams { gathering.follow().await } else { gathering.answer(method).await }
    }

    async fn here<S>(&self, mut inner: S, call: Call) -> Response<Body>
    where
        S: Service<Call, Response = Response<Body>, Error = Infallible>,
    {
        let Ok(response) = inner.call(call).await;
        response
    }
}

impl<S> Gathering<'_, S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync,
{
    async fn answer(self, method: &MethodDescriptor) -> Result<Response<Body>, Status> {
        let shape = Shape::of(method);
        let mut merge = Merge::new(&self.router.shared.node, shape, method.output());
        let token = match self.message.descriptor().get_field_by_name("page_token") {
            None => {
                self.all_at_once(&mut merge).await?;
                None
            }
            Some(_) => Some(self.pages(&mut merge).await?),
        };
        let (headers, message) = merge.finish(token);
        let answers = self.router.answers.of(self.rpc.changes);
        write_answer(headers, &message, self.router.response_bytes_max, &answers)
    }

    /// Answers that have no pages.
    async fn all_at_once(&self, merge: &mut Merge) -> Result<(), Status> {
        let mut request = self.message.clone();
        if let Some(expected) = count_expected(&request) {
            let mut trial = self.message.clone();
            trial.clear_field_by_name("expected_count");
            trial.set_field_by_name("dry_run", Value::Bool(true));
            let mut guard = Merge::like(merge);
            self.ask_all(&trial, &mut guard).await?;
            check_count(Some(expected), guard.count(), "entries")?;
            request.clear_field_by_name("expected_count");
        }
        self.ask_all(&request, merge).await
    }

    async fn ask_all(&self, request: &DynamicMessage, merge: &mut Merge) -> Result<(), Status> {
        let nodes = self.router.shared.all_nodes();
        let asked = nodes.iter().map(|node| self.ask(*node, request.clone()));
        for (node, outcome) in nodes.iter().zip(join_all(asked).await) {
            self.take(*node, outcome, merge)?;
        }
        Ok(())
    }

    /// One page of a list, and the token of the next.
    async fn pages(&self, merge: &mut Merge) -> Result<String, Status> {
        let mut cursor = Cursor::parse(&text(&self.message, "page_token"))?;
        let size = page::size(
            self.message.get_field_by_name("page_size").and_then(|size| size.as_i32()).unwrap_or(0),
        )?;
        match merge.order(&self.message)? {
            None => self.in_turn(size, &mut cursor, merge).await?,
            Some(request) => self.in_order(request, size, &mut cursor, merge).await?,
        }
        Ok(cursor.token(&self.router.shared.all_nodes()))
    }

    /// The nodes' lists one behind the other: each in its own order, so that a place in one is a place in the whole.
    async fn in_turn(&self, size: usize, cursor: &mut Cursor, merge: &mut Merge) -> Result<(), Status> {
        for node in self.router.shared.all_nodes() {
            let Position::At { token, .. } = cursor.of(node) else { continue };
            let Some(room) = size.checked_sub(merge.len()).filter(|room| *room > 0) else { return Ok(()) };
            let request = paged(self.message.clone(), room, &token);
            let next = match self.take(node, self.ask(node, request).await, merge)? {
                Some(next) if !next.is_empty() => Position::At { token: next, skip: 0 },
                _ => Position::End,
            };
            cursor.set(node, next);
        }
        Ok(())
    }

    /// The nodes' lists merged: each gives a page, and of each is taken what comes first.
    async fn in_order(
        &self,
        request: DynamicMessage,
        size: usize,
        cursor: &mut Cursor,
        merge: &mut Merge,
    ) -> Result<(), Status> {
        let open = self.router.shared.all_nodes().into_iter().filter_map(|node| match cursor.of(node) {
            Position::At { token, skip } => Some((node, token, skip)),
            Position::End => None,
        });
        let open: Vec<_> = open.collect();
        let asked = open.iter().map(|(node, token, _)| self.ask(*node, paged(request.clone(), size, token)));
        let mut lists = Vec::new();
        for ((node, token, skip), outcome) in open.iter().zip(join_all(asked).await) {
            match self.take_apart(*node, outcome, merge)? {
                Some((rows, next)) => lists.push(merge.list(*node, token.clone(), *skip, rows, next)),
                None => cursor.set(*node, Position::End),
            }
        }
        for (node, position) in merge.in_order(lists, size) {
            cursor.set(node, position);
        }
        Ok(())
    }

    /// Asks a node for its part.
    async fn ask(&self, node: u32, mut request: DynamicMessage) -> Result<Part, Status> {
        let router = self.router;
        if request.descriptor().get_field_by_name("node").is_some() {
            request.set_field_by_name("node", Value::String(format!("n{node}")));
        }
        Shape::narrow(&mut request, node != router.shared.node.id());
        let head = encode_one(&request, router.message_bytes_max)?;
        let response = self.send(node, head).await?;
        let (headers, bytes) = read_answer(response, router.response_bytes_max).await?;
        let message = DynamicMessage::decode(self.output(), bytes);
        let message = message
            .map_err(|error| Status::internal(format!("n{node} answered what is no message: {error}")))?;
        Ok(Part { node, headers, message })
    }

    /// Sends a message to a node; a stream's answer begins with what this gives.
    pub(super) async fn send(&self, node: u32, head: Bytes) -> Result<Response<Body>, Status> {
        let request = Request::from_parts(self.parts.clone(), Body::empty());
        let call = Call { rpc: Arc::clone(&self.rpc), request, ahead: Ahead { head, meant: None } };
        if node == self.router.shared.node.id() {
            return Ok(self.router.here(self.inner.clone(), call).await);
        }
        let hop = Hop { node, meant: None, hops_left: 0, since: Instant::now() };
        let late =
            |_| Status::deadline_exceeded(format!("n{node} did not answer within {:?}", self.patience));
        tokio::time::timeout(self.patience, self.router.forward(call, hop)).await.map_err(late)
    }

    fn output(&self) -> prost_reflect::MessageDescriptor {
        // asked for only where the method was found
        self.router
            .gathered
            .get(&*self.rpc.path)
            .map_or_else(|| self.message.descriptor(), MethodDescriptor::output)
    }

    /// Takes a node's part whole, or names the node; gives the token of the part's next page.
    fn take(
        &self,
        node: u32,
        outcome: Result<Part, Status>,
        merge: &mut Merge,
    ) -> Result<Option<String>, Status> {
        let Some((rows, next)) = self.take_apart(node, outcome, merge)? else { return Ok(None) };
        merge.append(rows);
        Ok(Some(next))
    }

    /// Takes a node's part but for its rows, or names the node.
    fn take_apart(
        &self,
        node: u32,
        outcome: Result<Part, Status>,
        merge: &mut Merge,
    ) -> Result<Option<(Vec<Value>, String)>, Status> {
        match outcome {
            Ok(part) => Ok(Some(merge.part(part))),
            Err(status) if node != self.router.shared.node.id() && is_out_of_reach(status.code()) => {
                merge.unreached(node);
                Ok(None)
            }
            Err(status) => Err(status),
        }
    }
}

/// Whether a status says that a node gave no answer, rather than that it refused the request.
fn is_out_of_reach(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Aborted | Cancelled | DeadlineExceeded | Internal | Unavailable | Unimplemented | Unknown)
}

fn count_expected(request: &DynamicMessage) -> Option<u32> {
    let field = request.descriptor().get_field_by_name("expected_count")?;
    request.has_field(&field).then(|| request.get_field(&field).as_u32()).flatten()
}

fn paged(mut request: DynamicMessage, size: usize, token: &str) -> DynamicMessage {
    request.set_field_by_name("page_size", Value::I32(i32::try_from(size).unwrap_or(i32::MAX)));
    request.set_field_by_name("page_token", Value::String(token.to_owned()));
    request
}

/// A text field of a message; empty where there is none.
pub(super) fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
