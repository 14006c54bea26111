//! Names and groups.

use crate::all_cores;
use bench_load::{Measured, per_second};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, pg};
use std::time::Instant;
use tokio::runtime::Runtime;

struct Idle;

impl Actor for Idle {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

fn idle(runtime: &Runtime, names: impl IntoIterator<Item = Option<String>>) -> Vec<ActorCell> {
    runtime.block_on(async {
        let mut actors = Vec::new();
        for name in names {
            actors.push(Idle::spawn(name, Idle, ()).await.expect("it starts").0.get_cell());
        }
        actors
    })
}

pub(crate) fn whereis() -> Measured {
    const COUNT: usize = 100_000;
    let runtime = all_cores();
    let names: Vec<String> = (0..COUNT).map(|n| format!("name_{n}")).collect();
    let _actors = idle(&runtime, names.iter().cloned().map(Some));
    let begin = Instant::now();
    let found = names.iter().filter(|name| ractor::registry::where_is(name.as_str()).is_some()).count();
    assert_eq!(found, COUNT);
    per_second(COUNT, begin, "ops/s")
}

const JOINS: usize = 100_000;
const GROUPS: usize = 10_000;

fn joined(runtime: &Runtime) -> (Vec<String>, Measured) {
    let actors = idle(runtime, std::iter::repeat_n(None, JOINS));
    let groups: Vec<String> = (0..GROUPS).map(|n| format!("group_{n}")).collect();
    let begin = Instant::now();
    for (n, actor) in actors.into_iter().enumerate() {
        pg::join(groups[n % GROUPS].clone(), vec![actor]);
    }
    (groups, per_second(JOINS, begin, "ops/s"))
}

pub(crate) fn pg_join() -> Measured {
    joined(&all_cores()).1
}

pub(crate) fn pg_members() -> Measured {
    let runtime = all_cores();
    let (groups, _) = joined(&runtime);
    let begin = Instant::now();
    let members: usize = groups.iter().map(|group| pg::get_members(group).len()).sum();
    assert_eq!(members, JOINS);
    per_second(GROUPS, begin, "ops/s")
}
