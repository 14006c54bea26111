//! Any operation by its descriptor: JSON to its request, its answer to JSON, and a call of it over gRPC in between.

use crate::operations::Operation;
use bytes::{Buf, BufMut};
use futures_util::Stream;
use prost::Message as _;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::client::GrpcService;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Body, StdError};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Builds the request message of an operation.
///
/// # Errors
/// What is wrong with the JSON, in words.
pub fn encode(operation: &Operation, json: &Value) -> Result<Vec<u8>, serde_json::Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let message = DynamicMessage::deserialize_with_options(operation.method.input(), json, &options)?;
    Ok(message.encode_to_vec())
}

/// A message as JSON, every field present.
///
/// # Errors
/// If the bytes are no such message.
pub fn to_json(output: MessageDescriptor, raw: &[u8]) -> Result<Value, Status> {
    let message = DynamicMessage::decode(output, raw).map_err(|error| Status::internal(error.to_string()))?;
    let options = SerializeOptions::new().skip_default_fields(false);
    let json = message.serialize_with_options(serde_json::value::Serializer, &options);
    json.map(integral).map_err(|error| Status::internal(error.to_string()))
}

/// Integral numbers print without a fraction, as over REST.
fn integral(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(double) if double.fract() == 0.0 && double.abs() <= 9_007_199_254_740_992.0 =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53, just checked")]
                Value::from(double as i64)
            }
            _ => Value::Number(number),
        },
        Value::Array(values) => values.into_iter().map(integral).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, integral(value))).collect(),
        value => value,
    }
}

/// Calls an operation with `requests`, one unless its client streams: the answers, one unless it streams.
///
/// # Errors
/// The status, where the call fails before the first answer.
pub async fn call<R>(
    channel: Channel,
    operation: &Operation,
    requests: R,
    headers: &[(String, String)],
) -> Result<impl Stream<Item = Result<Value, Status>> + use<R>, Status>
where
    R: Stream<Item = Vec<u8>> + Send + 'static,
{
    let mut request = Request::new(requests);
    for (name, value) in headers {
        let name = name.parse::<tonic::metadata::MetadataKey<_>>();
        let (Ok(name), Ok(value)) = (name, value.parse()) else {
            return Err(Status::invalid_argument("a header is not ASCII"));
        };
        request.metadata_mut().insert(name, value);
    }
    send(channel, operation, request).await
}

/// As [`call`], of a request as it is, to whatever answers gRPC.
///
/// # Errors
/// The status, where the call fails before the first answer.
pub async fn send<C, R>(
    service: C,
    operation: &Operation,
    request: Request<R>,
) -> Result<impl Stream<Item = Result<Value, Status>> + use<C, R>, Status>
where
    C: GrpcService<tonic::body::Body>,
    C::ResponseBody: Body + Send + 'static,
    <C::ResponseBody as Body>::Error: Into<StdError>,
    R: Stream<Item = Vec<u8>> + Send + 'static,
{
    let mut grpc = tonic::client::Grpc::new(service).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|error| Status::unavailable(error.into().to_string()))?;
    let path = operation.path().parse().map_err(|_| Status::internal("the RPC's path is no path"))?;
    let response = grpc.streaming(request, path, Raw).await?;
    let output = operation.method.output();
    let answers = response.into_inner();
    Ok(futures_util::StreamExt::map(answers, move |answer| {
        answer.and_then(|raw| to_json(output.clone(), &raw))
    }))
}

/// Messages as they are on the wire.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
