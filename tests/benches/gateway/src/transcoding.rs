//! The transcoders alone, without HTTP: the gateway's plans beside prost-reflect's DynamicMessage.

use crate::messages::Size;
use crate::servers::{self, JSON_LIMITS};
use arsenal_gateway::config::Transcoder;
use arsenal_gateway::schema::MessageId;
use arsenal_gateway::transcode::encode::Printing;
use arsenal_gateway::transcode::{decode, encode, reference};
use arsenal_gateway::{Gateway, JsonOptions};
/// A message in both forms, and what it takes to bring one into the other.
pub struct Sample {
    gateway: Gateway,
    message: MessageId,
    json: String,
    wire: Vec<u8>,
}

/// A way of a message.
pub struct Way {
    /// Who transcodes.
    pub peer: &'static str,
    /// Whither.
    pub direction: &'static str,
    pub transcode: fn(&Sample) -> Vec<u8>,
}

/// All of them.
pub const WAYS: [Way; 4] = [
    Way { peer: "plan", direction: "json_to_wire", transcode: Sample::decoded },
    Way { peer: "dynamic", direction: "json_to_wire", transcode: Sample::decoded_by_reference },
    Way { peer: "plan", direction: "wire_to_json", transcode: Sample::encoded },
    Way { peer: "dynamic", direction: "wire_to_json", transcode: Sample::encoded_by_reference },
];

impl Sample {
    pub fn new(size: Size) -> Self {
        let gateway = servers::gateway(Transcoder::Plan);
        let message = gateway.schema().message_id(size.message()).expect("the service's own message");
        Self { gateway, message, json: size.json(), wire: servers::wire(size) }
    }

    fn decoded(&self) -> Vec<u8> {
        // as much as the gateway reserves
        let mut out = Vec::with_capacity(self.json.len());
        let (schema, options) = (self.gateway.schema(), JsonOptions::default());
        decode::message(schema, self.message, &self.json, options, JSON_LIMITS, &mut out)
            .expect("the message is valid");
        out
    }

    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.wire.len() * 2);
        let printing = Printing {
            options: JsonOptions::default(),
            depth: JSON_LIMITS.depth,
            bytes_max: usize::MAX,
            opaque_any: false,
        };
        encode::message(self.gateway.schema(), self.message, &self.wire, printing, &mut out)
            .expect("the message is valid");
        out
    }

    fn decoded_by_reference(&self) -> Vec<u8> {
        let descriptor = self.gateway.schema().message(self.message).descriptor.clone();
        reference::json_to_wire(descriptor, &self.json, JsonOptions::default()).expect("the message is valid")
    }

    fn encoded_by_reference(&self) -> Vec<u8> {
        let descriptor = self.gateway.schema().message(self.message).descriptor.clone();
        reference::wire_to_json(descriptor, &self.wire, JsonOptions::default()).expect("the message is valid")
    }
}
