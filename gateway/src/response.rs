//! From a message of upstream to the bytes of an HTTP body.

use bytes::Bytes;
use http::HeaderValue;

use crate::{
    code::Code,
    config::Transcoder,
    failure::{Failure, Reason},
    gateway::Compiled,
    held::Held,
    method::Method,
    transcode::{
        JsonOptions,
        encode::{self, EncodeError, Printing},
        reference,
        text::length_guess,
        wire::{Malformed, Reader, WireType},
    },
};

/// Why an answer has no JSON, by either transcoder.
#[derive(Debug, thiserror::Error)]
enum PrintError {
    #[error(transparent)]
    Plan(#[from] EncodeError),
    #[error("{0}")]
    Reference(String),
}

impl Compiled {
    /// Content type and body of a unary answer, for which room is held. `partial` is whether it tells a resource in part.
    pub(crate) fn response_body(
        &self,
        method: &Method,
        (message, partial): (&Bytes, bool),
        mut held: Held,
    ) -> Result<(HeaderValue, Bytes), Failure> {
        let (content_type, body) = if method.raw_response {
            self.raw_body(method, message)?
        } else {
            let mut json = Vec::with_capacity(length_guess(message.len()));
            self.put_response(method, (message, partial), &mut held, &mut json)?;
            (HeaderValue::from_static("application/json"), json.into())
        };
        Ok((content_type, held.until_sent(body, self)?))
    }

    /// Appends a message as JSON, or the field of it that the rule chose.
    ///
    /// How much that is shows while it is printed. What is held for it is enough for most; if it is not, twice as much is
    /// held before it is printed once more, so that no more lies in memory that is in no account than a thread may have for
    /// the moment.
    pub(crate) fn put_response(
        &self,
        method: &Method,
        (message, partial): (&[u8], bool),
        held: &mut Held,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        const UNHELD_BYTES_MAX: usize = 1 << 20;
        let max = self.config.limits.json_bytes_max;
        let mut room = length_guess(message.len()).max(UNHELD_BYTES_MAX).min(max);
        loop {
            match self.print(method, (message, partial), room, out) {
                Err(PrintError::Plan(EncodeError::TooLarge(_))) if room < max => {
                    room = room.saturating_mul(2).min(max);
                    held.grow_answer(room, self)?;
                    out.reserve(room);
                }
                result => return result.map_err(|error| self.unprintable(error)),
            }
        }
    }

    fn print(
        &self,
        method: &Method,
        (message, partial): (&[u8], bool),
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PrintError> {
        if self.config.transcoder == Transcoder::Reference && method.response_body.is_none() {
            let descriptor = self.schema.message(method.output).descriptor.clone();
            let json = reference::wire_to_json(descriptor, message, self.config.json)
                .map_err(PrintError::Reference)?;
            if json.len() > bytes_max {
                return Err(EncodeError::TooLarge(bytes_max).into());
            }
            out.extend_from_slice(&json);
            return Ok(());
        }
        let options = JsonOptions { sparse: partial, ..self.config.json };
        let depth = self.config.limits.depth_max;
        let printing = Printing { options, depth, bytes_max, opaque_any: false };
        match method.response_body {
            None => encode::message(&self.schema, method.output, message, printing, out)?,
            Some(index) => encode::field(&self.schema, method.output, index, message, printing, out)?,
        }
        Ok(())
    }

    fn unprintable(&self, error: PrintError) -> Failure {
        let reason = match error {
            PrintError::Plan(EncodeError::TooLarge(_)) => Reason::ResponseTooLarge,
            _ => Reason::ResponseUnprintable,
        };
        let failure = self.failure(reason, format!("answer: {error}"));
        if reason == Reason::ResponseTooLarge { failure } else { Failure { code: Code::Internal, ..failure } }
    }

    /// A google.api.HttpBody: its bytes, under its content type.
    pub(crate) fn raw_body(&self, method: &Method, message: &Bytes) -> Result<(HeaderValue, Bytes), Failure> {
        let malformed = |error: Malformed| self.failure(Reason::UpstreamBroken, format!("answer: {error}"));
        let body = match method.response_body {
            None => message.clone(),
            Some(index) => {
                let number = self.schema.message(method.output).fields[index].number;
                length_field(message, number).map_err(malformed)?.unwrap_or_default()
            }
        };
        let content_type = length_field(&body, 1).map_err(malformed)?;
        let content_type = content_type.filter(|value| !value.is_empty());
        let content_type = content_type.and_then(|value| HeaderValue::from_maybe_shared(value).ok());
        let data = length_field(&body, 2).map_err(malformed)?.unwrap_or_default();
        Ok((content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")), data))
    }
}

/// The last value of a length-delimited field, as a slice of the message.
pub(crate) fn length_field(message: &Bytes, number: u32) -> Result<Option<Bytes>, Malformed> {
    let mut reader = Reader::new(message);
    let mut found = None;
    while !reader.is_empty() {
        match reader.tag()? {
            (this, WireType::Length) if this == number => found = Some(message.slice_ref(reader.bytes()?)),
            (this, wire_type) => reader.skip(this, wire_type, 100)?,
        }
    }
    Ok(found)
}
