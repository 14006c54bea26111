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
        encode::{self, Printing},
        reference,
        text::length_guess,
        wire::{Malformed, Reader, WireType},
    },
};

impl Compiled {
    /// Content type and body of a unary answer, for which room is held.
    pub(crate) fn response_body(
        &self,
        method: &Method,
        message: &Bytes,
        held: Held,
    ) -> Result<(HeaderValue, Bytes), Failure> {
        let (content_type, body) = if method.raw_response {
            self.raw_body(method, message)?
        } else {
            let mut json = Vec::with_capacity(length_guess(message.len()));
            self.put_response(method, message, &mut json)?;
            (HeaderValue::from_static("application/json"), json.into())
        };
        Ok((content_type, held.until_sent(body, self)?))
    }

    /// Appends a message as JSON, or the field of it that the rule chose.
    pub(crate) fn put_response(
        &self,
        method: &Method,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if self.config.transcoder == Transcoder::Reference && method.response_body.is_none() {
            let descriptor = self.schema.message(method.output).descriptor.clone();
            let json = reference::wire_to_json(descriptor, message, self.config.json)
                .map_err(|reason| self.failure(Reason::ResponseUnprintable, format!("answer: {reason}")))?;
            out.extend_from_slice(&json);
            return Ok(());
        }
        let options = JsonOptions { sparse: method.partial, ..self.config.json };
        let printing = Printing { options, depth: self.config.limits.depth_max, opaque_any: false };
        let result = match method.response_body {
            None => encode::message(&self.schema, method.output, message, printing, out),
            Some(index) => encode::field(&self.schema, method.output, index, message, printing, out),
        };
        result.map_err(|error| {
            let failure = self.failure(Reason::ResponseUnprintable, format!("answer: {error}"));
            Failure { code: Code::Internal, ..failure }
        })
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
