use super::*;
use crate::pid::Pid;
use crate::term::Term;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn pid(serial: u64) -> Pid {
    Pid::new(1 + (serial % 2) as u32, 1, serial + 1)
}

fn command() -> impl Strategy<Value = Command> {
    let name = || (0u8..3).prop_map(|n| Arc::from(format!("name{n}")));
    let who = || (0u64..4).prop_map(pid);
    prop_oneof![
        (name(), who(), any::<bool>(), any::<bool>()).prop_map(|(name, pid, replace, allow_multiple)| {
            Command::Register { name, pid, replace, allow_multiple, metadata: Term::Null, at_ms: 0 }
        }),
        name().prop_map(|name| Command::Unregister { name, token: None }),
        (name(), prop::option::of(0u32..4)).prop_map(|(group, members_max)| Command::CreateGroup {
            group,
            metadata: Term::Null,
            members_max,
            at_ms: 0
        }),
        name().prop_map(|group| Command::DeleteGroup { group, version: None, expected_count: None }),
        (name(), prop::collection::vec(who(), 0..3)).prop_map(|(group, pids)| Command::Join { group, pids }),
        (name(), prop::collection::vec(who(), 0..3)).prop_map(|(group, pids)| Command::Leave { group, pids }),
        (who(), who()).prop_map(|(from, to)| Command::Move { from, to, epoch: 0 }),
        prop::collection::vec(who(), 0..3).prop_map(|pids| Command::ProcessesDown { pids }),
        Just(Command::NodeDown { node: 2, incarnation: 1 }),
    ]
}

proptest! {
    #[test]
    fn the_indexes_always_agree_with_the_tables(commands in prop::collection::vec(command(), 0..60)) {
        let mut state = RegistryState::default();
        for command in &commands {
            let before = state.clone();
            if state.apply(command).is_err() {
                prop_assert_eq!(&state.names, &before.names);
                prop_assert_eq!(&state.groups, &before.groups);
            }
            let names: BTreeSet<_> = state.names().iter().map(|(n, e)| (e.pid, Arc::clone(n))).collect();
            prop_assert_eq!(names, state.names.index.pairs());
            let members: BTreeSet<_> = state.groups().iter()
                .flat_map(|(g, e)| e.members.keys().map(|pid| (*pid, Arc::clone(g)))).collect();
            prop_assert_eq!(members, state.groups.index.pairs());
            for group in state.groups().values() {
                prop_assert!(group.created || !group.members.is_empty());
            }
            let tables = (state.index(), state.names().clone(), state.groups().clone());
            let same = RegistryState::from_tables(tables.0, tables.1, tables.2);
            prop_assert_eq!(&same.with_owners(state.owners().clone()), &state);
        }
    }

    #[test]
    fn the_changes_from_one_state_to_a_later_one_lead_there(
        early in prop::collection::vec(command(), 0..30),
        late in prop::collection::vec(command(), 0..30),
    ) {
        let mut before = RegistryState::default();
        early.iter().for_each(|command| drop(before.apply(command)));
        let mut after = before.clone();
        late.iter().for_each(|command| drop(after.apply(command)));
        let mut members = memberships(&before);
        for Change { group, joined, pids } in before.changes_to(&after) {
            for pid in pids {
                *members.entry((Arc::clone(&group), pid)).or_default() += if joined { 1 } else { -1 };
            }
        }
        members.retain(|_, count| *count != 0);
        prop_assert_eq!(members, memberships(&after));
    }
}

fn memberships(state: &RegistryState) -> BTreeMap<(Arc<str>, Pid), i64> {
    let groups = state.groups().iter();
    groups
        .flat_map(|(group, entry)| {
            entry.members.iter().map(|(pid, count)| ((Arc::clone(group), *pid), i64::from(*count)))
        })
        .collect()
}

#[test]
fn the_second_registration_fails_and_the_first_holder_keeps_the_name() {
    let mut state = RegistryState::default();
    let register = |pid| Command::Register {
        name: "n".into(),
        pid,
        replace: false,
        allow_multiple: false,
        metadata: Term::Null,
        at_ms: 0,
    };
    assert_eq!(state.apply(&register(pid(0))).unwrap().index, 1);
    assert!(
        matches!(state.apply(&register(pid(1))), Err(RegistryError::NameTaken { holder, .. }) if holder == pid(0))
    );
    assert_eq!(state.names()["n"].token, 1);
}

#[test]
fn a_name_that_is_taken_again_has_another_version_than_it_ever_had() {
    let mut state = RegistryState::default();
    let register = Command::Register {
        name: "n".into(),
        pid: pid(0),
        replace: false,
        allow_multiple: false,
        metadata: Term::Null,
        at_ms: 0,
    };
    state.apply(&register).unwrap();
    let first = state.names()["n"].version;
    assert_eq!(
        state.apply(&Command::Unregister { name: "n".into(), token: None }).unwrap().holder,
        Some(pid(0))
    );
    state.apply(&register).unwrap();
    assert_ne!(state.names()["n"].version, first);
}

#[test]
fn a_group_is_created_with_no_bound_below_what_it_holds_and_deleted_at_its_version_alone() {
    let mut state = RegistryState::default();
    state.apply(&Command::Join { group: "g".into(), pids: vec![pid(0), pid(0)] }).unwrap();
    let create =
        |members_max| Command::CreateGroup { group: "g".into(), metadata: Term::Null, members_max, at_ms: 7 };
    assert!(matches!(state.apply(&create(Some(1))), Err(RegistryError::BoundTooLow { members: 2, .. })));
    state.apply(&create(Some(2))).unwrap();
    assert_eq!(state.groups()["g"].created_ms, 7);
    let delete = |version| Command::DeleteGroup { group: "g".into(), version, expected_count: None };
    assert!(matches!(state.apply(&delete(Some(1))), Err(RegistryError::StaleGroup { .. })));
    let version = state.groups()["g"].version;
    assert_eq!(state.apply(&delete(Some(version))).unwrap().changes.len(), 1);
}

#[test]
fn a_node_that_is_down_takes_with_it_the_names_and_memberships_of_its_lives_up_to_that_one_alone() {
    let mut state = RegistryState::default();
    let (old, new, other) = (Pid::new(2, 1, 7), Pid::new(2, 2, 1), Pid::new(3, 1, 1));
    for (name, pid) in [("old", old), ("new", new), ("other", other)] {
        let name = Arc::from(name);
        let register = Command::Register {
            name,
            pid,
            replace: false,
            allow_multiple: false,
            metadata: Term::Null,
            at_ms: 0,
        };
        state.apply(&register).unwrap();
        state.apply(&Command::Join { group: "g".into(), pids: vec![pid, pid] }).unwrap();
    }
    let applied = state.apply(&Command::NodeDown { node: 2, incarnation: 1 }).unwrap();
    assert_eq!(state.names().keys().map(|name| &**name).collect::<Vec<_>>(), ["new", "other"]);
    assert_eq!(state.groups()["g"].members.keys().copied().collect::<Vec<_>>(), [new, other]);
    assert_eq!(applied.changes.iter().flat_map(|change| change.pids.clone()).collect::<Vec<_>>(), [old, old]);
}

#[test]
fn a_process_that_moves_takes_names_and_memberships_along_in_one_step_and_in_its_own_epoch_alone() {
    let mut state = RegistryState::default();
    let (old, new, newest) = (pid(0), pid(1), pid(2));
    let register = Command::Register {
        name: "n".into(),
        pid: old,
        replace: false,
        allow_multiple: false,
        metadata: Term::Int(7),
        at_ms: 0,
    };
    state.apply(&register).unwrap();
    state.apply(&Command::Join { group: "g".into(), pids: vec![old, old] }).unwrap();
    let moved = state.apply(&Command::Move { from: old, to: new, epoch: 0 }).unwrap();
    assert_eq!(moved.moved, [Arc::from("n")]);
    let told: Vec<_> = moved.changes.iter().map(|change| (change.joined, change.pids.clone())).collect();
    assert_eq!(told, [(true, vec![new, new]), (false, vec![old, old])], "nobody sees it absent");
    let entry = &state.names()["n"];
    assert_eq!((entry.pid, entry.token, &entry.metadata), (new, moved.index, &Term::Int(7)));
    assert_eq!(state.groups()["g"].members, BTreeMap::from([(new, 2)]));
    assert_eq!((state.epoch_of(old), state.epoch_of(new)), (0, moved.index));
    let stale = state.apply(&Command::Move { from: new, to: newest, epoch: 0 });
    assert_eq!(stale, Err(RegistryError::StaleEpoch { process: new, epoch: moved.index }));
    assert_eq!(state.names()["n"].pid, new);
    state.apply(&Command::Move { from: new, to: newest, epoch: moved.index }).unwrap();
    assert_eq!(state.names()["n"].pid, newest);
    state.apply(&Command::ProcessesDown { pids: vec![newest] }).unwrap();
    assert!(state.owners().is_empty() && state.names().is_empty() && state.groups().is_empty());
}
