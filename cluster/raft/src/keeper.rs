//! Looks after openraft: opens the gate while a quorum answers, has the log compacted, and ends the process when openraft
//! has ended for a reason.

use crate::core::Core;
use crate::runtime::Runtime;
use crate::seat::Voting;
use crate::types::LogId;
use crate::watchdog::End;
use openraft::ServerState;
use openraft::error::Fatal;
use std::sync::Arc;
use std::time::Duration;

/// Follows openraft until it stops.
pub(crate) async fn run(core: Arc<Core>, voting: Arc<Voting>, end: End) {
    let mut metrics = voting.raft.metrics();
    // the snapshot that was the newest when the last one was asked for
    let mut asked_beyond = None;
    let mut led_in = None;
    // up to where it was asked to cut the log
    let mut cut = 0;
    loop {
        let seen = metrics.borrow_and_update().clone();
        match seen.running_state {
            Ok(()) => {}
            Err(Fatal::Stopped) => return,
            Err(fatal) => return end(format!("the replicated log cannot go on: {fatal}")),
        }
        if seen.state == ServerState::Leader && led_in.replace(seen.current_term) != Some(seen.current_term) {
            // a quorum has just voted for it
            core.gate.saw(Runtime::now());
        }
        if let Some(age) = seen.millis_since_quorum_ack {
            core.gate.saw(Runtime::now() - Duration::from_millis(age));
        }
        let (bytes_max, snapshot) = (core.config.compaction_bytes, index(seen.snapshot));
        let due = voting.log.excess(bytes_max);
        if due > snapshot {
            if seen.last_applied > seen.snapshot && asked_beyond != Some(snapshot) {
                asked_beyond = Some(snapshot);
                // it has stopped otherwise, and the next turn finds why
                let _ = voting.raft.trigger().snapshot().await;
            }
        } else if due > 0 {
            let upto = voting.log.excess(bytes_max / 2).min(snapshot);
            if upto > index(seen.purged).max(cut) {
                // openraft waits with it while a follower is sent some of it
                cut = upto;
                let _ = voting.raft.trigger().purge_log(upto).await;
            }
        }
        if metrics.changed().await.is_err() {
            return end("the replicated log cannot go on: its task has panicked".to_owned());
        }
    }
}

fn index(log_id: Option<LogId>) -> u64 {
    log_id.map_or(0, |log_id| log_id.index)
}
