//! One HTTP request through the gateway: route, read, transcode, call, transcode back.
//!
//! A request is one future: when the client goes away the server drops it, and with it the call to upstream. What few
//! requests need lies in boxes: a future is as large as its largest path, and is moved into the one that awaits it.

mod body;
mod routing;

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task,
    time::Duration,
};

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, Request, Response, StatusCode,
    Version, header,
};
use http_body::{Body as _, Frame};
use http_body_util::StreamBody;
use tokio::time::Instant;
use tower::Service;
use tracing::Instrument as _;

use crate::{
    coding::{self, Coding, Decoded},
    conditional,
    failure::{Failure, GRPC_STATUS, Reason},
    gateway::Compiled,
    grpc::Messages,
    held::{Held, LeftOn},
    metadata,
    method::Method,
    metrics::{self, Timed},
    negotiate, path,
    request::Target,
    stalled,
    stream::{self, websocket},
    upstream::Upstream,
    web::{
        self,
        origin::{self, Sender},
    },
};

/// The gateway in front of one upstream, as a tower service.
#[derive(Clone)]
pub struct GatewayService {
    pub(crate) compiled: Arc<Compiled>,
    pub(crate) upstream: Arc<dyn Upstream>,
}

impl std::fmt::Debug for GatewayService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayService").finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for GatewayService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.handle(request).await) })
    }
}

impl GatewayService {
    pub(crate) fn new(compiled: Arc<Compiled>, upstream: Arc<dyn Upstream>) -> Self {
        Self { compiled, upstream }
    }

    /// Answers any request; failures are answers too.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (mut counted, version) = (None, request.version());
        let response = self.respond(request, &mut counted).await;
        let config = &self.compiled.config;
        let response = metrics::end(counted.unwrap_or_else(|| config.metrics.unrouted()), response);
        stalled::watch(response, version, config.limits.answer_idle_max)
    }

    /// Puts into `counted` what the request is, once that is known.
    async fn respond(&self, request: Request<Body>, counted: &mut Option<Timed>) -> Response<Body> {
        let head = request.method() == HttpMethod::HEAD;
        let accepted = Coding::accepted(request.headers());
        let compiled = &*self.compiled;
        let sender = Sender::of(compiled, &request);
        let told_id = request.headers().get(metadata::REQUEST_ID).cloned();
        let mut admitted = origin::check_host(compiled, &request);
        if admitted.is_ok() && origin::may_change(request.method()) {
            admitted = sender.check(compiled);
        }
        let answer = match admitted {
            Err(failure) => Err(failure),
            Ok(()) if origin::is_preflight(&request) => Ok(origin::preflight(&request)),
            Ok(()) => self.answer(request, counted).await,
        };
        let mut response = answer.unwrap_or_else(|failure| {
            failure.into_response(&compiled.schema, &compiled.config, &compiled.crossing)
        });
        // what is answered without a call, or refused before there is one, has an id too
        if compiled.config.request_id && !response.headers().contains_key(metadata::REQUEST_ID) {
            let mut told = told_id.map(|id| (metadata::REQUEST_ID, id)).into_iter().collect();
            response.headers_mut().insert(metadata::REQUEST_ID, metadata::request_id(&mut told));
        }
        sender.let_read(compiled, response.headers_mut());
        let pressing = compiled.config.compress_bytes_min.is_some_and(|bytes_min| {
            let size = response.body().size_hint().exact();
            coding::is_worth_it(response.status(), response.headers(), size, bytes_min)
        });
        if head {
            if pressing {
                coding::announce(accepted, response.headers_mut());
            }
            *response.body_mut() = Body::empty();
            return response;
        }
        if pressing { coding::encoded(accepted, response, &self.compiled).await } else { response }
    }

    async fn answer(
        &self,
        mut request: Request<Body>,
        counted: &mut Option<Timed>,
    ) -> Result<Response<Body>, Failure> {
        negotiate::check_size(&self.compiled, request.headers())?;
        if let Some(answer) = web::answer(self, &request) {
            *counted = Some(self.compiled.config.metrics.page());
            return answer.await;
        }
        if let Some(dialect) = web::dialect(self, &request) {
            *counted = Some(self.compiled.config.metrics.call());
            return Box::pin(web::pass(self, dialect, request)).await;
        }
        if self.compiled.config.ignore_trailing_slash {
            path::drop_trailing_slash(request.uri_mut());
        }
        let target_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target_bytes > self.compiled.config.limits.target_bytes_max {
            let message = format!("a target of {target_bytes} bytes");
            return Err(self.compiled.failure(Reason::TargetTooLong, message));
        }
        if request.method() == HttpMethod::OPTIONS
            && let Some(response) = self.options(request.uri().path())
        {
            return Ok(response);
        }
        if websocket::is_handshake(&request)
            && let Some((method, verb_length)) = self.stream_route(request.uri().path())
        {
            *counted = self.counted(method);
            let span = span(method, request.method());
            let opening = Box::pin(websocket::open(self, method, verb_length, request));
            let answer = opening.instrument(span.clone()).await;
            record(&span, &answer);
            return answer;
        }
        let (method, verb_length) = self.route(request.method(), request.uri().path())?;
        *counted = self.counted(method);
        let span = span(method, request.method());
        let answer = self.call_method(method, verb_length, request).instrument(span.clone()).await;
        record(&span, &answer);
        answer
    }

    fn counted(&self, method: &Method) -> Option<Timed> {
        self.compiled.counted.get(method.index).map(metrics::begin)
    }

    async fn call_method(
        &self,
        method: &Method,
        verb_length: usize,
        request: Request<Body>,
    ) -> Result<Response<Body>, Failure> {
        let compiled = &*self.compiled;
        let (mut parts, body) = request.into_parts();
        let coding = negotiate::check(compiled, method, &parts.headers)?;
        compiled.check_conditions(method, &parts)?;
        let mut metadata = compiled.metadata(&parts)?;
        let extensions = std::mem::take(&mut parts.extensions);
        let request_id = compiled.config.request_id.then(|| metadata::request_id(&mut metadata));
        let deadline = self.deadline(method, &parts.headers)?;
        if let Some(timeout) = deadline {
            metadata::put_timeout(&mut metadata, timeout);
        }
        // one that no clock can tell is none
        let until = deadline.and_then(|timeout| Instant::now().checked_add(timeout));
        let path = parts.uri.path();
        let target =
            Target { path: &path[..path.len() - verb_length], query: parts.uri.query().unwrap_or_default() };
        let refusal = method.client_streaming.then(stream::Refusal::default);
        let call = pin!(async {
            // the body is held for as long as upstream may have it
            let (frames, partial, _held) = if let Some(refusal) = &refusal {
                let body = match coding {
                    Some(coding) => Body::new(Decoded::new(coding, body)),
                    None => body,
                };
                let frames = self.upload(method, target, &parts.headers, body, refusal)?;
                (frames, method.partial.applies(&[]), Held::default())
            } else {
                let (max, left_on) = (compiled.config.limits.request_bytes_max, LeftOn::of(parts.version));
                let body = self.read_body(body, max, left_on).await?;
                let (body, held) = self.plain(coding, body)?;
                let frame = compiled.request_frame(method, target, &parts.headers, &body)?;
                let partial = method.partial.applies(&frame);
                (Body::from(frame), partial, held)
            };
            let answer = self.upstream.call(grpc_request(method, metadata, extensions, frames)).await;
            let response = answer.map_err(|error| compiled.unreachable(&error))?;
            let (headers, messages) = Messages::open(response, &self.compiled)?;
            if method.server_streaming {
                let (compiled, refusal) = (self.compiled.clone(), refusal.clone().unwrap_or_default());
                let headers = (&parts.headers, headers);
                Box::pin(stream::respond(compiled, method, headers, messages, until, refusal)).await
            } else {
                self.unary_response(method, &parts, &headers, (messages, partial)).await
            }
        });
        let answer = match until {
            None => call.await,
            Some(until) => tokio::time::timeout_at(until, call).await.unwrap_or_else(|_| {
                let message = format!("no answer within {:?}", deadline.unwrap_or_default());
                Err(compiled.failure(Reason::DeadlineExceeded, message))
            }),
        };
        // Upstream can only say that the stream broke, or make do with what came before; why is known here.
        let refused = refusal.as_ref().and_then(|refusal| refusal.lock().ok()?.take());
        let answer = refused.map_or(answer, Err);
        let mut answer = answer.map_err(|failure| conditional::refused(failure, method, &parts));
        if let Some(id) = request_id {
            let headers = match &mut answer {
                Ok(response) => response.headers_mut(),
                Err(failure) => &mut *failure.headers,
            };
            headers.entry(metadata::REQUEST_ID).or_insert(id);
        }
        answer
    }

    /// The frames of a client's stream, as they come. Why they break off, if they do, is left in `refusal`.
    fn upload(
        &self,
        method: &Method,
        target: Target<'_>,
        headers: &HeaderMap,
        body: Body,
        refusal: &stream::Refusal,
    ) -> Result<Body, Failure> {
        let target = self.compiled.target_bytes(method, target, headers)?;
        let (compiled, refusal) = (self.compiled.clone(), refusal.clone());
        Ok(if method.body.is_raw() {
            stream::upload_body(compiled, method, target, headers, body, refusal)
        } else {
            stream::request_body(compiled, method, target, headers, body, refusal)
        })
    }

    /// The deadline of a call: the client's within the configured bounds.
    pub(crate) fn deadline(&self, method: &Method, headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
        let config = &self.compiled.config;
        let asked = metadata::timeout(headers, &config.error_domain)
            .inspect_err(|_| config.metrics.fail(Reason::InvalidHeader))?;
        let streaming = method.server_streaming || method.client_streaming;
        let timeout = asked.or(config.default_timeout.filter(|_| !streaming));
        Ok(match (timeout, config.timeout_max) {
            (Some(timeout), Some(max)) => Some(timeout.min(max)),
            (timeout, _) => timeout,
        })
    }

    async fn unary_response(
        &self,
        method: &Method,
        request: &http::request::Parts,
        headers: &HeaderMap,
        (mut messages, partial): (Messages, bool),
    ) -> Result<Response<Body>, Failure> {
        let compiled = &*self.compiled;
        let broken = |message| compiled.failure(Reason::UpstreamBroken, message);
        let message =
            messages.next().await.unwrap_or_else(|| Err(broken("upstream answered without a message")))?;
        let held = messages.held();
        if messages.next().await.transpose()?.is_some() {
            return Err(broken("upstream answered with more than one message"));
        }
        let mut response = Response::new(Body::empty());
        let (content_type, body) = compiled.response_body(method, (&message, partial), held)?;
        let out = response.headers_mut();
        out.insert(header::CONTENT_TYPE, content_type);
        out.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if method.raw_response {
            out.insert(header::X_CONTENT_TYPE_OPTIONS, web::NOSNIFF);
        }
        compiled.crossing.response(headers, out);
        let told = messages.trailers.as_ref().filter(|_| !headers.contains_key(GRPC_STATUS));
        let trailers = told.map(|told| compiled.crossing.unary_end(told, out)).unwrap_or_default();
        if !out.contains_key(header::ETAG)
            && let Some(etag) = compiled.etag_of(method, &message)
        {
            out.insert(header::ETAG, etag);
        }
        if let Some(known) = compiled.verdict(request, out)? {
            compiled.leave_body(known, body.len(), out);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        if trailers.is_empty() || !metadata::takes_trailers(&request.headers) {
            *response.body_mut() = Body::from(body);
            return Ok(response);
        }
        out.remove(header::CONTENT_LENGTH);
        let names = trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
        out.extend(HeaderValue::from_str(&names).ok().map(|names| (header::TRAILER, names)));
        let frames = [Frame::data(body), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
        *response.body_mut() = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        Ok(response)
    }
}

fn span(method: &Method, http_method: &HttpMethod) -> tracing::Span {
    tracing::info_span!(
        "rest",
        otel.kind = "server",
        http.request.method = %http_method,
        http.route = &*method.template_text,
        rpc.method = method.grpc_path.path(),
        http.response.status_code = tracing::field::Empty,
    )
}

/// Puts the status of an answer into its span.
fn record(span: &tracing::Span, answer: &Result<Response<Body>, Failure>) {
    if !span.is_disabled() {
        let status = answer.as_ref().map_or_else(Failure::http_status, Response::status);
        span.record("http.response.status_code", status.as_u16());
    }
}

/// A call to upstream. What the server that the gateway runs in knows of the client, in `extensions`, goes along in process.
pub(crate) fn grpc_request(
    method: &Method,
    metadata: HeaderMap,
    extensions: Extensions,
    frames: Body,
) -> Request<Body> {
    let mut request = Request::new(frames);
    *request.extensions_mut() = extensions;
    *request.method_mut() = HttpMethod::POST;
    *request.uri_mut() = method.grpc_path.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = metadata;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    request
}

/// A health probe or a document asked for while a call would be made.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send + 'a>>;

/// An answer that is there already.
pub(crate) fn ready<'a>(response: Response<Body>) -> Answering<'a> {
    async { Ok(response) }.boxed()
}
