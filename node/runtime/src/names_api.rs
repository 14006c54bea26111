//! Names and groups as a node offers them: local ones on the spot, replicated ones through the registry.

use crate::message::{Message, Signal};
use crate::names::{NameEntry, NameError, check_name};
use crate::node::Node;
use crate::pid::{OwnedId, Pid, Ref};
use crate::process::flag;
use crate::registry::{Applied, Change, Command, Committed, RegistryError, RegistryState, split_group_key};
use crate::remote::Address;
use crate::term::{Reason, Term};
use std::sync::Arc;

/// The exit reason of a process whose global name was refused: what its starter gets.
pub(crate) fn global_start_error(error: &RegistryError) -> Reason {
    match error {
        RegistryError::NameTaken { holder, .. } => Term::tagged("already_started", (*holder).into()),
        error => Term::str(error.to_string()),
    }
}

impl Node {
    /// `register/2`: gives a live process of this node its local name.
    ///
    /// # Errors
    /// A taken name, a process that has one already or is dead, no name at all.
    pub fn register(&self, name: &str, pid: Pid, metadata: Term, operation: u64) -> Result<(), NameError> {
        check_name(name)?;
        let process = self.process(pid).ok_or(NameError::NoProcess(pid))?;
        let taken = |holder| NameError::Taken { name: name.to_owned(), holder };
        let mut core = process.0.core.lock();
        if process.0.is_dead() || core.exiting.is_some() {
            return Err(NameError::NoProcess(pid));
        }
        if let Some(held) = &core.name {
            let has_name = || NameError::HasName { pid, name: held.to_string() };
            return Err(self.names().whereis(name).map_or_else(has_name, taken));
        }
        let name: Arc<str> = name.into();
        self.names().insert(&name, pid, metadata, self.now_ns()).map_err(taken)?;
        core.name = Some(Arc::clone(&name));
        process.0.set(flag::NAMED, true);
        drop(core);
        self.record("name.registered", pid, Pid::NONE, Term::Str(name), operation);
        Ok(())
    }

    /// `unregister/1`, if the name is at `version` still; gives who held it.
    ///
    /// # Errors
    /// If nobody does, a stale version.
    pub fn unregister(&self, name: &str, version: Option<u64>, operation: u64) -> Result<Pid, NameError> {
        let not_registered = || NameError::NotRegistered(name.to_owned());
        let (name, pid) = self.names().held(name).ok_or_else(not_registered)?;
        if let Some(process) = self.process(pid) {
            let mut core = process.0.core.lock();
            self.names().remove_at(&name, pid, version)?;
            core.name = None;
            process.0.set(flag::NAMED, false);
        } else if !self.names().remove(&name, pid) {
            return Err(not_registered());
        }
        self.record("name.unregistered", pid, Pid::NONE, Term::Str(name), operation);
        Ok(pid)
    }

    /// `whereis/1`.
    pub fn whereis(&self, name: &str) -> Option<Pid> {
        self.names().whereis(name)
    }

    /// Who holds a name: the local one, else the global one; of `NAME@global`, the global one. No name contains an `@`.
    pub fn holder_of(&self, name: &str) -> Option<Pid> {
        match name.strip_suffix("@global") {
            Some(name) => self.global_whereis(name),
            None => self.whereis(name).or_else(|| self.global_whereis(name)),
        }
    }

    /// Where a name leads, which may be `NAME@n7`, the local one of another node; nothing if nobody here has it.
    pub(crate) fn find(&self, name: &str) -> Option<Address> {
        let elsewhere = name.rsplit_once('@').and_then(|(name, node)| Some((name, Self::node_number(node)?)));
        match elsewhere {
            Some((name, node)) if node == self.id() => self.whereis(name).map(Address::Pid),
            Some((name, node)) => Some(Address::Name { node, name: name.into() }),
            None => self.holder_of(name).map(Address::Pid),
        }
    }

    /// What is known of a local name.
    pub fn name_entry(&self, name: &str) -> Option<NameEntry> {
        self.names().get(name)
    }

    /// `registered/0`: all local names, sorted.
    pub fn registered(&self) -> Vec<(Arc<str>, NameEntry)> {
        self.names().list()
    }

    /// Applies a merge patch to a local name's metadata, if they are at `version` still.
    ///
    /// # Errors
    /// An unknown name, a stale version.
    pub fn update_metadata(
        &self,
        name: &str,
        version: Option<u64>,
        patch: &Term,
        operation: u64,
    ) -> Result<NameEntry, NameError> {
        let entry = self.names().update(name, version, |metadata| metadata.merge_patch(patch))?;
        self.record("name.changed", entry.pid, Pid::NONE, Term::str(name), operation);
        Ok(entry)
    }

    /// Who holds a global name, by the local view. One of this node's own that has just ended does no more, though that
    /// may not be committed yet.
    pub fn global_whereis(&self, name: &str) -> Option<Pid> {
        let holder = self.read_registry(|state| state.names().get(name).map(|entry| entry.pid));
        holder.filter(|pid| !self.is_local(*pid) || self.is_alive(*pid))
    }

    /// A look at the replicated registry's local view.
    pub fn read_registry<R>(&self, look: impl FnOnce(&RegistryState) -> R) -> R {
        let mut look = Some(look);
        let mut result = None;
        self.registry().read(&mut |state| {
            if let Some(look) = look.take() {
                result = Some(look(state));
            }
        });
        result.unwrap_or_else(|| unreachable!("a registry calls the look it is given"))
    }

    /// Waits until the local view is as new as every write completed before now.
    ///
    /// # Errors
    /// Without a quorum.
    pub async fn synchronize_registry(&self) -> Result<(), RegistryError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.registry().synchronize(Box::new(move |outcome| {
            let _ = sender.send(outcome);
        }));
        receiver.await.unwrap_or_else(|_| Err(RegistryError::Unavailable("the node is stopping".into())))
    }

    /// Whether a command of this kind can be proposed now at all.
    ///
    /// # Errors
    /// If some node of the cluster could not read it.
    pub fn accepts(&self, command: &Command) -> Result<(), RegistryError> {
        self.registry().accepts(command)
    }

    /// Has a command committed, and logs what it did.
    ///
    /// # Errors
    /// As [`RegistryError`] says.
    pub async fn propose(&self, command: Command, operation: u64) -> Result<Applied, RegistryError> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let node = self.downgrade();
        let proposed = command.clone();
        let done = move |outcome: Result<Applied, RegistryError>| {
            if let (Ok(applied), Some(node)) = (&outcome, node.upgrade()) {
                node.log_commit(&proposed, applied, operation);
            }
            let _ = sender.send(outcome);
        };
        self.registry().propose(command, Box::new(done));
        let stopping = || RegistryError::Unknown("the node is stopping".into());
        receiver.await.unwrap_or_else(|_| Err(stopping()))
    }

    fn log_commit(&self, command: &Command, applied: &Applied, operation: u64) {
        let log = |kind, pid: Pid, detail| self.record(kind, pid, Pid::NONE, detail, operation);
        let global = |name: &Arc<str>| Term::tagged("global", Term::Str(Arc::clone(name)));
        match command {
            Command::Register { name, pid, .. } => log("name.registered", *pid, global(name)),
            Command::Unregister { name, .. } => {
                log("name.unregistered", applied.holder.unwrap_or_default(), global(name));
            }
            Command::SetMetadata { name, .. } => {
                log("name.changed", applied.holder.unwrap_or_default(), global(name));
            }
            Command::Move { from, to, .. } => self.record("process.moved", *from, *to, Term::Null, operation),
            Command::CreateGroup { group, .. } => {
                log("group.created", Pid::NONE, Term::Str(Arc::clone(group)));
            }
            Command::DeleteGroup { group, .. } => {
                log("group.deleted", Pid::NONE, Term::Str(Arc::clone(group)));
            }
            _ => {}
        }
        applied.changes.iter().for_each(|change| self.log_change(change, operation));
    }

    fn log_change(&self, change: &Change, operation: u64) {
        let kind = if change.joined { "group.joined" } else { "group.left" };
        for pid in &change.pids {
            self.record(kind, *pid, Pid::NONE, Term::Str(Arc::clone(&change.group)), operation);
        }
    }

    /// Keeps the processes' own notes in step with the registry, and tells who watches groups, whoever changed it.
    pub(crate) fn registry_changed(&self, committed: &Committed<'_>) {
        match committed {
            Committed::Applied { command, applied } => {
                self.note_command(command, applied);
                applied.changes.iter().for_each(|change| self.tell_group_watchers(change));
            }
            Committed::Replaced { before, after } => {
                let own = |state: &RegistryState| -> Vec<(Pid, Arc<str>)> {
                    let names = state.names().iter().filter(|(_, entry)| self.is_local(entry.pid));
                    names.map(|(name, entry)| (entry.pid, Arc::clone(name))).collect()
                };
                own(before).iter().for_each(|(pid, name)| self.forget_global_name(*pid, name));
                own(after).iter().for_each(|(pid, name)| self.note_global_name(*pid, name));
                let come = after.owners().keys().filter(|pid| self.is_local(**pid));
                come.for_each(|pid| self.note_membership(*pid));
                for change in before.changes_to(after) {
                    if change.joined {
                        change.pids.iter().for_each(|pid| self.note_membership(*pid));
                    }
                    self.tell_group_watchers(&change);
                }
            }
        }
    }

    fn note_command(&self, command: &Command, applied: &Applied) {
        match command {
            Command::Register { name, pid, .. } => {
                if let Some(holder) = applied.holder.filter(|holder| holder != pid) {
                    self.forget_global_name(holder, name);
                }
                self.note_global_name(*pid, name);
            }
            Command::Unregister { name, .. } => {
                self.forget_global_name(applied.holder.unwrap_or_default(), name);
            }
            Command::Join { pids, .. } => pids.iter().for_each(|pid| self.note_membership(*pid)),
            Command::Move { from, to, .. } => {
                for name in &applied.moved {
                    self.forget_global_name(*from, name);
                    self.note_global_name(*to, name);
                }
                // whoever owns itself by the registry's word is released as whoever is in a group
                self.note_membership(*to);
            }
            // nobody proposed it who would log it
            Command::ProcessesDown { .. } => {
                let own =
                    applied.changes.iter().filter(|change| change.pids.iter().any(|pid| self.is_local(*pid)));
                own.for_each(|change| self.log_change(change, 0));
            }
            // this node was taken for dead: what its processes had has to be won again
            Command::NodeDown { node, incarnation }
                if *node == self.id() && *incarnation >= self.incarnation() =>
            {
                self.forget_all_global_names();
            }
            _ => {}
        }
    }

    fn note_global_name(&self, pid: Pid, name: &Arc<str>) {
        let alive = self.process(pid).is_some_and(|process| {
            let mut core = process.0.core.lock();
            process.0.set(flag::GLOBAL, true);
            core.extras_mut().global_names.insert(name);
            !process.0.is_dead()
        });
        if !alive && self.is_local(pid) {
            // it died before its name was committed
            self.registry().release(pid);
        }
    }

    fn forget_global_name(&self, pid: Pid, name: &Arc<str>) {
        if let Some(process) = self.process(pid) {
            process.0.core.lock().extras_mut().global_names.remove(name);
        }
    }

    fn forget_all_global_names(&self) {
        self.visit_processes(0, |process| {
            if process.0.has(flag::GLOBAL) {
                process.0.core.lock().extras_mut().global_names.clear();
            }
            true
        });
    }

    fn note_membership(&self, pid: Pid) {
        match self.process(pid) {
            Some(process) => {
                process.0.set(flag::GROUPED, true);
            }
            // it died before it was committed
            None if self.is_local(pid) => self.registry().release(pid),
            None => {}
        }
    }

    fn tell_group_watchers(&self, change: &Change) {
        if change.pids.is_empty() {
            return;
        }
        let verb = if change.joined { "join" } else { "leave" };
        let pids = Term::map([("list", Term::list(change.pids.iter().map(|pid| Term::Pid(*pid))))]);
        for (reference, watcher) in self.watchers().of(&change.group) {
            let id = Term::Id(self.owned(b'm', reference.number()));
            let group = Term::str(split_group_key(&change.group).1);
            let message = Term::list([id, Term::Atom(verb), group, pids.clone()]);
            self.send_signal(watcher, Signal::Message(Message::info(Pid::NONE, message)));
        }
    }

    /// The global names that a process holds.
    pub fn global_names_of(&self, pid: Pid) -> Vec<Arc<str>> {
        self.read_registry(|state| state.names_of(pid).cloned().collect())
    }

    /// `pg:monitor`: `watcher` is told of joins and leaves until it dies or [`Node::demonitor`]; gives the members.
    pub fn monitor_group(&self, group: &str, watcher: Pid) -> Option<(OwnedId, Vec<Pid>)> {
        let process = self.process(watcher)?;
        let reference: Ref = self.new_ref();
        process.0.set(flag::WATCHER, true);
        self.watchers().watch(group.into(), reference, watcher);
        Some((self.owned(b'm', reference.number()), self.group_members(group)))
    }

    /// The members of a group, a process as often as it joined.
    pub fn group_members(&self, group: &str) -> Vec<Pid> {
        self.read_registry(|state| {
            let members = state.groups().get(group).into_iter().flat_map(|group| &group.members);
            members.flat_map(|(pid, count)| std::iter::repeat_n(*pid, *count as usize)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{Behaviour, Description};
    use crate::node::NodeConfig;
    use crate::start::StartOptions;
    use std::collections::BTreeMap;

    #[test]
    fn a_process_that_a_view_shows_to_have_come_is_released_when_it_ends() {
        let node = Node::deterministic(NodeConfig::default());
        let description = Arc::new(Description::native("idle", Behaviour::Plain));
        let spawn = || node.spawn(&description, Box::new(Idle), StartOptions::default()).unwrap();
        let (come, other) = (spawn(), spawn());
        let before = RegistryState::default();
        let after = before.clone().with_owners(BTreeMap::from([(come.pid(), 3), (Pid::new(2, 1, 1), 4)]));
        node.registry_changed(&Committed::Replaced { before: &before, after: &after });
        let is_released = |process: &crate::process::ProcessRef| process.0.has(flag::GROUPED);
        assert_eq!((is_released(&come), is_released(&other)), (true, false));
    }

    struct Idle;

    impl crate::body::Body for Idle {
        fn step(&mut self, _: crate::body::Event, _: &mut crate::context::Context<'_>) -> crate::body::Step {
            crate::body::Step::Wait(crate::body::Receive::any())
        }
    }
}
