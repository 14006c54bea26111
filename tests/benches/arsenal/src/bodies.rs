//! The processes that the benchmarks run, written as an embedding program would.

use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, ProcessRef, Receive, StartOptions,
    Step, Term,
};
use std::sync::mpsc::Sender;
use std::sync::{Arc, LazyLock};

static DESCRIPTION: LazyLock<Arc<Description>> =
    LazyLock::new(|| Arc::new(Description::native("bench", Behaviour::Plain)));

pub fn description() -> &'static Arc<Description> {
    &DESCRIPTION
}

pub fn spawn(node: &Node, body: impl Body) -> ProcessRef {
    match node.spawn(description(), Box::new(body), StartOptions::default()) {
        Ok(process) => process,
        Err(error) => panic!("cannot spawn: {error}"),
    }
}

/// Ends at once.
pub struct Empty;

impl Body for Empty {
    fn step(&mut self, _event: Event, _context: &mut Context<'_>) -> Step {
        Step::Exit(Term::NORMAL)
    }
}

/// Waits for messages and does nothing.
pub struct Idle;

impl Body for Idle {
    fn step(&mut self, _event: Event, _context: &mut Context<'_>) -> Step {
        Step::Wait(Receive::any())
    }
}

/// Spawns `count` empty processes, a batch a turn, and tells when it has.
pub struct Spawner {
    pub count: usize,
    pub monitored: bool,
    pub downs: usize,
    pub done: Sender<()>,
}

impl Body for Spawner {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        const BATCH: usize = 100;
        if let Event::Message(message) = &event
            && message.kind == Kind::Down
        {
            self.downs -= 1;
            if self.downs == 0 && self.count == 0 {
                let _ = self.done.send(());
                return Step::Exit(Term::NORMAL);
            }
            return Step::Wait(Receive::any());
        }
        for _ in 0..BATCH.min(self.count) {
            let mut options = StartOptions::default();
            if self.monitored {
                options.monitor = Some((context.me(), context.node().new_ref()));
                self.downs += 1;
            }
            if context.spawn(description(), Box::new(Empty), options).is_err() {
                panic!("the table is full");
            }
        }
        self.count -= BATCH.min(self.count);
        match (self.count, self.monitored) {
            (0, false) => {
                let _ = self.done.send(());
                Step::Exit(Term::NORMAL)
            }
            (0, true) => Step::Wait(Receive::any()),
            _ => Step::Yield,
        }
    }
}

/// Sends back what it gets, `left` times.
pub struct Ponger {
    pub left: usize,
    pub partner: Option<ProcessRef>,
    pub done: Option<Sender<()>>,
}

impl Body for Ponger {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        let Event::Message(message) = event else { return Step::Wait(Receive::any()) };
        if self.left == 0 {
            if let Some(done) = &self.done {
                let _ = done.send(());
            }
            return Step::Wait(Receive::any());
        }
        self.left -= 1;
        if self.partner.is_none() {
            self.partner = context.node().process(message.from);
        }
        if let Some(partner) = &self.partner {
            context.send_to(partner, message.payload);
        }
        Step::Wait(Receive::any())
    }
}

/// Answers each call with its argument.
pub struct Echo;

impl Body for Echo {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event
            && let Some(call) = message.reply_to()
        {
            context.reply(call, message.payload);
        }
        Step::Wait(Receive::any())
    }
}

/// Calls one server after another answer, with gen_server's default timeout.
pub struct Caller {
    pub left: usize,
    pub server: ProcessRef,
    pub done: Sender<()>,
}

impl Body for Caller {
    fn step(&mut self, _event: Event, context: &mut Context<'_>) -> Step {
        const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
        if self.left == 0 {
            let _ = self.done.send(());
            return Step::Exit(Term::NORMAL);
        }
        self.left -= 1;
        let reference = context.request_to(&self.server, Term::Int(1));
        Step::Wait(Receive::reply(reference).within(Some(TIMEOUT)))
    }
}

/// Counts what it gets.
pub struct Counter {
    pub left: usize,
    pub done: Sender<()>,
}

impl Body for Counter {
    fn step(&mut self, event: Event, _context: &mut Context<'_>) -> Step {
        if matches!(event, Event::Message(_)) {
            self.left -= 1;
            if self.left == 0 {
                let _ = self.done.send(());
            }
        }
        Step::Wait(Receive::any())
    }
}

/// Sends `count` messages, yielding where it is asked to.
pub struct Flood {
    pub count: usize,
    pub to: ProcessRef,
}

impl Body for Flood {
    fn step(&mut self, _event: Event, context: &mut Context<'_>) -> Step {
        while self.count > 0 {
            context.send_to(&self.to, Term::Int(1));
            self.count -= 1;
            context.burn(1);
            if context.should_yield() {
                return Step::Yield;
            }
        }
        Step::Exit(Term::NORMAL)
    }
}

/// Passes a token on.
pub struct Ring {
    pub next: Option<ProcessRef>,
    pub done: Option<Sender<()>>,
}

impl Body for Ring {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(Message { payload, .. }) = event {
            match (&payload, &self.next) {
                (Term::Pid(pid), _) => self.next = context.node().process(*pid),
                (Term::Int(left), Some(next)) => match &self.done {
                    Some(done) if *left == 0 => {
                        let _ = done.send(());
                    }
                    Some(_) => context.send_to(next, Term::Int(left - 1)),
                    None => context.send_to(next, Term::Int(*left)),
                },
                _ => {}
            }
        }
        Step::Wait(Receive::any())
    }
}

/// A node of the skynet tree: sums its ten children, or answers its number.
pub struct Skynet {
    pub size: i64,
    pub number: i64,
    pub parent: Option<ProcessRef>,
    pub left: usize,
    pub sum: i64,
    pub done: Option<Sender<()>>,
}

impl Skynet {
    fn answer(&self, context: &mut Context<'_>, value: i64) -> Step {
        match &self.parent {
            Some(parent) => context.send_to(parent, Term::Int(value)),
            None => {
                assert_eq!(value, 499_999_500_000);
                if let Some(done) = &self.done {
                    let _ = done.send(());
                }
            }
        }
        Step::Exit(Term::NORMAL)
    }
}

impl Body for Skynet {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        const FANOUT: i64 = 10;
        match event {
            Event::Start if self.size == 1 => return self.answer(context, self.number),
            Event::Start => {
                let size = self.size / FANOUT;
                for child in 0..FANOUT {
                    let body = Skynet {
                        size,
                        number: self.number + child * size,
                        parent: Some(context.myself()),
                        left: FANOUT as usize,
                        sum: 0,
                        done: None,
                    };
                    if context.spawn(description(), Box::new(body), StartOptions::default()).is_err() {
                        panic!("the table is full");
                    }
                }
            }
            Event::Message(message) => {
                self.sum += message.payload.as_int().unwrap_or_default();
                self.left -= 1;
                if self.left == 0 {
                    return self.answer(context, self.sum);
                }
            }
            _ => {}
        }
        Step::Wait(Receive::any())
    }
}
