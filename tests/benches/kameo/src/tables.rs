//! Names.

use crate::{all_cores, start};
use bench_load::{Measured, per_second};
use kameo::Actor;
use kameo::actor::ActorRef;
use kameo::registry::ACTOR_REGISTRY;
use std::time::Instant;
use tokio::runtime::Runtime;

const COUNT: usize = 100_000;

#[derive(Actor)]
struct Idle;

struct Named {
    _actors: Vec<ActorRef<Idle>>,
    names: Vec<String>,
    registering: Measured,
}

fn named(runtime: &Runtime) -> Named {
    let actors: Vec<ActorRef<Idle>> = runtime.block_on(async { (0..COUNT).map(|_| start(Idle)).collect() });
    let names: Vec<String> = (0..COUNT).map(|n| format!("name_{n}")).collect();
    let begin = Instant::now();
    for (actor, name) in actors.iter().zip(&names) {
        actor.register(name.clone()).expect("it is free");
    }
    Named { _actors: actors, names, registering: per_second(COUNT, begin, "ops/s") }
}

pub(crate) fn register() -> Measured {
    named(&all_cores()).registering
}

pub(crate) fn whereis() -> Measured {
    let runtime = all_cores();
    let named = named(&runtime);
    let begin = Instant::now();
    let found = |name: &&String| ActorRef::<Idle>::lookup(name.as_str()).expect("of this type").is_some();
    assert_eq!(named.names.iter().filter(found).count(), COUNT);
    per_second(COUNT, begin, "ops/s")
}

pub(crate) fn unregister() -> Measured {
    let runtime = all_cores();
    let named = named(&runtime);
    let begin = Instant::now();
    for name in &named.names {
        assert!(ACTOR_REGISTRY.lock().expect("nobody panicked").remove(name.as_str()));
    }
    per_second(COUNT, begin, "ops/s")
}
