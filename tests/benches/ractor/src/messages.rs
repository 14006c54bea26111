//! Messages between actors.

use crate::all_cores;
use bench_load::{Measured, current_thread, per_second};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Messages sent before a sender lets others run.
const BATCH: usize = 1_000;

struct Ponger;

enum Ball {
    Partner(ActorRef<Ball>),
    Hit(i64),
}

struct Game {
    left: usize,
    partner: Option<ActorRef<Ball>>,
    done: Option<oneshot::Sender<()>>,
}

impl Actor for Ponger {
    type Msg = Ball;
    type State = Game;
    type Arguments = Game;

    async fn pre_start(&self, _: ActorRef<Ball>, game: Game) -> Result<Game, ActorProcessingErr> {
        Ok(game)
    }

    async fn handle(&self, _: ActorRef<Ball>, ball: Ball, game: &mut Game) -> Result<(), ActorProcessingErr> {
        match (ball, &game.partner) {
            (Ball::Partner(partner), _) => game.partner = Some(partner),
            (Ball::Hit(ball), Some(partner)) if game.left > 0 => {
                game.left -= 1;
                partner.cast(Ball::Hit(ball))?;
            }
            (Ball::Hit(_), _) => drop(game.done.take()),
        }
        Ok(())
    }
}

fn pingpong_on(runtime: &Runtime) -> Measured {
    const COUNT: usize = 2_000_000;
    let begin = runtime.block_on(async {
        let (done, finished) = oneshot::channel();
        let game = |partner, done| Game { left: COUNT, partner, done };
        let (b, _) = Ponger::spawn(None, Ponger, game(None, None)).await.expect("it starts");
        let (a, _) = Ponger::spawn(None, Ponger, game(Some(b.clone()), Some(done))).await.expect("it starts");
        b.cast(Ball::Partner(a.clone())).expect("it lives");
        let begin = Instant::now();
        a.cast(Ball::Hit(1)).expect("it lives");
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

struct Counter;

impl Actor for Counter {
    type Msg = i64;
    type State = (usize, Sender<()>);
    type Arguments = (usize, Sender<()>);

    async fn pre_start(
        &self,
        _: ActorRef<i64>,
        arguments: (usize, Sender<()>),
    ) -> Result<(usize, Sender<()>), ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle(
        &self,
        _: ActorRef<i64>,
        _: i64,
        (left, done): &mut (usize, Sender<()>),
    ) -> Result<(), ActorProcessingErr> {
        *left -= 1;
        if *left == 0 {
            let _ = done.send(());
        }
        Ok(())
    }
}

struct Flood;

impl Actor for Flood {
    type Msg = ();
    type State = (usize, ActorRef<i64>);
    type Arguments = (usize, ActorRef<i64>);

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        arguments: (usize, ActorRef<i64>),
    ) -> Result<(usize, ActorRef<i64>), ActorProcessingErr> {
        Ok(arguments)
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        (count, to): &mut (usize, ActorRef<i64>),
    ) -> Result<(), ActorProcessingErr> {
        for _ in 0..*count / BATCH {
            for _ in 0..BATCH {
                to.cast(1)?;
            }
            tokio::task::yield_now().await;
        }
        myself.stop(None);
        Ok(())
    }
}

fn flooded(senders: usize, each: usize) -> Measured {
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    runtime.spawn(async move {
        let (to, _) = Counter::spawn(None, Counter, (senders * each, done)).await.expect("it starts");
        for _ in 0..senders {
            Flood::spawn(None, Flood, (each, to.clone())).await.expect("it starts");
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

struct Echo;

struct Request(i64, RpcReplyPort<i64>);

impl Actor for Echo {
    type Msg = Request;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Request>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Request>,
        Request(number, reply): Request,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        reply.send(number)?;
        Ok(())
    }
}

/// Calls one server after another answer, as an actor.
struct Caller;

impl Actor for Caller {
    type Msg = ();
    type State = (ActorRef<Request>, usize, Sender<()>);
    type Arguments = (ActorRef<Request>, usize, Sender<()>);

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn post_start(
        &self,
        myself: ActorRef<()>,
        (server, count, done): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        for _ in 0..*count {
            server.call(|reply| Request(1, reply), None).await?.expect("the server answers");
        }
        done.send(())?;
        myself.stop(None);
        Ok(())
    }
}

pub(crate) fn call() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    runtime.spawn(async move {
        let (server, _) = Echo::spawn(None, Echo, ()).await.expect("it starts");
        Caller::spawn(None, Caller, (server, COUNT, done)).await.expect("it starts");
    });
    finished.recv().expect("the caller tells");
    per_second(COUNT, begin, "calls/s")
}

struct Ring;

enum Token {
    Next(ActorRef<Token>),
    Left(i64),
}

struct Place {
    next: Option<ActorRef<Token>>,
    /// Of the first in the ring alone.
    done: Option<Sender<()>>,
}

impl Actor for Ring {
    type Msg = Token;
    type State = Place;
    type Arguments = Place;

    async fn pre_start(&self, _: ActorRef<Token>, place: Place) -> Result<Place, ActorProcessingErr> {
        Ok(place)
    }

    async fn handle(
        &self,
        _: ActorRef<Token>,
        token: Token,
        place: &mut Place,
    ) -> Result<(), ActorProcessingErr> {
        match (token, &place.next, &place.done) {
            (Token::Next(next), ..) => place.next = Some(next),
            (Token::Left(0), _, Some(done)) => done.send(())?,
            (Token::Left(left), Some(next), Some(_)) => next.cast(Token::Left(left - 1))?,
            (Token::Left(left), Some(next), None) => next.cast(Token::Left(left))?,
            (Token::Left(_), None, _) => {}
        }
        Ok(())
    }
}

pub(crate) fn ring() -> Measured {
    const ACTORS: usize = 1_000;
    const ROUNDS: i64 = 1_000;
    let runtime = all_cores();
    let (done, finished) = channel();
    let first = runtime.block_on(async {
        let place = Place { next: None, done: Some(done) };
        let (first, _) = Ring::spawn(None, Ring, place).await.expect("it starts");
        let mut next = first.clone();
        for _ in 1..ACTORS {
            let place = Place { next: Some(next), done: None };
            next = Ring::spawn(None, Ring, place).await.expect("it starts").0;
        }
        first.cast(Token::Next(next)).expect("it lives");
        first
    });
    let begin = Instant::now();
    first.cast(Token::Left(ROUNDS)).expect("it lives");
    finished.recv().expect("the first tells");
    per_second(ACTORS * ROUNDS as usize, begin, "hops/s")
}
