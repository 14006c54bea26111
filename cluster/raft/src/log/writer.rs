//! The one writer of a log: takes all that waits, writes it as one frame, syncs once, and then tells who waited.
//!
//! It has a thread of its own, since a sync blocks; in a simulated world it is a task. After an error it writes nothing
//! more: a second sync may succeed although the bytes of the first are lost.

use super::journal::Journal;
use super::record::Record;
use crate::runtime::Runtime;
use crate::watchdog::Pulse;
use std::io;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Requests that share a sync.
const REQUESTS_MAX: usize = 256;

/// What follows a sync.
type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

struct Request {
    records: Vec<Record>,
    done: Option<Done>,
}

/// Hands records to the writer. openraft asks for one durable write at a time and waits for it, which bounds the queue.
pub(crate) struct Writer {
    requests: UnboundedSender<Request>,
}

impl Writer {
    /// Starts the writer of a log, which holds `writing` until it has written the last.
    pub(crate) fn start(
        journal: Journal,
        pulse: Arc<Pulse>,
        writing: OwnedMutexGuard<()>,
    ) -> io::Result<Self> {
        let (requests, incoming) = unbounded_channel();
        let work = async move {
            run(journal, pulse, incoming).await;
            drop(writing);
        };
        if Runtime::is_simulated() {
            Runtime::detach(work);
        } else {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || runtime.block_on(work))?;
        }
        Ok(Self { requests })
    }

    /// Has records written and synced, and then calls `done`.
    pub(crate) fn write(&self, records: Vec<Record>, done: Option<Done>) -> io::Result<()> {
        let ended = |_| io::Error::other("the log's writer has ended");
        self.requests.send(Request { records, done }).map_err(ended)
    }
}

async fn run(mut journal: Journal, pulse: Arc<Pulse>, mut incoming: UnboundedReceiver<Request>) {
    let mut failure: Option<String> = None;
    let mut requests = Vec::new();
    while incoming.recv_many(&mut requests, REQUESTS_MAX).await > 0 {
        let (records, waiting) = gather(requests.drain(..));
        if failure.is_none() {
            let busy = pulse.begin();
            failure = write(&mut journal, &records).await.err();
            drop(busy);
        }
        for done in waiting {
            done(failure.clone().map_or(Ok(()), |failure| Err(io::Error::other(failure))));
        }
    }
}

fn gather(requests: impl Iterator<Item = Request>) -> (Vec<Record>, Vec<Done>) {
    let mut records = Vec::new();
    let mut waiting = Vec::new();
    for request in requests {
        records.extend(request.records);
        waiting.extend(request.done);
    }
    (records, waiting)
}

/// Every frame is synced before the next one is begun, also if nobody waits: see `record`.
async fn write(journal: &mut Journal, records: &[Record]) -> Result<(), String> {
    journal.write(records).map_err(|error| error.to_string())?;
    if let Some(settled) = journal.disk().settle() {
        settled.await;
    }
    journal.sync().map_err(|error| error.to_string())?;
    if records.iter().any(|record| matches!(record, Record::Purge(_))) {
        journal.remove_purged().map_err(|error| error.to_string())?;
    }
    Ok(())
}
