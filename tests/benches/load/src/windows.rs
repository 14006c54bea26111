//! The rate of a load: a second to warm up, then the median of windows of a second.

use crate::Measured;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const WARM_UP: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(1);
const WINDOWS: usize = 5;

/// Answers counted by the tasks of one load, all on one thread.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    count: Rc<Cell<u64>>,
    /// Bytes of the first answer's body, which all others must have.
    size: Rc<Cell<Option<usize>>>,
}

impl Answers {
    /// Counts an answer; the first must contain `expected`, each other be of its size.
    pub(crate) fn add(&self, body: &[u8], expected: &[u8]) {
        match self.size.get() {
            Some(size) => assert_eq!(size, body.len(), "an answer of another size: {}", body.escape_ascii()),
            None => {
                let echoed = body.windows(expected.len()).any(|part| part == expected);
                assert!(echoed, "the answer does not carry what was sent: {}", body.escape_ascii());
                self.size.set(Some(body.len()));
            }
        }
        self.count.set(self.count.get() + 1);
    }

    /// Answers a second that `clients` count.
    pub(crate) async fn rate_of(&self, clients: &[JoinHandle<()>]) -> Measured {
        tokio::time::sleep(WARM_UP).await;
        let mut rates = Vec::with_capacity(WINDOWS);
        for _ in 0..WINDOWS {
            let (before, begin) = (self.count.get(), Instant::now());
            tokio::time::sleep(WINDOW).await;
            rates.push((self.count.get() - before) as f64 / begin.elapsed().as_secs_f64());
        }
        rates.sort_by(f64::total_cmp);
        assert!(clients.iter().all(|client| !client.is_finished()), "a client failed");
        Measured { value: rates[WINDOWS / 2], unit: "calls/s" }
    }
}
