//! Where field 1 says that a request is answered.
//!
//! What nobody knows of, a name that is not held or a node that never was, is answered here: the handler has the words
//! for it.

use super::Router;
use crate::operations::Route;
use crate::reference::{Reference, present};
use arsenal_runtime::{OwnedId, Pid};

/// Where a request is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// On this node.
    Here,
    /// On all nodes.
    Everywhere,
    /// On another.
    There {
        /// Its number.
        node: u32,
        /// The process that field 1 means, where the other node might resolve it to another.
        meant: Option<Pid>,
        /// How often it may be sent on from there.
        hops_left: u8,
    },
}

impl Router {
    /// Where a request is answered that names no place but that of its header `arsenal-node`.
    pub(super) fn unnamed(&self, at: Option<u32>) -> Place {
        // a bare name that is not local there may have to go on
        at.map_or(Place::Here, |node| Place::There { node, meant: None, hops_left: 1 })
    }

    /// Where a request is answered whose field 1 is `text`; `at` is the other node that its header names.
    pub(super) fn placed(&self, route: Route, text: &str, at: Option<u32>) -> Place {
        match route {
            Route::Process => self.of_process(text, at),
            Route::Owner => {
                text.parse::<OwnedId>().map_or(Place::Here, |id| self.on(id.node, id.incarnation, None))
            }
            Route::Fanout if text == "-" => Place::Everywhere,
            Route::Node | Route::Fanout if text.is_empty() => self.unnamed(at),
            Route::Node | Route::Fanout => self.on_named(text),
            Route::Everywhere => Place::Everywhere,
            Route::Leader | Route::Local => Place::Here,
        }
    }

    fn of_process(&self, text: &str, at: Option<u32>) -> Place {
        let node = &self.shared.node;
        match Reference::parse("", text) {
            Ok(Reference::Pid(pid)) => self.on_its_node(pid, None),
            Ok(Reference::NameOn(name, on)) if *on == **node.name() => {
                node.whereis(&name).map_or(Place::Here, |pid| self.followed(pid))
            }
            Ok(Reference::NameOn(_, on)) => self.on_named(&on),
            Ok(Reference::Global(name)) => self.held(node.global_whereis(&name)),
            Ok(Reference::Key(key)) => {
                self.held(node.holder_of_key(&key).or_else(|| node.global_whereis(&key)))
            }
            Ok(Reference::Name(_)) if at.is_some() => self.unnamed(at),
            Ok(Reference::Name(name)) => match node.whereis(&name) {
                Some(pid) => self.followed(pid),
                None => self.held(node.global_whereis(&name)),
            },
            Err(_) => Place::Here,
        }
    }

    /// Where the holder of a name is.
    fn held(&self, holder: Option<Pid>) -> Place {
        holder.map_or(Place::Here, |pid| self.on_its_node(pid, Some(pid)))
    }

    fn on_its_node(&self, pid: Pid, meant: Option<Pid>) -> Place {
        if self.shared.node.is_local(pid) {
            return self.followed(pid);
        }
        self.on(pid.node, pid.incarnation, meant)
    }

    /// Where a process is that has this pid, or had it before it moved. Wherever it moves, its pid there is younger, so that
    /// following it comes to an end.
    pub(super) fn followed(&self, pid: Pid) -> Place {
        match self.shared.node.moved_to(present(&self.shared.node, pid)) {
            Some(now) => self.on(now.node, now.incarnation, Some(now)),
            None => Place::Here,
        }
    }

    /// As [`Router::placed`], for a request that another node has sent here: it goes on only after a process that has moved.
    pub(super) fn followed_reference(&self, route: Route, text: &str) -> Place {
        let node = &self.shared.node;
        let found = match Reference::parse("", text) {
            _ if route != Route::Process => None,
            Ok(Reference::Pid(pid)) => Some(pid).filter(|pid| node.is_local(*pid)),
            Ok(reference) => reference.lookup(node).ok().flatten().filter(|pid| node.is_local(*pid)),
            Err(_) => None,
        };
        found.map_or(Place::Here, |pid| self.followed(pid))
    }

    fn on_named(&self, name: &str) -> Place {
        let number = self.shared.numbered(name).filter(|node| *node != self.shared.node.id());
        number.map_or(Place::Here, |node| Place::There { node, meant: None, hops_left: 0 })
    }

    /// On this life of a node; here if that is known to be over, or was never heard of.
    fn on(&self, node: u32, incarnation: u32, meant: Option<Pid>) -> Place {
        if node == self.shared.node.id() || !self.shared.may_live(node, incarnation) {
            return Place::Here;
        }
        Place::There { node, meant, hops_left: 0 }
    }
}
