//! The supervisor: OTP's `supervisor` behaviour, and what Arsenal adds to it (pause, conversion, history, dry runs).
//!
//! * [`spec`]: what a supervisor is started from, as plain data.
//! * [`core`]: the decisions, pure: events and the time in, actions out. No process, no clock, no IO.
//! * [`request`]: what a running supervisor can be asked, and its answers, as plain data.
//! * [`process`]: the process that owns a core, feeds it signals and carries out its actions.
//! * [`simulate`], [`optimize`]: the very same core on a virtual clock.
//!
//! Invariants: a child is started only when it is not running; what a group restart stops is stopped in reverse start
//! order and started again in start order; a supervisor that stops leaves no child running.

pub mod core;
pub mod error;
pub mod history;
pub mod model;
pub mod optimize;
pub mod process;
pub mod request;
pub mod simulate;
pub mod spec;

pub use core::SupervisorCore;
pub use error::SupervisorError;
pub use model::SupervisorModel;
pub use process::{Init, Observer, SupervisorCallback, SupervisorModule};
pub use request::{SupervisorReply, SupervisorRequest};
pub use spec::{ChildSpec, SpecError, SupervisorSpec};
