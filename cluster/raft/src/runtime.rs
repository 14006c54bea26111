//! Where openraft gets its tasks, time and randomness: from tokio and the machine, or, on a thread that runs a simulated
//! world, from that world. openraft asks by static functions, so what answers is found by thread.
//!
//! This crate itself takes time and tasks from here alone, never from tokio.

use crate::simulation::world::{self, WorldTimer};
use futures_util::FutureExt as _;
use openraft::async_runtime::AsyncOneshotSendExt;
use openraft::{AsyncRuntime, OptionalSend};
use std::any::Any;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::io;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Tasks, time and randomness.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Runtime;

/// A moment: nanoseconds of this process's or world's own clock, which never goes back.
///
/// It begins far from zero, since openraft subtracts timeouts from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(u64);

const ORIGIN_NS: u64 = 1 << 60;

static START: LazyLock<std::time::Instant> = LazyLock::new(machine_now);

/// The one place where this crate reads the machine's clock.
fn machine_now() -> std::time::Instant {
    std::time::Instant::now()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Instant {
    /// Nanoseconds since the clock began.
    pub(crate) fn as_nanos(self) -> u64 {
        self.0 - ORIGIN_NS
    }

    /// Time that has passed since.
    pub(crate) fn age(self) -> Duration {
        Runtime::now() - self
    }
}

impl openraft::Instant for Instant {
    fn now() -> Self {
        Runtime::now()
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(duration)))
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Sleeps in the time of this thread: the machine's, or a simulated world's.
pub async fn sleep(duration: Duration) {
    Runtime::sleep(duration).await;
}

impl Runtime {
    pub(crate) fn now() -> Instant {
        let ns = world::now_ns().unwrap_or_else(|| nanoseconds(machine_now().duration_since(*START)));
        Instant(ORIGIN_NS + ns)
    }

    /// A number nobody can guess, or the next one of a world's seed.
    pub(crate) fn random() -> u64 {
        rand::RngCore::next_u64(&mut <Self as AsyncRuntime>::thread_rng())
    }

    /// Lets a task go its own way.
    pub(crate) fn detach(future: impl Future<Output = ()> + Send + 'static) {
        if let Err(future) = world::spawn(Box::pin(future)) {
            spawn_on_tokio(future);
        }
    }

    /// Does what blocks where it may block. In a simulated world nothing blocks.
    pub(crate) async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        if Self::is_simulated() {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
    }

    /// Whether this thread runs a simulated world.
    pub(crate) fn is_simulated() -> bool {
        world::now_ns().is_some()
    }
}

/// The one place where this crate starts tasks.
fn spawn_on_tokio(future: Pin<Box<dyn Future<Output = ()> + Send>>) {
    tokio::spawn(future);
}

/// How a task ended that gave nothing.
#[derive(Debug)]
pub(crate) enum JoinError {
    /// It was dropped.
    Dropped,
    /// It panicked.
    Panicked(String),
}

impl Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dropped => f.write_str("the task was dropped"),
            Self::Panicked(message) => write!(f, "the task panicked: {message}"),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// What a task gives, once it ends.
pub(crate) struct JoinHandle<T>(oneshot::Receiver<Result<T, JoinError>>);

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context).map(|sent| sent.unwrap_or(Err(JoinError::Dropped)))
    }
}

/// Waits for a moment.
pub(crate) enum Sleep {
    Machine(Pin<Box<tokio::time::Sleep>>),
    World(WorldTimer),
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Machine(sleep) => sleep.as_mut().poll(context),
            Self::World(timer) => timer.poll_unpin(context),
        }
    }
}

/// The time is over.
#[derive(Debug)]
pub(crate) struct Elapsed;

impl Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time is over")
    }
}

/// A future with a deadline.
pub(crate) struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        self.sleep.poll_unpin(context).map(|()| Err(Elapsed))
    }
}

/// The machine's random numbers, or a world's.
pub(crate) struct Rng(Option<rand::rngs::ThreadRng>);

impl rand::RngCore for Rng {
    fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    fn next_u64(&mut self) -> u64 {
        match &mut self.0 {
            Some(rng) => rng.next_u64(),
            None => world::random().unwrap_or_default(),
        }
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

/// The sending half of a oneshot channel, as openraft wants it.
pub(crate) struct OneshotSender<T>(oneshot::Sender<T>);

impl<T> Debug for OneshotSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneshotSender")
    }
}

impl<T: OptionalSend> AsyncOneshotSendExt<T> for OneshotSender<T> {
    fn send(self, value: T) -> Result<(), T> {
        self.0.send(value)
    }
}

impl AsyncRuntime for Runtime {
    type JoinError = JoinError;
    type JoinHandle<T: OptionalSend + 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, F: Future<Output = R> + OptionalSend> = Timeout<F>;
    type ThreadLocalRng = Rng;
    type OneshotSender<T: OptionalSend> = OneshotSender<T>;
    type OneshotReceiverError = oneshot::error::RecvError;
    type OneshotReceiver<T: OptionalSend> = oneshot::Receiver<T>;

    fn spawn<F>(future: F) -> Self::JoinHandle<F::Output>
    where
        F: Future + OptionalSend + 'static,
        F::Output: OptionalSend + 'static,
    {
        let (done, handle) = oneshot::channel();
        Self::detach(async move {
            let output = AssertUnwindSafe(future).catch_unwind().await;
            // nobody may be waiting
            let _ = done.send(output.map_err(|panic| JoinError::Panicked(panic_message(&*panic))));
        });
        JoinHandle(handle)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Self::sleep_until(Self::now() + duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        match world::timer(deadline.as_nanos()) {
            Some(timer) => Sleep::World(timer),
            None => Sleep::Machine(Box::pin(tokio::time::sleep(deadline - Self::now()))),
        }
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Self::timeout_at(Self::now() + duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), sleep: Self::sleep_until(deadline) }
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        matches!(join_error, JoinError::Panicked(_))
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        Rng((!Self::is_simulated()).then(rand::thread_rng))
    }

    fn oneshot<T: OptionalSend>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (OneshotSender(sender), receiver)
    }
}
