//! A `gen_statem` as a module.

use super::process::Machine;
use super::{GenStatem, Ready};
use crate::module::{BehaviourModule, Loop};
use crate::start::InitFunction;
use arsenal_runtime::body::Body;
use arsenal_runtime::module::Behaviour;
use arsenal_runtime::term::Term;
use std::marker::PhantomData;
use std::sync::Arc;

/// A module of which every process is a machine of `S`.
pub type GenStatemModule<S> = BehaviourModule<MachineLoop<S>>;

/// The loop of a machine of `S`.
pub struct MachineLoop<S>(PhantomData<S>);

impl<S: GenStatem> Loop for MachineLoop<S> {
    type State = S;
    type Ready = Ready<S>;
    const BEHAVIOUR: Behaviour = Behaviour::GenStatem;

    fn start(init: Arc<InitFunction<Ready<S>>>, args: Term) -> Box<dyn Body> {
        Box::new(Machine::new(init, args))
    }

    fn restored(snapshot: &Term, restore: &dyn Fn(&Term) -> Option<S>) -> Option<Box<dyn Body>> {
        let [state, data] = snapshot.as_list()? else { return None };
        Some(Box::new(Machine::restored(state.clone(), restore(data)?)))
    }
}
