//! What hyper answers by itself over HTTP/1, before there is a request: to a head that is none, or that is longer or has more
//! fields than it reads. It has a status alone, and no place where another answer could be put; so on its way out it gets the
//! body that every other error of a gateway has.
//!
//! An answer of the gateway's own is none of these, for it has other headers. Nor are the bytes of a body or of a WebSocket,
//! whatever they are: from when a request is asked until the last of its answer has left, nothing is replaced.

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The answers of hyper's, by how they begin, and what is said in their place.
const KNOWN: [Known; 3] = [
    Known {
        line: b"HTTP/1.1 400 Bad Request\r\n",
        code: 400,
        status: "INVALID_ARGUMENT",
        reason: "INVALID_HTTP",
        message: "the request line or a header is no HTTP",
    },
    Known {
        line: b"HTTP/1.1 414 URI Too Long\r\n",
        code: 414,
        status: "INVALID_ARGUMENT",
        reason: "TARGET_TOO_LONG",
        message: "the target is longer than what is read at once",
    },
    Known {
        line: b"HTTP/1.1 431 Request Header Fields Too Large\r\n",
        code: 431,
        status: "RESOURCE_EXHAUSTED",
        reason: "HEADERS_TOO_LARGE",
        message: "the headers are too many, or longer than what is read at once",
    },
];

/// What stands behind the first line of each, up to the date.
const HEADERS: &[u8] = b"connection: close\r\ncontent-length: 0\r\ndate: ";

/// A date and what ends the head.
const DATE_BYTES: usize = "Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len();

/// What an HTTP/2 connection begins with.
const HTTP2: &[u8] = b"PRI ";

struct Known {
    line: &'static [u8],
    code: u16,
    status: &'static str,
    reason: &'static str,
    message: &'static str,
}

/// Whether a request of a connection is under way. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Asked(Arc<State>);

#[derive(Debug)]
struct State {
    /// In whose name errors are told.
    domain: Arc<str>,
    /// Requests whose answers are not all there.
    under_way: AtomicUsize,
    /// Something of an answer may not have left yet.
    leaving: AtomicBool,
}

impl Asked {
    /// For a connection on which errors are told in the name of `domain`, which stands in JSON as it is.
    pub(super) fn new(domain: Arc<str>) -> Self {
        Self(Arc::new(State { domain, under_way: AtomicUsize::new(0), leaving: AtomicBool::new(false) }))
    }

    /// A request is asked.
    pub(super) fn ask(&self) -> UnderWay {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        self.0.leaving.store(true, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// All that was to be written was.
    fn flushed(&self) {
        if self.0.under_way.load(Ordering::Relaxed) == 0 {
            self.0.leaving.store(false, Ordering::Relaxed);
        }
    }

    /// What is to be written in the place of these bytes, if they are an answer of hyper's own.
    fn in_place_of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (known, rest) = KNOWN.iter().find_map(|known| Some((known, bytes.strip_prefix(known.line)?)))?;
        let date = rest.strip_prefix(HEADERS).filter(|date| date.len() == DATE_BYTES)?;
        let free = !self.0.leaving.load(Ordering::Relaxed);
        (date.ends_with(b"\r\n\r\n") && free).then(|| known.answer(date, &self.0.domain))
    }
}

/// A request that was asked, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Asked);

impl UnderWay {
    /// What is spoken from now on is no HTTP, to the end of the connection.
    fn stay(&self) {
        self.0.0.under_way.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project! {
    /// The answer to a request that is under way until the last of it was taken.
    pub(super) struct Answering<F> {
        #[pin]
        answer: F,
        under_way: Option<UnderWay>,
    }
}

impl<F> Answering<F> {
    pub(super) fn new(answer: F, under_way: Option<UnderWay>) -> Self {
        Self { answer, under_way }
    }
}

impl<F: Future<Output = Result<Response<Body>, E>>, E> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(context))?;
        let Some(under_way) = this.under_way.take() else { return Poll::Ready(Ok(response)) };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            under_way.stay();
        }
        Poll::Ready(Ok(response.map(|body| Body::new(Answer { body, _under_way: under_way }))))
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _under_way: UnderWay,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection whose bare answers are dressed.
#[derive(Debug)]
pub(super) struct Dressed<C> {
    connection: C,
    /// Nothing where nothing is dressed: HTTP/2 has no such answers, and gRPC none of this form.
    asked: Option<Asked>,
    /// What is written in the place of an answer, as far as it has not left.
    answer: Option<Vec<u8>>,
}

impl<C> Dressed<C> {
    pub(super) fn new(connection: C, asked: Option<Asked>) -> Self {
        Self { connection, asked, answer: None }
    }
}

impl<C: AsyncWrite + Unpin> Dressed<C> {
    /// Writes another answer in the place of these bytes; nothing if they are to be written themselves.
    fn poll_answer(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let asked = self.asked.as_ref()?;
        if self.answer.is_none() {
            self.answer = Some(asked.in_place_of(bytes)?);
        }
        while let Some(answer) = self.answer.as_mut().filter(|answer| !answer.is_empty()) {
            match Pin::new(&mut self.connection).poll_write(context, answer) {
                Poll::Ready(Ok(written)) if written > 0 => drop(answer.drain(..written)),
                other => return Some(other),
            }
        }
        self.answer = None;
        Some(Poll::Ready(Ok(bytes.len())))
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Dressed<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.connection).poll_read(context, buffer);
        if buffer.filled()[before..].starts_with(HTTP2) {
            self.asked = None;
        }
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Dressed<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.poll_answer(context, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.connection).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [alone] = slices
            && let Some(written) = self.poll_answer(context, alone)
        {
            return written;
        }
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.connection).poll_flush(context))?;
        // whoever writes flushes when he has written all that he had
        if let Some(asked) = &self.asked {
            asked.flushed();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

impl Known {
    fn answer(&self, date: &[u8], domain: &str) -> Vec<u8> {
        let Self { code, status, reason, message, .. } = self;
        let body = format!(
            r#"{{"error":{{"code":{code},"message":"{message}","status":"{status}","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"{domain}"}}]}}}}"#
        );
        let length = body.len();
        let headers = format!(
            "connection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\ndate: "
        );
        [self.line, headers.as_bytes(), date, body.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::Request;
    use http_body_util::BodyExt as _;
    use hyper::body::Incoming;
    use hyper_util::rt::TokioIo;
    use std::cell::RefCell;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;

    fn bare(line: &str) -> Vec<u8> {
        format!(
            "{line}\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn only_an_answer_of_hyper_s_own_is_replaced_and_none_while_a_request_is_under_way() {
        let bad = bare("HTTP/1.1 400 Bad Request");
        let asked = Asked::new("example.com".into());
        let answer = String::from_utf8(asked.in_place_of(&bad).unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(head.ends_with("date: Sun, 06 Nov 1994 08:49:37 GMT"), "{head}");
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["error"]["code"], 400);
        assert_eq!(error["error"]["details"][0]["domain"], "example.com");
        for other in [
            bare("HTTP/1.1 404 Not Found"),
            [&*bad, b"x"].concat(),
            bad[..bad.len() - 1].to_vec(),
            b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ] {
            assert_eq!(asked.in_place_of(&other), None, "{}", String::from_utf8_lossy(&other));
        }
        let request = asked.ask();
        asked.flushed();
        assert_eq!(asked.in_place_of(&bad), None);
        drop(request);
        assert_eq!(asked.in_place_of(&bad), None, "the last of its answer may not have left");
        asked.flushed();
        assert!(asked.in_place_of(&bad).is_some());
    }

    #[tokio::test]
    async fn what_follows_an_upgrade_is_never_replaced() {
        let asked = Asked::new("example.com".into());
        let mut upgrade = Response::new(Body::empty());
        *upgrade.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = std::future::ready(Ok::<_, Infallible>(upgrade));
        drop(Answering::new(answer, Some(asked.ask())).await);
        asked.flushed();
        assert_eq!(asked.in_place_of(&bare("HTTP/1.1 400 Bad Request")), None);
    }

    /// Reads up to the end of a head.
    async fn head(client: &mut DuplexStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn a_body_that_reads_as_such_an_answer_stays_as_it_is_though_the_request_had_a_body_of_its_own() {
        let bad = bare("HTTP/1.1 400 Bad Request");
        let length = bad.len();
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let (pieces, mut sent) = mpsc::channel::<Result<Bytes, Infallible>>(1);
        let asked = Asked::new("example.com".into());
        let connection = TokioIo::new(Dressed::new(server, Some(asked.clone())));
        let body = Body::from_stream(stream::poll_fn(move |context| sent.poll_recv(context)));
        let body = RefCell::new(Some(body));
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let body = body.take().expect("one request is asked");
            let answer = async move {
                request.into_body().collect().await.unwrap();
                Ok::<_, Infallible>(Response::builder().header("content-length", length).body(body).unwrap())
            };
            Answering::new(answer, Some(asked.ask()))
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(connection, service));

        client
            .write_all(b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            .await
            .unwrap();
        // it was asked when its body is read
        assert!(head(&mut client).await.starts_with("HTTP/1.1 100 "));
        client.write_all(b"{}").await.unwrap();
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
        // a piece that comes when the head has left is written alone
        pieces.send(Ok(bad.clone().into())).await.unwrap();
        drop(pieces);
        let mut same = vec![0; length];
        client.read_exact(&mut same).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&same), String::from_utf8_lossy(&bad));
        // what comes behind it is dressed again
        client.write_all(b"GARBAGE\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("INVALID_HTTP"), "{answer}");
    }
}
