//! Whatever is written is read back the same, and what is not ours never panics.

use super::{DecodeError, Encode, TERM_DEPTH_MAX};
use crate::command::{Command, Origin, Proposal, join, split};
use crate::nodes::{Candidate, NodeCommand};
use crate::state::State;
use crate::versions::{PROTOCOL_FIRST, PROTOCOL_NEWEST};
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;

fn term() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        Just(Term::Null),
        any::<bool>().prop_map(Term::Bool),
        any::<i64>().prop_map(Term::Int),
        (-1e9..1e9).prop_map(Term::Float),
        ".{0,8}".prop_map(Term::from),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| Term::Bytes(Bytes::from(bytes).into())),
        pid().prop_map(Term::Pid),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Term::from),
            prop::collection::btree_map(".{0,4}", inner, 0..6).prop_map(Term::map)
        ]
    })
}

fn pid() -> impl Strategy<Value = Pid> {
    (1u32..4, 1u32..3, 1u64..5).prop_map(|(node, incarnation, serial)| Pid::new(node, incarnation, serial))
}

fn command() -> impl Strategy<Value = Command> {
    let name = || "[ab]".prop_map(Arc::<str>::from);
    let pids = || prop::collection::vec(pid(), 0..4);
    let number = || prop::option::of(any::<u64>());
    let registry = prop_oneof![
        (name(), pid(), any::<bool>(), any::<bool>(), term(), any::<u64>()).prop_map(
            |(name, pid, replace, allow_multiple, metadata, at_ms)| Registry::Register {
                name,
                pid,
                replace,
                allow_multiple,
                metadata,
                at_ms
            }
        ),
        (name(), number()).prop_map(|(name, token)| Registry::Unregister { name, token }),
        (name(), number(), term()).prop_map(|(name, version, patch)| Registry::SetMetadata {
            name,
            version,
            patch
        }),
        (name(), term(), prop::option::of(0u32..9), any::<u64>()).prop_map(
            |(group, metadata, members_max, at_ms)| Registry::CreateGroup {
                group,
                metadata,
                members_max,
                at_ms
            }
        ),
        (name(), number(), prop::option::of(any::<u32>())).prop_map(|(group, version, expected_count)| {
            Registry::DeleteGroup { group, version, expected_count }
        }),
        (name(), pids()).prop_map(|(group, pids)| Registry::Join { group, pids }),
        (name(), pids()).prop_map(|(group, pids)| Registry::Leave { group, pids }),
        (pid(), pid(), prop_oneof![Just(0), any::<u64>()]).prop_map(|(from, to, epoch)| Registry::Move {
            from,
            to,
            epoch
        }),
        pids().prop_map(|pids| Registry::ProcessesDown { pids }),
        (1u32..4, 1u32..3).prop_map(|(node, incarnation)| Registry::NodeDown { node, incarnation }),
    ];
    prop_oneof![4 => registry.prop_map(Command::Registry), 1 => node().prop_map(Command::Node)]
}

fn node() -> impl Strategy<Value = NodeCommand> {
    let life = || (1u32..4, 1u32..3);
    prop_oneof![
        prop::collection::vec(candidate(), 1..4).prop_map(|nodes| NodeCommand::Found { nodes }),
        candidate().prop_map(NodeCommand::Join),
        (life(), 1u64..3).prop_map(|((node, incarnation), life)| NodeCommand::Open {
            node,
            incarnation,
            life,
            address: "b".into(),
            zone: "z".into(),
            keeper: 1
        }),
        life().prop_map(|(node, incarnation)| NodeCommand::Leave { node, incarnation }),
        (life(), prop::option::of(1u64..3)).prop_map(|((node, incarnation), keeper)| NodeCommand::Down {
            node,
            incarnation,
            keeper
        }),
        (1u32..4).prop_map(|node| NodeCommand::Remove { node }),
        (PROTOCOL_FIRST..=PROTOCOL_NEWEST).prop_map(|protocol| NodeCommand::Raise { protocol }),
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (1u64..6).prop_map(|identity| Candidate {
        identity,
        name: "n".into(),
        address: "a".into(),
        zone: "z".into(),
    })
}

proptest! {
    #[test]
    fn a_batch_comes_back_as_the_proposals_it_was_made_of(commands in prop::collection::vec(command(), 0..8)) {
        let proposals: Vec<Proposal> = (commands.into_iter().zip(1..))
            .map(|(command, serial)| Proposal { origin: Origin { life: 9, serial }, command })
            .collect();
        let encoded: Vec<Vec<u8>> = proposals.iter().map(Encode::to_bytes).collect();
        prop_assert_eq!(split(&join(encoded.iter().map(Vec::as_slice))), Ok(proposals));
    }

    #[test]
    fn a_state_comes_back_and_goes_on_as_the_one_it_was_written_from(
        before in prop::collection::vec(command(), 0..40),
        after in prop::collection::vec(command(), 0..10),
    ) {
        let mut state = State::default();
        for command in &before {
            state.apply(command);
        }
        let mut restored = State::from_bytes(&state.to_bytes()).unwrap();
        prop_assert_eq!(&restored, &state);
        for command in &after {
            prop_assert_eq!(restored.apply(command), state.apply(command));
        }
    }

    #[test]
    fn foreign_bytes_are_an_error_or_a_value_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = split(&bytes);
        let _ = State::from_bytes(&bytes);
        let _ = crate::transport::Envelope::open(&bytes);
        let _ = crate::transport::SnapshotChunk::from_bytes(&bytes);
    }
}

#[test]
fn a_term_nested_too_deeply_is_refused_before_it_can_stand_in_a_log() {
    let nested = |levels| (0..levels).fold(Term::Null, |inside, _| Term::list([inside]));
    assert_eq!(Term::from_bytes(&nested(TERM_DEPTH_MAX).to_bytes()), Err(DecodeError::Depth));
    assert!(Term::from_bytes(&nested(TERM_DEPTH_MAX - 1).to_bytes()).is_ok());
}

#[test]
fn an_unknown_command_says_that_another_version_wrote_it() {
    let error = Command::from_bytes(&[250]).unwrap_err().to_string();
    assert!(error.contains("unknown command 250") && error.contains("another version"), "{error}");
}

#[test]
fn what_was_written_at_a_version_that_this_build_does_not_speak_is_refused_with_both() {
    let later = PROTOCOL_NEWEST + 1;
    let command = NodeCommand::Raise { protocol: later };
    let mut state = State::default();
    state.apply(&Command::Node(command.clone()));
    let refused = DecodeError::Version { found: later, newest: PROTOCOL_NEWEST };
    assert_eq!(NodeCommand::from_bytes(&command.to_bytes()), Err(refused.clone()));
    assert_eq!(State::from_bytes(&state.to_bytes()), Err(refused));
}

#[test]
fn a_state_says_nothing_of_versions_before_one_was_raised() {
    let mut state = State::default();
    let before = state.to_bytes();
    state.apply(&Command::Node(NodeCommand::Raise { protocol: PROTOCOL_FIRST }));
    let same_length = |state: &State| state.to_bytes().len() == before.len();
    assert!(same_length(&state), "a build of before reads it");
    state.apply(&Command::Node(NodeCommand::Raise { protocol: PROTOCOL_NEWEST }));
    assert!(!same_length(&state));
}
