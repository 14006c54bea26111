//! `busy`: a raw process that computes and reads nothing, giving way at each preemption point.
//!
//! Args: `rounds`, the number of reductions to burn before it ends `normal`; without it, it never ends. Function `spin`
//! does the same without the handshake of a start.

use crate::functions::PlainModule;
use arsenal_runtime::body::{Body, Event, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::term::Term;
use std::hint::black_box;

/// Steps of arithmetic in one reduction: about as long as a small function call in Erlang takes.
const STEPS_PER_ROUND: u64 = 64;

struct Spin {
    rounds_left: Option<u64>,
    sum: u64,
}

pub(super) fn module() -> PlainModule {
    PlainModule::new("busy", spin).inspectable().function("spin", spin)
}

fn spin(args: &Term) -> Box<dyn Body> {
    let rounds = args.get("rounds").and_then(Term::as_int).and_then(|n| u64::try_from(n).ok());
    Box::new(Spin { rounds_left: rounds, sum: 0 })
}

impl Body for Spin {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        if let Event::Start = event {
            cx.started();
        }
        while !cx.should_yield() {
            match &mut self.rounds_left {
                Some(0) => return Step::Exit(Term::NORMAL),
                Some(rounds) => *rounds -= 1,
                None => {}
            }
            for step in 0..STEPS_PER_ROUND {
                self.sum = black_box(self.sum.wrapping_mul(31).wrapping_add(step));
            }
            cx.burn(1);
        }
        Step::Yield
    }

    fn inspect(&self) -> Option<Term> {
        let rounds = self.rounds_left.map(|n| Term::Int(i64::try_from(n).unwrap_or(i64::MAX)));
        Some(Term::map([("rounds_left", rounds.unwrap_or_default())]))
    }

    fn backtrace(&self) -> Vec<String> {
        vec!["busy::spin".to_owned()]
    }
}
