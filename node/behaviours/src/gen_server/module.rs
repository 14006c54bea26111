//! A `gen_server` as a module.

use super::process::Server;
use super::{GenServer, Ready};
use crate::module::{BehaviourModule, Loop};
use crate::start::InitFunction;
use arsenal_runtime::body::Body;
use arsenal_runtime::module::Behaviour;
use arsenal_runtime::term::Term;
use std::marker::PhantomData;
use std::sync::Arc;

/// A module of which every process is a server of `S`.
pub type GenServerModule<S> = BehaviourModule<ServerLoop<S>>;

/// The loop of a server of `S`.
pub struct ServerLoop<S>(PhantomData<S>);

impl<S: GenServer> Loop for ServerLoop<S> {
    type State = S;
    type Ready = Ready<S>;
    const BEHAVIOUR: Behaviour = Behaviour::GenServer;

    fn start(init: Arc<InitFunction<Ready<S>>>, args: Term) -> Box<dyn Body> {
        Box::new(Server::new(init, args))
    }

    fn restored(snapshot: &Term, restore: &dyn Fn(&Term) -> Option<S>) -> Option<Box<dyn Body>> {
        Some(Box::new(Server::restored(restore(snapshot)?)))
    }
}
