//! Spans of turns: the number of the operation that a message carries leads back to the call that caused it.
//!
//! The last [`KEPT`] traced operations are known, in a table of fixed size; a turn that an older one causes goes
//! untraced. Turns that a turn causes hang from the same call.

use arsenal_runtime::turn_observer::{CausedTurn, ObservedTurn, TurnObserver};
use arsenal_runtime::{Kind, Node, OwnedId, Reason};
use opentelemetry::trace::{Span as _, SpanContext, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use parking_lot::Mutex;

/// Traced operations that are remembered; a power of two.
const KEPT: usize = 4_096;

/// The number of an operation, and the span of its call.
type Slot = Mutex<Option<(u64, SpanContext)>>;

#[derive(Debug)]
pub(super) struct Turns {
    tracer: SdkTracer,
    /// At the operation's number modulo [`KEPT`].
    calls: Box<[Slot]>,
}

impl Turns {
    pub(super) fn new(tracer: SdkTracer) -> Self {
        Self { tracer, calls: (0..KEPT).map(|_| Mutex::new(None)).collect() }
    }

    fn slot(&self, operation: u64) -> &Slot {
        &self.calls[operation as usize & (KEPT - 1)]
    }
}

impl TurnObserver for Turns {
    fn sending(&self, node: &Node, operation: u64) -> u64 {
        let call = Context::map_current(|context| context.span().span_context().clone());
        if !call.is_sampled() {
            return operation;
        }
        // a read has no number of its own
        let operation = if operation == 0 { node.new_ref().number() } else { operation };
        *self.slot(operation).lock() = Some((operation, call));
        operation
    }

    fn begin(&self, turn: &CausedTurn<'_>) -> Option<Box<dyn ObservedTurn>> {
        let call = self.slot(turn.operation).lock().clone();
        let (_, call) = call.filter(|(operation, _)| *operation == turn.operation)?;
        let operation = OwnedId::new(turn.process.node, turn.process.incarnation, b'o', turn.operation);
        let span = self
            .tracer
            .span_builder(format!("turn {}", turn.module))
            .with_attributes([
                KeyValue::new("arsenal.process", turn.process.to_string()),
                KeyValue::new("arsenal.module", turn.module.to_owned()),
                KeyValue::new("arsenal.message.kind", kind_name(turn.kind)),
                KeyValue::new("arsenal.operation_id", operation.to_string()),
            ])
            .start_with_context(&self.tracer, &Context::new().with_remote_span_context(call));
        Some(Box::new(Turn(span)))
    }
}

struct Turn(Span);

impl ObservedTurn for Turn {
    fn end(mut self: Box<Self>, exit: Option<&Reason>) {
        if let Some(reason) = exit {
            let text = format!("{reason:?}");
            if !reason.is("normal") && !reason.is("shutdown") {
                self.0.set_status(Status::error(text.clone()));
            }
            self.0.set_attribute(KeyValue::new("arsenal.exit_reason", text));
        }
        self.0.end();
    }
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Info => "info",
        Kind::Call => "call",
        Kind::Cast => "cast",
        Kind::Notify => "notify",
        Kind::Reply => "reply",
        Kind::Exit => "exit",
        Kind::Down => "down",
        Kind::Timeout => "timeout",
        Kind::System => "system",
    }
}
