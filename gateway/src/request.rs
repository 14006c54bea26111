//! From an HTTP request to the message of a call: path captures, query parameters and body put together.

use bytes::Bytes;
use http::{HeaderMap, header};
use prost_reflect::{DynamicMessage, ReflectMessage as _};

use crate::{
    config::Transcoder,
    failure::{Failure, Reason},
    gateway::Compiled,
    grpc,
    method::{Body, Capture, Method},
    schema::{Form, MessageId},
    stream::LAST_EVENT_ID,
    transcode::{
        decode,
        lexer::JsonError,
        mask,
        query::{self, Assigned, FieldPath, QueryError},
        reference, text,
        wire::{self, WireType},
    },
};

/// The parts of a target that the message is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'r> {
    /// The raw path up to the verb.
    pub(crate) path: &'r str,
    /// The raw query, empty without one.
    pub(crate) query: &'r str,
}

impl Compiled {
    /// A failure of the gateway's own, which is counted.
    pub(crate) fn failure(&self, reason: Reason, message: impl Into<String>) -> Failure {
        self.config.metrics.fail(reason);
        Failure::new(reason, &self.config.error_domain, message)
    }

    /// The metadata of a call: what of a request's headers crosses.
    pub(crate) fn metadata(&self, request: &http::request::Parts) -> Result<HeaderMap, Failure> {
        let crossed = self.crossing.request(request, &self.config.error_domain);
        crossed.inspect_err(|_| self.config.metrics.fail(Reason::InvalidHeader))
    }

    /// Upstream could not be called.
    pub(crate) fn unreachable(&self, error: &tower::BoxError) -> Failure {
        self.failure(Reason::UpstreamUnavailable, format!("upstream cannot be reached: {error}"))
    }

    /// The frame of a request: prefix and message.
    pub(crate) fn request_frame(
        &self,
        method: &Method,
        target: Target<'_>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut frame = Vec::with_capacity(grpc::PREFIX + body.len() + target.query.len() + 64);
        frame.resize(grpc::PREFIX, 0);
        self.put_body(method, headers, body, &mut frame)?;
        self.put_target(method, target, headers, body, &mut frame)?;
        grpc::seal(&mut frame);
        Ok(frame)
    }

    /// The frame of one message of a client's stream: what its JSON says, and then what query and path set.
    pub(crate) fn element_frame(
        &self,
        method: &Method,
        json: &[u8],
        target: &[u8],
    ) -> Result<Bytes, Failure> {
        let mut frame = Vec::with_capacity(grpc::PREFIX + json.len() + target.len());
        frame.resize(grpc::PREFIX, 0);
        self.put_json(method, json, &mut frame)?;
        frame.extend_from_slice(target);
        grpc::seal(&mut frame);
        Ok(frame.into())
    }

    /// The frame of one message of an upload: a piece of the body as google.api.HttpBody, with its content type where
    /// `headers` have one, and then what query and path set.
    pub(crate) fn piece_frame(
        &self,
        method: &Method,
        headers: &HeaderMap,
        piece: &[u8],
        target: &[u8],
    ) -> Result<Bytes, Failure> {
        let mut frame = Vec::with_capacity(grpc::PREFIX + piece.len() + target.len() + 64);
        frame.resize(grpc::PREFIX, 0);
        self.put_body(method, headers, piece, &mut frame)?;
        frame.extend_from_slice(target);
        grpc::seal(&mut frame);
        Ok(frame.into())
    }

    /// What query and path set, alone.
    pub(crate) fn target_bytes(
        &self,
        method: &Method,
        target: Target<'_>,
        headers: &HeaderMap,
    ) -> Result<Vec<u8>, Failure> {
        let mut frame = vec![0; grpc::PREFIX];
        self.put_target(method, target, headers, &[], &mut frame)?;
        Ok(frame.split_off(grpc::PREFIX))
    }

    /// Appends what query and path set; the path comes last, so that it wins.
    fn put_target(
        &self,
        method: &Method,
        target: Target<'_>,
        headers: &HeaderMap,
        body: &[u8],
        frame: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let how = (&self.config.query, self.config.json, self.config.limits.json());
        let assigned = query::put_query(&self.schema, method.input, target.query, &method.scope, how, frame)
            .map_err(|error| self.query_failure(error))?;
        if let Some(mask) = method.mask.filter(|_| self.config.patch_mask) {
            self.put_mask(method, mask, &assigned, body, frame)?;
        }
        if let Some(after) = &method.resume.after {
            self.put_last_event_id(after, headers, frame)?;
        }
        self.put_guard(method, headers, frame)?;
        let path_from = frame.len();
        for (variable, capture) in method.template.variables.iter().zip(&method.captures) {
            let path = self.path_of(capture);
            if assigned.contradicts(&path) {
                let name = &capture.name;
                let message = format!("`{name}` of the path and a query parameter are members of one oneof");
                return Err(self.failure(Reason::PathCollision, message).about_field(name));
            }
            let value = method
                .capture(variable, target.path, self.config.unescape)
                .map_err(|error| self.failure(Reason::InvalidTarget, format!("path: {error}")))?;
            query::put_capture(
                &self.schema,
                &path,
                &value,
                self.config.json,
                self.config.limits.json(),
                frame,
            )
            .map_err(|reason| {
                let message = format!("path parameter `{}`: {reason}", capture.name);
                self.failure(Reason::InvalidPathParameter, message).about_field(&capture.name)
            })?;
        }
        if self.config.refuse_path_collision {
            let (before, path) = frame.split_at(path_from);
            self.check_collision(method, &before[grpc::PREFIX..], path)?;
        }
        Ok(())
    }

    /// The fields that lead to where text goes.
    fn path_of(&self, capture: &Capture) -> FieldPath<'_> {
        let field = |&(message, index): &(MessageId, usize)| {
            (message, index, &self.schema.message(message).fields[index])
        };
        capture.steps.iter().map(field).collect()
    }

    fn query_failure(&self, error: QueryError) -> Failure {
        let (reason, field) = match &error {
            QueryError::Encoding(_) => (Reason::InvalidTarget, None),
            QueryError::Unknown { name, .. } => (Reason::UnknownQueryParameter, Some(name.clone())),
            QueryError::Invalid { name, .. } => (Reason::InvalidQueryParameter, Some(name.clone())),
        };
        let failure = self.failure(reason, error.to_string());
        match field {
            Some(field) => failure.about_field(&field),
            None => failure,
        }
    }

    fn put_body(
        &self,
        method: &Method,
        headers: &HeaderMap,
        body: &[u8],
        frame: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        match method.body {
            Body::None => Ok(()),
            Body::RawMessage => {
                put_http_body(headers, body, frame);
                Ok(())
            }
            Body::RawField(index) => {
                let field = &self.schema.message(method.input).fields[index];
                frame.extend_from_slice(field.tag.as_bytes());
                let start = wire::begin_length(frame);
                put_http_body(headers, body, frame);
                wire::end_length(frame, start);
                Ok(())
            }
            Body::Message | Body::Field(_) => self.put_json(method, body, frame),
        }
    }

    /// Appends a JSON body. One of no bytes sets nothing; one of blanks alone is no JSON.
    pub(crate) fn put_json(&self, method: &Method, body: &[u8], frame: &mut Vec<u8>) -> Result<(), Failure> {
        let Ok(json) = std::str::from_utf8(body) else {
            return Err(self.failure(Reason::InvalidBody, "body: not UTF-8"));
        };
        if json.is_empty() {
            return Ok(());
        }
        let (options, limits) = (self.config.json, self.config.limits.json());
        let result = match (method.body, self.config.transcoder) {
            (Body::Field(index), Transcoder::Plan) => {
                let field = &self.schema.message(method.input).fields[index];
                decode::field(&self.schema, field, json, options, limits, frame)
            }
            (_, Transcoder::Plan) => {
                decode::message(&self.schema, method.input, json, options, limits, frame)
            }
            (_, Transcoder::Reference) => return self.put_json_by_reference(method, json, frame),
        };
        result.map_err(|error| self.json_failure(error))
    }

    fn put_json_by_reference(&self, method: &Method, json: &str, frame: &mut Vec<u8>) -> Result<(), Failure> {
        let plan = self.schema.message(method.input);
        let wrapped = match method.body {
            Body::Field(index) => {
                let mut wrapped = b"{".to_vec();
                text::put_string(&mut wrapped, &plan.fields[index].json_name);
                wrapped.extend_from_slice(&[b":", json.as_bytes(), b"}"].concat());
                String::from_utf8(wrapped).unwrap_or_default()
            }
            _ => json.to_owned(),
        };
        let bytes = reference::json_to_wire(plan.descriptor.clone(), &wrapped, self.config.json)
            .map_err(|reason| self.failure(Reason::InvalidBody, format!("body: {reason}")))?;
        frame.extend_from_slice(&bytes);
        Ok(())
    }

    fn json_failure(&self, error: JsonError) -> Failure {
        let failure = self.failure(Reason::InvalidBody, format!("body: {error}"));
        let member = error.member();
        if member.is_empty() { failure } else { failure.about_field(&member) }
    }

    /// A PATCH that does not say what it changes changes what it holds.
    fn put_mask(
        &self,
        method: &Method,
        mask: usize,
        assigned: &Assigned,
        body: &[u8],
        frame: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let field = &self.schema.message(method.input).fields[mask];
        let Body::Field(index) = method.body else { return Ok(()) };
        // the members of a `Struct` are data: a patch of them is a merge patch, and no mask follows from it
        let resource = self.schema.message(method.input).fields[index].kind.message();
        let resource = resource.filter(|resource| self.schema.message(*resource).form == Form::Object);
        let json = std::str::from_utf8(body).unwrap_or_default();
        let (Some(resource), false) =
            (resource, assigned.covers(field.number) || json.trim_ascii().is_empty())
        else {
            return Ok(());
        };
        let paths =
            mask::from_body(&self.schema, resource, json, self.config.json, self.config.limits.json())
                .map_err(|error| self.json_failure(error))?;
        frame.extend_from_slice(field.tag.as_bytes());
        let start = wire::begin_length(frame);
        for path in &paths {
            mask::put_path(frame, path);
        }
        wire::end_length(frame, start);
        Ok(())
    }

    /// A browser that comes back says what it saw last.
    fn put_last_event_id(
        &self,
        after: &Capture,
        headers: &HeaderMap,
        frame: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let Some(id) = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty())
        else {
            return Ok(());
        };
        // What the browser saw last is later than what the page once asked for: it goes behind, and wins.
        query::put_capture(
            &self.schema,
            &self.path_of(after),
            id,
            self.config.json,
            self.config.limits.json(),
            frame,
        )
        .map_err(|reason| self.failure(Reason::InvalidHeader, format!("header `last-event-id`: {reason}")))?;
        Ok(())
    }

    fn check_collision(&self, method: &Method, before: &[u8], path: &[u8]) -> Result<(), Failure> {
        let descriptor = || self.schema.message(method.input).descriptor.clone();
        let decoded = DynamicMessage::decode(descriptor(), before)
            .and_then(|before| Ok((before, DynamicMessage::decode(descriptor(), path)?)));
        let Ok((before, path)) = decoded else { return Ok(()) };
        for variable in &method.template.variables {
            let (told, captured) = (leaf(&before, &variable.field_path), leaf(&path, &variable.field_path));
            if told.is_some() && told != captured {
                let name = variable.field_path.join(".");
                let message = format!("`{name}` has one value in the path and another beside it");
                return Err(self.failure(Reason::PathCollision, message).about_field(&name));
            }
        }
        Ok(())
    }
}

/// The value at a field path, if it is set.
fn leaf(message: &DynamicMessage, path: &[String]) -> Option<prost_reflect::Value> {
    let (name, rest) = path.split_first()?;
    let field = message
        .descriptor()
        .get_field_by_name(name)
        .or_else(|| message.descriptor().get_field_by_json_name(name));
    let field = field.filter(|field| message.has_field(field))?;
    let value = message.get_field(&field);
    if rest.is_empty() { Some(value.into_owned()) } else { leaf(value.as_message()?, rest) }
}

/// Appends the fields of a google.api.HttpBody: the content type and the bytes as they came.
fn put_http_body(headers: &HeaderMap, body: &[u8], frame: &mut Vec<u8>) {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let parts = [(1u8, content_type.unwrap_or_default().as_bytes()), (2, body)];
    for (number, bytes) in parts.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        frame.push(number << 3 | WireType::Length as u8);
        wire::put_bytes(frame, bytes);
    }
}
