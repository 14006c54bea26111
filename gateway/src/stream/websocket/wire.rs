//! The bytes of a WebSocket, below its frames: what its messages take of memory and how they come is held to the same
//! limits as bodies are, and a client that takes nothing is given up.
//!
//! A message lies in memory from its first frame on, long before the conversation sees it. So room for it is taken when a
//! frame announces how much comes, and it has to keep coming until it is whole; between two messages a client may rest.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use futures_util::FutureExt as _;
use http::Version;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::frames::{Frames, Seen};
use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    held::{Held, LeftOn},
    pace::{AHEAD_MAX, Account, TooSlow},
};

/// What is written to a stream of HTTP/2 at a time: its server takes all that it is given, and copies it.
const HTTP2_PIECE_BYTES: usize = 64 << 10;

/// Pings that may be taken while their answers cannot leave: each is kept until it does.
const PINGS_MAX: usize = 16;

/// What a conversation is told of its wire.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Something came since the last look.
    heard: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the messages take that are whole, for as long as the last of them is not taken.
    whole: Held,
    /// How many of them are not taken.
    untaken: usize,
    /// Why nothing more is taken.
    refusal: Option<Failure>,
}

impl Told {
    /// Whether something came since this was asked last.
    pub(super) fn heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    /// What a message takes that was taken, to be held for as long as it is there. Of those that came together the last
    /// has all: which of them is the large one is not told apart.
    pub(super) fn held_by_message(&self) -> Held {
        let mut state = self.state();
        state.untaken = state.untaken.saturating_sub(1);
        if state.untaken == 0 { std::mem::take(&mut state.whole) } else { Held::default() }
    }

    /// Another message is whole.
    fn complete(&self, held: Held) {
        let mut state = self.state();
        state.whole.merge(held);
        state.untaken += 1;
    }

    /// All that were whole have been taken, whether somebody asked what they take or not.
    fn forget(&self) {
        let mut state = self.state();
        (state.whole, state.untaken) = (Held::default(), 0);
    }

    /// Why reading failed, if the gateway would read no more.
    pub(super) fn refusal(&self) -> Option<Failure> {
        self.state().refusal.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Wire {
    io: TokioIo<Upgraded>,
    compiled: Arc<Compiled>,
    told: Arc<Told>,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// Room to come.
type Room = Pin<Box<dyn Future<Output = Result<Held, Failure>> + Send>>;

/// What comes.
struct Incoming {
    frames: Frames,
    /// What the message takes whose frames come.
    held: Held,
    /// Where what is not read is left meanwhile.
    left_on: LeftOn,
    /// Room for it, while that is waited for.
    room: Option<Room>,
    /// It keeps no more room than what has come of it needs.
    late: bool,
    account: Account,
    /// Since when more of a message is waited for, and until when it may be.
    waiting: Option<(Instant, Pin<Box<Sleep>>, TooSlow)>,
    /// Pings since an answer could leave.
    pings: usize,
    /// Who is to read again once it can.
    reader: Option<Waker>,
}

/// What goes.
struct Outgoing {
    piece_max: usize,
    /// Until when the client must take something, while something waits.
    late: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(io: Upgraded, version: Version, compiled: Arc<Compiled>) -> (Self, Arc<Told>) {
        let told = Arc::<Told>::default();
        let incoming = Incoming {
            frames: Frames::default(),
            held: Held::default(),
            left_on: LeftOn::of(version),
            room: None,
            late: false,
            account: Account::new(&compiled.config.limits),
            waiting: None,
            pings: 0,
            reader: None,
        };
        let piece_max = if version == Version::HTTP_2 { HTTP2_PIECE_BYTES } else { usize::MAX };
        let outgoing = Outgoing { piece_max, late: None };
        (Self { io: TokioIo::new(io), compiled, told: Arc::clone(&told), incoming, outgoing }, told)
    }

    /// Takes what comes and throws it away, to the end.
    pub(super) async fn drain(&mut self) {
        let mut unread = vec![0; 4096];
        while matches!(self.io.read(&mut unread).await, Ok(bytes) if bytes > 0) {}
    }

    fn refuse(&self, failure: Failure) -> io::Error {
        let error = io::Error::other(failure.message.clone());
        self.told.state().refusal = Some(failure);
        error
    }

    /// Takes room for a message of so many bytes. If others have it, nothing more is read until it is there.
    fn take_room(&mut self, bytes: usize) -> Result<(), Failure> {
        // one that is too large is refused by its length
        if bytes > self.compiled.config.limits.request_bytes_max {
            return Ok(());
        }
        let (mut held, left_on) = (std::mem::take(&mut self.incoming.held), self.incoming.left_on);
        // only who holds nothing yet has to wait
        let taken = held.wait_for_body(bytes, left_on, &self.compiled).now_or_never();
        match taken {
            Some(taken) => {
                taken?;
                self.incoming.held = held;
            }
            None => {
                let compiled = Arc::clone(&self.compiled);
                self.incoming.room = Some(Box::pin(async move {
                    let mut held = Held::default();
                    held.wait_for_body(bytes, left_on, &compiled).await.map(|()| held)
                }));
            }
        }
        Ok(())
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Some(room) = &mut self.incoming.room else { return Poll::Ready(Ok(())) };
        let taken = ready!(room.as_mut().poll(context));
        self.incoming.room = None;
        Poll::Ready(taken.map(|held| self.incoming.held = held))
    }

    /// Looks at what came.
    fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        let limits = self.compiled.config.limits;
        if let Some((since, ..)) = self.incoming.waiting.take() {
            self.incoming.account.wait(since.elapsed());
        }
        self.incoming.account.receive(bytes.len(), &limits);
        if self.incoming.late {
            self.incoming.held.grow_body(self.incoming.account.received(), &self.compiled)?;
        }
        self.told.heard.store(true, Ordering::Relaxed);
        // nobody reads on before he has taken what was whole
        self.told.forget();
        while let Some(seen) = self.incoming.frames.next(&mut bytes) {
            match seen {
                Seen::Message(bytes) => self.take_room(bytes)?,
                Seen::Whole => {
                    // one that waits for room and is here already is smaller than what is read at once
                    (self.incoming.room, self.incoming.late) = (None, false);
                    self.incoming.account = Account::new(&limits);
                    self.told.complete(std::mem::take(&mut self.incoming.held));
                }
                Seen::Ping => self.incoming.pings += 1,
            }
        }
        Ok(())
    }

    /// Waits until it is too late for more of a message.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Failure> {
        let incoming = &mut self.incoming;
        if !incoming.frames.is_within() {
            return Poll::Pending;
        }
        loop {
            let account = &mut incoming.account;
            let ahead = incoming.held.exceeds(account.received());
            let (since, late, why) = incoming.waiting.get_or_insert_with(|| {
                let (mut patience, why) = account.patience(&self.compiled.config.limits);
                if ahead {
                    patience = patience.min(AHEAD_MAX.saturating_sub(account.waited()));
                }
                (Instant::now(), Box::pin(tokio::time::sleep(patience)), why)
            });
            ready!(late.as_mut().poll(context));
            if !ahead {
                return Poll::Ready(self.compiled.failure(Reason::BodyTooSlow, why.to_string()));
            }
            account.wait(since.elapsed());
            incoming.held.shrink(account.received());
            (incoming.late, incoming.waiting) = (true, None);
        }
    }

    /// What a write gave, or that the client has taken nothing for too long.
    fn in_time<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            (self.outgoing.late, self.incoming.pings) = (None, 0);
            if let Some(reader) = self.incoming.reader.take() {
                reader.wake();
            }
            return written;
        }
        let idle_max = self.compiled.config.limits.answer_idle_max;
        let late = self.outgoing.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of what is written",
        )))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if wire.incoming.pings > PINGS_MAX && wire.outgoing.late.is_some() {
            wire.incoming.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        ready!(wire.poll_room(context)).map_err(|failure| wire.refuse(failure))?;
        let before = buffer.filled().len();
        match Pin::new(&mut wire.io).poll_read(context, buffer) {
            Poll::Ready(read) => {
                read?;
                let followed = wire.follow(&buffer.filled()[before..]);
                Poll::Ready(followed.map_err(|failure| wire.refuse(failure)))
            }
            Poll::Pending => {
                let late = ready!(wire.poll_late(context));
                Poll::Ready(Err(wire.refuse(late)))
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let piece = &bytes[..bytes.len().min(wire.outgoing.piece_max)];
        let written = Pin::new(&mut wire.io).poll_write(context, piece);
        wire.in_time(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let flushed = Pin::new(&mut wire.io).poll_flush(context);
        wire.in_time(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
