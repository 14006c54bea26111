//! One load: its clients ask for ever, a second to warm up, then windows of a second. The rate is the median window's;
//! latencies and the time on processors are those of all windows.

use crate::Measured;
use crate::processor::{self, ThreadTimes};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(1);
const WINDOWS: usize = 5;

/// Latencies are kept to this many significant digits.
const LATENCY_DIGITS: u8 = 3;

/// What a load found out.
pub struct Load {
    /// Answers a second.
    pub rate: f64,
    /// Half of the answers took no longer.
    pub p50: Duration,
    /// All but a hundredth of the answers took no longer.
    pub p99: Duration,
    answers: u64,
    busy: ThreadTimes,
}

impl Load {
    /// How long the threads of a name were on a processor, for one answer. It is steadier than the rate: nobody else
    /// on the machine adds to it but by what he pushes out of the caches.
    pub fn processor_time(&self, thread: &str) -> Duration {
        let busy = self.busy.get(thread).copied().unwrap_or_default();
        busy.div_f64(self.answers.max(1) as f64)
    }
}

impl From<Load> for Measured {
    fn from(load: Load) -> Self {
        Measured { value: load.rate, unit: "calls/s" }
    }
}

/// Answers counted by the clients of one load, all on one thread.
#[derive(Clone)]
pub struct Answers(Rc<Counted>);

struct Counted {
    count: Cell<u64>,
    /// Bytes of the first answer's body, which all others must have.
    size: Cell<Option<usize>>,
    latencies: RefCell<Histogram<u64>>,
}

impl Answers {
    fn new() -> Self {
        let latencies = Histogram::new(LATENCY_DIGITS).expect("a sensible number of digits");
        Self(Rc::new(Counted {
            count: Cell::default(),
            size: Cell::default(),
            latencies: RefCell::new(latencies),
        }))
    }

    /// Counts an answer to what was asked at `begin`.
    pub fn count(&self, begin: Instant) {
        let counted = &*self.0;
        counted.count.set(counted.count.get() + 1);
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counted.latencies.borrow_mut().record(nanoseconds).expect("it grows");
    }

    /// Counts an answer of `size` bytes, and checks it. `start` is as much of it as is at hand: the
    /// first answer's must contain `expected`, each other answer be of the first one's size.
    pub fn add(&self, begin: Instant, start: &[u8], size: usize, expected: &[u8]) {
        let counted = &*self.0;
        match counted.size.get() {
            Some(first) => assert_eq!(first, size, "an answer of another size: {}", start.escape_ascii()),
            None => {
                let echoed = start.windows(expected.len()).any(|part| part == expected);
                assert!(echoed, "the answer does not carry what was sent: {}", start.escape_ascii());
                counted.size.set(Some(size));
            }
        }
        self.count(begin);
    }
}

/// Runs `concurrency` clients, which `client` makes, on the current `LocalSet`, and measures.
///
/// # Panics
/// If a client ends: it is to ask until it is dropped.
pub async fn load<Asking>(concurrency: usize, client: impl Fn(Answers) -> Asking) -> Load
where
    Asking: Future<Output = ()> + 'static,
{
    let answers = Answers::new();
    let clients: Vec<_> =
        (0..concurrency).map(|_| tokio::task::spawn_local(client(answers.clone()))).collect();
    tokio::time::sleep(WARM_UP).await;
    let counted = &*answers.0;
    counted.latencies.borrow_mut().reset();
    let (first, busy) = (counted.count.get(), processor::thread_times());
    let mut rates = Vec::with_capacity(WINDOWS);
    for _ in 0..WINDOWS {
        let (before, begin) = (counted.count.get(), Instant::now());
        tokio::time::sleep(WINDOW).await;
        rates.push((counted.count.get() - before) as f64 / begin.elapsed().as_secs_f64());
    }
    let busy = processor::since(&busy);
    rates.sort_by(f64::total_cmp);
    assert!(clients.iter().all(|client| !client.is_finished()), "a client failed");
    for client in &clients {
        client.abort();
    }
    let latency = |quantile| Duration::from_nanos(counted.latencies.borrow().value_at_quantile(quantile));
    let answers = counted.count.get() - first;
    Load { rate: rates[WINDOWS / 2], p50: latency(0.5), p99: latency(0.99), answers, busy }
}
