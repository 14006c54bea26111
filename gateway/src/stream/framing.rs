//! How the items of a stream, its errors and its end are told apart on the wire.

use crate::config::StreamFormat;

/// What stands around items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `data:` and an empty line; errors as `event: error`; comments as heartbeat.
    Sse,
    /// A line each; errors as a last line `{"error": ...}`.
    Ndjson,
    /// grpc-gateway's lines, wrapped in `result`.
    GatewayResult,
    /// One array. It has no place for an error: the body breaks off unfinished.
    JsonArray,
    /// The bytes of google.api.HttpBody joined.
    Raw,
}

impl Framing {
    /// The framing of a format.
    pub(super) fn of(format: StreamFormat) -> Self {
        match format {
            StreamFormat::Sse => Framing::Sse,
            StreamFormat::Ndjson => Framing::Ndjson,
            StreamFormat::GatewayResult => Framing::GatewayResult,
            StreamFormat::JsonArray => Framing::JsonArray,
        }
    }

    /// What stands before an item.
    pub(super) fn open(self, first: bool, id: Option<&str>, out: &mut Vec<u8>) {
        match self {
            Framing::Sse => {
                if let Some(id) = id {
                    out.extend_from_slice(b"id: ");
                    out.extend_from_slice(id.as_bytes());
                    out.push(b'\n');
                }
                out.extend_from_slice(b"data: ");
            }
            Framing::GatewayResult => out.extend_from_slice(b"{\"result\":"),
            Framing::JsonArray => out.push(if first { b'[' } else { b',' }),
            Framing::Ndjson | Framing::Raw => {}
        }
    }

    /// What stands behind an item.
    pub(super) fn close(self, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Framing::Sse => b"\n\n",
            Framing::Ndjson => b"\n",
            Framing::GatewayResult => b"}\n",
            Framing::JsonArray | Framing::Raw => b"",
        });
    }

    /// Appends an error after items; `false` when the framing has no place for one.
    pub(super) fn error(self, json: &[u8], out: &mut Vec<u8>) -> bool {
        let (before, after): (&[u8], &[u8]) = match self {
            Framing::Sse => (b"event: error\ndata: ", b"\n\n"),
            Framing::Ndjson | Framing::GatewayResult => (b"", b"\n"),
            Framing::JsonArray | Framing::Raw => return false,
        };
        for part in [before, json, after] {
            out.extend_from_slice(part);
        }
        true
    }

    /// What shows that a quiet stream lives; nothing where a reader might take it for an item. `lines` is whether readers of
    /// lines pass over an empty one.
    pub(super) fn heartbeat(self, lines: bool) -> Option<&'static [u8]> {
        match self {
            Framing::Sse => Some(b":\n\n"),
            Framing::Ndjson | Framing::GatewayResult if lines => Some(b"\n"),
            Framing::Ndjson | Framing::GatewayResult | Framing::JsonArray | Framing::Raw => None,
        }
    }

    /// Appends what ends a stream that went well; `event` is whether one of SSE says that it did. It has data, since a browser
    /// passes over an event without.
    pub(super) fn end(self, empty: bool, event: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(match self {
            Framing::JsonArray if empty => b"[]",
            Framing::JsonArray => b"]",
            Framing::Sse if event => b"event: end\ndata: {}\n\n",
            Framing::Sse | Framing::Ndjson | Framing::GatewayResult | Framing::Raw => b"",
        });
    }
}
