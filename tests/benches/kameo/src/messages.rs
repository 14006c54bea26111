//! Messages between actors.

use crate::{all_cores, start};
use bench_load::{Measured, current_thread, per_second};
use kameo::Actor;
use kameo::actor::ActorRef;
use kameo::message::{Context, Message};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Messages sent before a sender lets others run.
const BATCH: usize = 1_000;

#[derive(Actor)]
struct Ponger {
    left: usize,
    partner: Option<ActorRef<Ponger>>,
    done: Option<oneshot::Sender<()>>,
}

struct Partner(ActorRef<Ponger>);

struct Ball;

impl Message<Partner> for Ponger {
    type Reply = ();

    async fn handle(&mut self, Partner(partner): Partner, _: &mut Context<Self, ()>) {
        self.partner = Some(partner);
    }
}

impl Message<Ball> for Ponger {
    type Reply = ();

    async fn handle(&mut self, ball: Ball, _: &mut Context<Self, ()>) {
        match &self.partner {
            Some(partner) if self.left > 0 => {
                self.left -= 1;
                let _ = partner.tell(ball).await;
            }
            _ => drop(self.done.take()),
        }
    }
}

fn pingpong_on(runtime: &Runtime) -> Measured {
    const COUNT: usize = 2_000_000;
    let begin = runtime.block_on(async {
        let (done, finished) = oneshot::channel();
        let b = start(Ponger { left: COUNT, partner: None, done: None });
        let a = start(Ponger { left: COUNT, partner: Some(b.clone()), done: Some(done) });
        b.tell(Partner(a.clone())).await.expect("it lives");
        let begin = Instant::now();
        a.tell(Ball).await.expect("it lives");
        finished.await.expect_err("the last ball drops its sender");
        begin
    });
    per_second(COUNT, begin, "round trips/s")
}

pub(crate) fn pingpong() -> Measured {
    pingpong_on(&all_cores())
}

pub(crate) fn pingpong_one_thread() -> Measured {
    pingpong_on(&current_thread())
}

#[derive(Actor)]
struct Counter {
    left: usize,
    done: Sender<()>,
}

struct Number(#[expect(dead_code, reason = "what is sent is a number, as with every peer")] i64);

impl Message<Number> for Counter {
    type Reply = ();

    async fn handle(&mut self, _: Number, _: &mut Context<Self, ()>) {
        self.left -= 1;
        if self.left == 0 {
            let _ = self.done.send(());
        }
    }
}

#[derive(Actor)]
struct Flood {
    count: usize,
    to: ActorRef<Counter>,
}

struct Go;

impl Message<Go> for Flood {
    type Reply = ();

    async fn handle(&mut self, _: Go, context: &mut Context<Self, ()>) {
        for _ in 0..self.count / BATCH {
            for _ in 0..BATCH {
                let _ = self.to.tell(Number(1)).await;
            }
            tokio::task::yield_now().await;
        }
        context.stop();
    }
}

fn flooded(senders: usize, each: usize) -> Measured {
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    runtime.spawn(async move {
        let to = start(Counter { left: senders * each, done });
        for _ in 0..senders {
            start(Flood { count: each, to: to.clone() }).tell(Go).await.expect("it lives");
        }
    });
    finished.recv().expect("the counter tells");
    per_second(senders * each, begin, "messages/s")
}

pub(crate) fn send() -> Measured {
    flooded(1, 5_000_000)
}

pub(crate) fn fan_in() -> Measured {
    flooded(100, 20_000)
}

#[derive(Actor)]
struct Echo;

impl Message<i64> for Echo {
    type Reply = i64;

    async fn handle(&mut self, number: i64, _: &mut Context<Self, i64>) -> i64 {
        number
    }
}

/// Calls one server after another answer, as an actor.
#[derive(Actor)]
struct Caller {
    server: ActorRef<Echo>,
    count: usize,
    done: Sender<()>,
}

impl Message<Go> for Caller {
    type Reply = ();

    async fn handle(&mut self, _: Go, _: &mut Context<Self, ()>) {
        for _ in 0..self.count {
            self.server.ask(1_i64).await.expect("the server answers");
        }
        let _ = self.done.send(());
    }
}

pub(crate) fn call() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    let _caller = runtime.block_on(async {
        let caller = start(Caller { server: start(Echo), count: COUNT, done });
        caller.tell(Go).await.expect("it lives");
        caller
    });
    finished.recv().expect("the caller tells");
    per_second(COUNT, begin, "calls/s")
}

#[derive(Actor)]
struct Ring {
    next: Option<ActorRef<Ring>>,
    /// Of the first in the ring alone.
    done: Option<Sender<()>>,
}

struct Next(ActorRef<Ring>);

struct Token(i64);

impl Message<Next> for Ring {
    type Reply = ();

    async fn handle(&mut self, Next(next): Next, _: &mut Context<Self, ()>) {
        self.next = Some(next);
    }
}

impl Message<Token> for Ring {
    type Reply = ();

    async fn handle(&mut self, Token(left): Token, _: &mut Context<Self, ()>) {
        let left = match &self.done {
            Some(done) if left == 0 => {
                let _ = done.send(());
                return;
            }
            Some(_) => left - 1,
            None => left,
        };
        if let Some(next) = &self.next {
            let _ = next.tell(Token(left)).await;
        }
    }
}

pub(crate) fn ring() -> Measured {
    const ACTORS: usize = 1_000;
    const ROUNDS: i64 = 1_000;
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = runtime.block_on(async {
        let first = start(Ring { next: None, done: Some(done) });
        let mut next = first.clone();
        for _ in 1..ACTORS {
            next = start(Ring { next: Some(next), done: None });
        }
        first.tell(Next(next)).await.expect("it lives");
        let begin = Instant::now();
        first.tell(Token(ROUNDS)).await.expect("it lives");
        begin
    });
    finished.recv().expect("the first tells");
    per_second(ACTORS * ROUNDS as usize, begin, "hops/s")
}
