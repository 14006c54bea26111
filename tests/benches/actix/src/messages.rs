//! Messages between actors.

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, System};
use bench_load::{Measured, per_second};
use std::time::Instant;
use tokio::sync::oneshot;

/// Messages sent before a sender lets others run.
const BATCH: usize = 1_000;

/// Tells the benchmark that it is over.
type Done = Option<oneshot::Sender<()>>;

fn tell(done: &mut Done) {
    if let Some(done) = done.take() {
        let _ = done.send(());
    }
}

struct Ponger {
    left: usize,
    partner: Option<Addr<Ponger>>,
    done: Done,
}

impl Actor for Ponger {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype("()")]
struct Partner(Addr<Ponger>);

#[derive(Message)]
#[rtype("()")]
struct Ball;

impl Handler<Partner> for Ponger {
    type Result = ();

    fn handle(&mut self, Partner(partner): Partner, _: &mut Self::Context) {
        self.partner = Some(partner);
    }
}

impl Handler<Ball> for Ponger {
    type Result = ();

    fn handle(&mut self, ball: Ball, _: &mut Self::Context) {
        match &self.partner {
            Some(partner) if self.left > 0 => {
                self.left -= 1;
                partner.do_send(ball);
            }
            _ => tell(&mut self.done),
        }
    }
}

pub(crate) fn pingpong() -> Measured {
    const COUNT: usize = 2_000_000;
    let begin = System::new().block_on(async {
        let (done, finished) = oneshot::channel();
        let b = Ponger { left: COUNT, partner: None, done: None }.start();
        let a = Ponger { left: COUNT, partner: Some(b.clone()), done: Some(done) }.start();
        b.do_send(Partner(a.clone()));
        let begin = Instant::now();
        a.do_send(Ball);
        finished.await.expect("the ponger tells");
        begin
    });
    per_second(COUNT, begin, "round trips/s")
}

struct Counter {
    left: usize,
    done: Done,
}

impl Actor for Counter {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype("()")]
struct Number(#[expect(dead_code, reason = "what is sent is a number, as with every peer")] i64);

impl Handler<Number> for Counter {
    type Result = ();

    fn handle(&mut self, _: Number, _: &mut Self::Context) {
        self.left -= 1;
        if self.left == 0 {
            tell(&mut self.done);
        }
    }
}

struct Flood {
    left: usize,
    to: Addr<Counter>,
}

impl Actor for Flood {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.address().do_send(More);
    }
}

#[derive(Message)]
#[rtype("()")]
struct More;

impl Handler<More> for Flood {
    type Result = ();

    fn handle(&mut self, more: More, context: &mut Self::Context) {
        for _ in 0..BATCH {
            self.to.do_send(Number(1));
        }
        self.left -= BATCH;
        if self.left > 0 {
            context.address().do_send(more);
        }
    }
}

fn flooded(senders: usize, each: usize) -> Measured {
    let system = System::new();
    let begin = Instant::now();
    system.block_on(async {
        let (done, finished) = oneshot::channel();
        let to = Counter { left: senders * each, done: Some(done) }.start();
        for _ in 0..senders {
            Flood { left: each, to: to.clone() }.start();
        }
        finished.await.expect("the counter tells");
    });
    per_second(senders * each, begin, "messages/s")
}

pub(crate) fn send() -> Measured {
    flooded(1, 5_000_000)
}

pub(crate) fn fan_in() -> Measured {
    flooded(100, 20_000)
}

struct Echo;

impl Actor for Echo {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype("i64")]
struct Request(i64);

impl Handler<Request> for Echo {
    type Result = i64;

    fn handle(&mut self, Request(number): Request, _: &mut Self::Context) -> i64 {
        number
    }
}

pub(crate) fn call() -> Measured {
    const COUNT: usize = 1_000_000;
    let begin = System::new().block_on(async {
        let server = Echo.start();
        let begin = Instant::now();
        for _ in 0..COUNT {
            server.send(Request(1)).await.expect("the server answers");
        }
        begin
    });
    per_second(COUNT, begin, "calls/s")
}

struct Ring {
    next: Option<Addr<Ring>>,
    /// Whether it is the first in the ring, which counts the rounds.
    first: bool,
    done: Done,
}

impl Actor for Ring {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype("()")]
struct Next(Addr<Ring>);

#[derive(Message)]
#[rtype("()")]
struct Token(i64);

impl Handler<Next> for Ring {
    type Result = ();

    fn handle(&mut self, Next(next): Next, _: &mut Self::Context) {
        self.next = Some(next);
    }
}

impl Handler<Token> for Ring {
    type Result = ();

    fn handle(&mut self, Token(left): Token, _: &mut Self::Context) {
        match &self.next {
            _ if self.first && left == 0 => tell(&mut self.done),
            Some(next) => next.do_send(Token(left - i64::from(self.first))),
            None => {}
        }
    }
}

pub(crate) fn ring() -> Measured {
    const ACTORS: usize = 1_000;
    const ROUNDS: i64 = 1_000;
    let begin = System::new().block_on(async {
        let (done, finished) = oneshot::channel();
        let first = Ring { next: None, first: true, done: Some(done) }.start();
        let mut next = first.clone();
        for _ in 1..ACTORS {
            next = Ring { next: Some(next), first: false, done: None }.start();
        }
        first.do_send(Next(next));
        let begin = Instant::now();
        first.do_send(Token(ROUNDS));
        finished.await.expect("the first tells");
        begin
    });
    per_second(ACTORS * ROUNDS as usize, begin, "hops/s")
}
