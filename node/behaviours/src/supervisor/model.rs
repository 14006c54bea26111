//! All that decides what a supervisor does next, as plain data: what a dry run starts from.

use super::core::ChildState;
use super::history::History;
use super::spec::{ChildSpec, SupervisorFlags};
use std::time::Duration;

/// A supervisor at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SupervisorModel {
    /// Its flags.
    pub flags: SupervisorFlags,
    /// What instances are started from, under `simple_one_for_one`.
    pub template: Option<ChildSpec>,
    /// Its children in start order, instances with their pid as id and their full args.
    pub children: Vec<ModelChild>,
    /// Whether it is paused: what ends is owed.
    pub paused: bool,
    /// When it restarted, as far as that still counts.
    pub restarts: Vec<Duration>,
    /// What failed.
    pub history: History,
    /// The moment, on the same clock as `restarts` and `history`.
    pub now: Duration,
}

/// A child at that moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChild {
    /// What it is started from.
    pub spec: ChildSpec,
    /// What it does.
    pub state: ChildState,
    /// How often it has started.
    pub incarnation: u32,
}
