//! What hyper answers by itself over HTTP/1, before there is a request: to a head that is none, or that is longer or has more
//! fields than it reads. It has a status alone, and no place where another answer could be put; so on its way out it gets the
//! body that every other error of a gateway has.
//!
//! An answer of the gateway's own is none of these, for it has other headers. Nor are bytes of a body, whatever they are:
//! since its request was asked, nothing has been read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
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

/// Whether a request was asked since something was read. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    /// A request was asked.
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Something was read, which may be a request or none.
    fn read(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// What is to be written in the place of these bytes, if they are an answer of hyper's own.
    fn in_place_of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (known, rest) = KNOWN.iter().find_map(|known| Some((known, bytes.strip_prefix(known.line)?)))?;
        let date = rest.strip_prefix(HEADERS).filter(|date| date.len() == DATE_BYTES)?;
        (date.ends_with(b"\r\n\r\n") && !self.0.load(Ordering::Relaxed)).then(|| known.answer(date))
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
        let came = &buffer.filled()[before..];
        if came.starts_with(HTTP2) {
            self.asked = None;
        } else if let Some(asked) = self.asked.as_ref().filter(|_| !came.is_empty()) {
            asked.read();
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
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

impl Known {
    fn answer(&self, date: &[u8]) -> Vec<u8> {
        let Self { code, status, reason, message, .. } = self;
        let domain = arsenal_services::status::DOMAIN;
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

    fn bare(line: &str) -> Vec<u8> {
        format!(
            "{line}\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        )
        .into_bytes()
    }

    #[test]
    fn only_an_answer_of_hyper_s_own_to_what_was_never_asked_is_replaced() {
        let bad = bare("HTTP/1.1 400 Bad Request");
        let asked = Asked::default();
        asked.read();
        let answer = String::from_utf8(asked.in_place_of(&bad).unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert!(head.ends_with("date: Sun, 06 Nov 1994 08:49:37 GMT"), "{head}");
        let error: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(error["error"]["code"], 400);
        for other in [
            bare("HTTP/1.1 404 Not Found"),
            [&*bad, b"x"].concat(),
            bad[..bad.len() - 1].to_vec(),
            b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ] {
            assert_eq!(asked.in_place_of(&other), None, "{}", String::from_utf8_lossy(&other));
        }
        asked.ask();
        assert_eq!(asked.in_place_of(&bad), None);
    }
}
