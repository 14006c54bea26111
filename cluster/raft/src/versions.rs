//! Since which version of the protocol between nodes each kind of command can be read, and what follows from that: a voter
//! that cannot read an entry which was agreed on has to end, so nothing may stand in the log that some node cannot read.
//!
//! The cluster agrees on a version ([`NodeCommand::Raise`]) once all of its nodes speak it, and never goes back. A command is
//! proposed only if that version has it: the own state suffices to know, since one that lags behind refuses too much at worst.
//! A new kind of command needs a new version, and its row in [`Command::since`].

use crate::command::Command;
use crate::errors::ProposeError;
use crate::nodes::NodeCommand;
use arsenal_runtime::registry::Command as Registry;

/// The version that every node speaks.
pub const PROTOCOL_FIRST: u32 = 1;

/// The version from which on nodes can agree on one. Builds of before end at the entry that does so; some of them know moves,
/// but nothing in the log ever told which.
pub const PROTOCOL_OF_AGREEMENT: u32 = 3;

/// The newest version that this build speaks.
pub const PROTOCOL_NEWEST: u32 = 3;

impl Command {
    /// The version that a cluster has to have agreed on before it is proposed: whoever speaks that one can read it.
    pub fn since(&self) -> u32 {
        match self {
            Self::Registry(
                Registry::Register { .. }
                | Registry::Unregister { .. }
                | Registry::SetMetadata { .. }
                | Registry::CreateGroup { .. }
                | Registry::DeleteGroup { .. }
                | Registry::Join { .. }
                | Registry::Leave { .. }
                | Registry::ProcessesDown { .. }
                | Registry::NodeDown { .. },
            )
            | Self::Node(
                NodeCommand::Found { .. }
                | NodeCommand::Join(_)
                | NodeCommand::Open { .. }
                | NodeCommand::Leave { .. }
                | NodeCommand::Down { .. }
                | NodeCommand::Remove { .. },
            ) => PROTOCOL_FIRST,
            Self::Registry(Registry::Move { .. }) | Self::Node(NodeCommand::Raise { .. }) => {
                PROTOCOL_OF_AGREEMENT
            }
        }
    }

    /// Whether it may be proposed in a cluster that agreed on this version.
    ///
    /// # Errors
    /// If not; nothing was proposed then.
    pub(crate) fn check_version(&self, agreed: u32) -> Result<(), ProposeError> {
        let since = self.since();
        // who raises the version has seen that all nodes speak the next one
        if since <= agreed || matches!(self, Self::Node(NodeCommand::Raise { .. })) {
            return Ok(());
        }
        Err(ProposeError::MixedVersions { since, agreed })
    }
}
