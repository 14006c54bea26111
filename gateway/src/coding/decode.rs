//! Bodies taken apart, a buffer at a time: what a few bytes would grow to never lies in memory beyond the limit.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http_body::{Body as _, Frame};
use zstd::stream::raw::{self, DParameter, Operation as _};

use super::Coding;

/// The bytes taken out at a time.
const PIECE_BYTES: usize = 16 << 10;

/// A client can ask for a zstd window of 2^31 bytes; RFC 8878 wants 8 MiB to be enough for all.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How many members (gzip) or frames (zstd) a body may be joined of. An empty one has a few bytes, and costs as much work as
/// a piece of text.
const PARTS_MAX: u32 = 1_000;

/// How many times its size a stream may grow to, beyond what is small. What is whole has a limit of its own; a stream has
/// none, and four bytes of zstd can be 128 KiB of blanks.
const GROWTH_MAX: u64 = 100;
const SMALL_BYTES: u64 = 1 << 20;

/// A body that cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// It grows beyond the limit.
    #[error("more than {0} bytes when taken apart")]
    TooLarge(usize),
    /// It is not in its coding.
    #[error("no {coding}: {why}", coding = .0.name(), why = .1)]
    Corrupt(Coding, String),
    /// It ends early.
    #[error("the {} ends early", .0.name())]
    Truncated(Coding),
    /// It grows as no text does.
    #[error("{coding} of {read} bytes that grows to more than {GROWTH_MAX} times that", coding = .0.name(), read = .1)]
    TooDense(Coding, u64),
    /// It is joined of very many parts.
    #[error("{coding} of more than {PARTS_MAX} parts", coding = .0.name())]
    TooManyParts(Coding),
    /// The body itself broke off.
    #[error("the body broke off: {0}")]
    Broken(axum::Error),
}

struct Decoder {
    coding: Coding,
    state: State,
    /// All that began has ended: the body may end here.
    whole: bool,
    /// The parts that have ended.
    parts: u32,
    /// The bytes taken and given.
    read: u64,
    written: u64,
}

enum State {
    Gzip(Decompress),
    Zstd(Box<raw::Decoder<'static>>),
}

impl Decoder {
    fn new(coding: Coding) -> Result<Self, DecodeError> {
        let state = match coding {
            Coding::Gzip => State::Gzip(Decompress::new_gzip(15)),
            Coding::Zstd => {
                let corrupt = |error: std::io::Error| DecodeError::Corrupt(coding, error.to_string());
                let mut decoder = raw::Decoder::new().map_err(corrupt)?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(corrupt)?;
                State::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { coding, state, whole: true, parts: 0, read: 0, written: 0 })
    }

    /// Takes from `input` and adds at most a piece to `out`. Gives whether more may come without more input.
    fn step(&mut self, input: &mut Bytes, out: &mut Vec<u8>) -> Result<bool, DecodeError> {
        let from = out.len();
        out.resize(from + PIECE_BYTES, 0);
        let (read, written) = match &mut self.state {
            State::Gzip(decompress) => {
                // one member may follow another
                if self.whole && !input.is_empty() {
                    *decompress = Decompress::new_gzip(15);
                    self.whole = false;
                }
                let (read, written) = (decompress.total_in(), decompress.total_out());
                let status = decompress.decompress(input, &mut out[from..], FlushDecompress::None);
                let status = status.map_err(|error| DecodeError::Corrupt(self.coding, error.to_string()))?;
                if status == Status::StreamEnd {
                    self.whole = true;
                    self.parts += 1;
                }
                (decompress.total_in() - read, decompress.total_out() - written)
            }
            State::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, &mut out[from..]);
                let status = status.map_err(|error| DecodeError::Corrupt(self.coding, error.to_string()))?;
                if status.bytes_read + status.bytes_written > 0 {
                    self.whole = status.remaining == 0;
                    self.parts += u32::from(self.whole);
                }
                (status.bytes_read as u64, status.bytes_written as u64)
            }
        };
        if self.parts > PARTS_MAX {
            return Err(DecodeError::TooManyParts(self.coding));
        }
        self.read += read;
        self.written += written;
        input.advance(read as usize);
        out.truncate(from + written as usize);
        Ok(!input.is_empty() || written as usize == PIECE_BYTES)
    }

    /// Refuses what grows as no text does.
    fn check_growth(&self) -> Result<(), DecodeError> {
        if self.written > SMALL_BYTES.max(self.read.saturating_mul(GROWTH_MAX)) {
            return Err(DecodeError::TooDense(self.coding, self.read));
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), DecodeError> {
        if self.whole { Ok(()) } else { Err(DecodeError::Truncated(self.coding)) }
    }
}

/// Takes a whole body apart, to at most `max` bytes.
pub(crate) fn decode(coding: Coding, body: Bytes, max: usize) -> Result<Bytes, DecodeError> {
    let (mut input, mut out) = (body, Vec::new());
    let mut decoder = Decoder::new(coding)?;
    while !input.is_empty() || !decoder.whole {
        let more = decoder.step(&mut input, &mut out)?;
        if out.len() > max {
            return Err(DecodeError::TooLarge(max));
        }
        if !more {
            break;
        }
    }
    decoder.finish()?;
    Ok(out.into())
}

/// A body that is taken apart as it comes.
pub(crate) struct Decoded {
    body: Body,
    decoder: Option<Result<Decoder, DecodeError>>,
    input: Bytes,
    /// The decoder may have more to give of what it took.
    more: bool,
}

impl Decoded {
    /// Takes `body` apart.
    pub(crate) fn new(coding: Coding, body: Body) -> Self {
        Self { body, decoder: Some(Decoder::new(coding)), input: Bytes::new(), more: false }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, DecodeError>> {
        let mut decoder = match self.decoder.take() {
            Some(Ok(decoder)) => decoder,
            Some(Err(error)) => return Poll::Ready(Err(error)),
            None => return Poll::Ready(Ok(None)),
        };
        loop {
            if self.more || !self.input.is_empty() {
                let mut piece = Vec::new();
                self.more = decoder.step(&mut self.input, &mut piece)?;
                decoder.check_growth()?;
                if !piece.is_empty() {
                    self.decoder = Some(Ok(decoder));
                    return Poll::Ready(Ok(Some(piece.into())));
                }
                if self.more {
                    continue;
                }
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => {
                    self.decoder = Some(Ok(decoder));
                    return Poll::Pending;
                }
                Poll::Ready(None) => return Poll::Ready(decoder.finish().map(|()| None)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(DecodeError::Broken(error))),
                Poll::Ready(Some(Ok(frame))) => self.input = frame.into_data().unwrap_or_default(),
            }
        }
    }
}

impl http_body::Body for Decoded {
    type Data = Bytes;
    type Error = DecodeError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DecodeError>>> {
        let piece = ready!(self.get_mut().poll_piece(context));
        Poll::Ready(piece.transpose().map(|piece| piece.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body_util::BodyExt as _;
    use proptest::prelude::*;

    use super::*;

    fn pressed(coding: Coding, text: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Zstd => zstd::encode_all(text, 1).unwrap(),
        }
    }

    #[test]
    fn what_would_grow_beyond_the_limit_is_given_up_at_the_limit() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let bomb = pressed(coding, &vec![0; 50 << 20]);
            assert!(bomb.len() < 1 << 20);
            let result = decode(coding, bomb.into(), 1 << 20);
            assert!(matches!(result, Err(DecodeError::TooLarge(_))), "{result:?}");
        }
    }

    async fn read(coding: Coding, body: Vec<u8>) -> Result<usize, axum::Error> {
        let mut body = Body::new(Decoded::new(coding, Body::from(body)));
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.into_data().map_or(0, |data| data.len());
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_stream_that_grows_as_no_text_does_is_given_up_and_one_that_grows_much_is_not() {
        let dense: String = (0..200_000).map(|line| format!("{{\"sequence\":{line}}}\n")).collect();
        for coding in [Coding::Gzip, Coding::Zstd] {
            assert_eq!(read(coding, pressed(coding, dense.as_bytes())).await.unwrap(), dense.len());
            let small = SMALL_BYTES as usize;
            assert_eq!(read(coding, pressed(coding, &vec![b' '; small])).await.unwrap(), small);
            let error = read(coding, pressed(coding, &vec![b' '; 50 << 20])).await.unwrap_err();
            let error = error.into_inner();
            assert!(matches!(error.downcast_ref(), Some(DecodeError::TooDense(..))), "{coding:?}: {error}");
        }
    }

    #[test]
    fn a_body_of_very_many_empty_parts_is_given_up() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let empty = pressed(coding, b"");
            let result = decode(coding, empty.repeat(PARTS_MAX as usize).into(), 10).unwrap();
            assert_eq!(result, "");
            let result = decode(coding, empty.repeat(PARTS_MAX as usize + 1).into(), 10);
            assert!(matches!(result, Err(DecodeError::TooManyParts(_))), "{result:?}");
        }
    }

    #[test]
    fn what_ends_early_or_is_something_else_is_refused() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let whole = pressed(coding, b"a text of some length, and then some more of it");
            for end in 1..whole.len() {
                let result = decode(coding, whole[..end].to_vec().into(), 1 << 20);
                assert!(matches!(result, Err(DecodeError::Truncated(_))), "{coding:?} {end}: {result:?}");
            }
            let result = decode(coding, Bytes::from_static(b"{\"plain\": 1}"), 1 << 20);
            assert!(matches!(result, Err(DecodeError::Corrupt(..))), "{result:?}");
            assert_eq!(decode(coding, Bytes::new(), 10).unwrap(), "");
        }
    }

    proptest! {
        #[test]
        fn a_body_reads_the_same_whole_and_in_pieces_of_any_size(
            parts in proptest::collection::vec("[ab]{0,40000}", 1..3),
            cut in 1usize..300,
        ) {
            let plain = parts.concat();
            for coding in [Coding::Gzip, Coding::Zstd] {
                let whole: Vec<u8> = parts.iter().flat_map(|part| pressed(coding, part.as_bytes())).collect();
                prop_assert_eq!(decode(coding, whole.clone().into(), 1 << 20).unwrap(), plain.as_bytes());
                let chunks: Vec<_> = whole.chunks(cut).map(|chunk| Ok::<_, axum::Error>(chunk.to_vec())).collect();
                let body = Body::from_stream(futures_util::stream::iter(chunks));
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let read = runtime.block_on(Decoded::new(coding, body).collect()).unwrap().to_bytes();
                prop_assert_eq!(read, plain.as_bytes());
            }
        }

        #[test]
        fn no_bytes_make_a_decoder_panic_or_run_on(bytes: Vec<u8>, gzip: bool) {
            let coding = if gzip { Coding::Gzip } else { Coding::Zstd };
            let _ = decode(coding, bytes.into(), 1 << 20);
        }
    }
}
